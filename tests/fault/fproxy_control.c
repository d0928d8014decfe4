/* fproxy_control.c: reads commands and carries them out (fproxy_control.h). Called by the loop in fproxy.c. */
#include "fault/fproxy_control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_BYTES 1024

struct guest {
    int fd; /* -1: nobody */
    size_t size;
    char line[LINE_BYTES];
};

struct control {
    struct proxy *proxy;
    int door;
    struct guest guests[CONTROL_SOCKETS - 1];
};

struct control *
control_open(const char *path, struct proxy *proxy)
{
    struct control *control = must_calloc(1, sizeof *control);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *control = (struct control){.proxy = proxy};
    for (int i = 0; i < CONTROL_SOCKETS - 1; i++)
        control->guests[i].fd = -1;
    CHECK(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    (void)unlink(path);
    control->door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (control->door < 0 || bind(control->door, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(control->door, CONTROL_SOCKETS) != 0) {
        fprintf(stderr, "fproxy: %s: %s\n", path, strerror(errno));
        exit(64);
    }
    return control;
}

void
control_poll(const struct control *control, struct pollfd sockets[CONTROL_SOCKETS])
{
    bool full = true;
    for (int i = 0; i < CONTROL_SOCKETS - 1; i++) {
        sockets[i + 1] = (struct pollfd){.fd = control->guests[i].fd, .events = POLLIN};
        full &= control->guests[i].fd >= 0;
    }
    sockets[0] = (struct pollfd){.fd = full ? -1 : control->door, .events = POLLIN};
}

static void
add_rule(struct proxy *proxy, const char *text, FILE *answer)
{
    struct error error;
    int number;
    if (rules_add(&proxy->rules, text, &number, &error))
        fprintf(answer, "ok %d\n", number);
    else
        fprintf(answer, "error %s\n", error.message);
}

static int
release(struct proxy *proxy, int rule)
{
    int released = 0;
    for (struct link *link = proxy->links; link != NULL; link = link->next)
        released += stream_release(&link->up, rule) + stream_release(&link->down, rule);
    return released;
}

static int
reset_all(struct proxy *proxy)
{
    for (struct link *link = proxy->links; link != NULL; link = link->next) {
        link_log(link, "connection", "reset", 0, 0);
        link->reset = true;
    }
    return proxy->link_count;
}

/* "kafka 200": of connections to Kafka. */
static void
set_latency(struct proxy *proxy, const char *text, FILE *answer)
{
    bool kafka = strncmp(text, "kafka ", 6) == 0, postgres = strncmp(text, "postgres ", 9) == 0;
    if (!kafka && !postgres) {
        fprintf(answer, "error latency kafka|postgres MS\n");
        return;
    }
    long ms = strtol(strchr(text, ' '), NULL, 10);
    proxy->latency_us[kafka ? PROTOCOL_KAFKA : PROTOCOL_POSTGRES] = ms * INT64_C(1000);
    fprintf(answer, "ok\n");
}

/* "WORD REST": the answer to the command WORD. */
static void
obey(struct proxy *proxy, char *line, FILE *answer)
{
    char *rest = line + strcspn(line, " ");
    if (*rest != '\0')
        *rest++ = '\0';
    long number = strtol(rest, NULL, 10);
    if (strcmp(line, "rule") == 0) {
        add_rule(proxy, rest, answer);
    } else if (strcmp(line, "list") == 0) {
        rules_list(&proxy->rules, answer);
        fprintf(answer, "ok %d connections\n", proxy->link_count);
    } else if (strcmp(line, "clear") == 0) {
        fprintf(answer, rules_clear(&proxy->rules, (int)number) ? "ok\n" : "error no such rule\n");
    } else if (strcmp(line, "release") == 0) {
        fprintf(answer, "ok %d\n", release(proxy, (int)number));
    } else if (strcmp(line, "latency") == 0) {
        set_latency(proxy, rest, answer);
    } else if (strcmp(line, "reset") == 0) {
        fprintf(answer, "ok %d\n", reset_all(proxy));
    } else {
        fprintf(answer, "error %s: rule, list, clear, release, latency or reset\n", line);
    }
}

static void
leave(struct guest *guest)
{
    close(guest->fd);
    *guest = (struct guest){.fd = -1};
}

/* Some hundred bytes at most, into an empty socket. */
static void
answer_line(struct proxy *proxy, struct guest *guest, char *line)
{
    char *text = NULL;
    size_t size = 0;
    FILE *answer = open_memstream(&text, &size);
    CHECK(answer != NULL);
    obey(proxy, line, answer);
    CHECK(fclose(answer) == 0);
    if (send(guest->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size)
        leave(guest);
    free(text);
}

static void
read_guest(struct proxy *proxy, struct guest *guest)
{
    ssize_t got = recv(guest->fd, guest->line + guest->size, sizeof guest->line - guest->size, 0);
    if (got <= 0) {
        leave(guest);
        return;
    }
    guest->size += (size_t)got;
    for (char *end; guest->fd >= 0 && (end = memchr(guest->line, '\n', guest->size)) != NULL;) {
        size_t size = (size_t)(end + 1 - guest->line);
        *end = '\0';
        answer_line(proxy, guest, guest->line);
        guest->size -= guest->fd >= 0 ? size : 0;
        memmove(guest->line, end + 1, guest->size);
    }
    if (guest->size == sizeof guest->line)
        leave(guest);
}

static void
admit(struct control *control)
{
    struct guest *guest = control->guests;
    while (guest->fd >= 0)
        guest++;
    guest->fd = accept4(control->door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void
control_turn(struct control *control, const struct pollfd sockets[CONTROL_SOCKETS])
{
    for (int i = 0; i < CONTROL_SOCKETS - 1; i++)
        if (sockets[i + 1].revents != 0)
            read_guest(control->proxy, &control->guests[i]);
    if ((sockets[0].revents & POLLIN) != 0)
        admit(control);
}
