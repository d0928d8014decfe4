/* fproxy.c: a TCP proxy that knows the frames of Kafka and the messages of Postgres, and does to them what its rules say: the loop and
 * the command line. tests/fault/README.md says how to use it. One thread, one poll; ends with SIGTERM.
 *
 *   fproxy --control PATH --log PATH [--seed N] [--rule RULE].. --kafka PORT=PORT .. --postgres PORT=PORT ..
 */
#include "fault/fproxy_control.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LISTENERS 16
#define LINKS 128 /* beyond them, connections wait to be accepted */
/* Nothing is due by then; a bound for the conversion to milliseconds. */
#define LONGEST_US (INT64_C(60) * 1000000)

static struct proxy proxy = {.log = NULL};
static struct listener listeners[LISTENERS];
static int listener_count;
static struct control *control;

static _Noreturn void
refuse(const char *what, const char *why)
{
    fprintf(stderr, "fproxy: %s: %s\n", what, why);
    exit(64);
}

static struct sockaddr_in
local(long port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* "PORT=PORT": where it listens, and where the server does. */
static void
add_listener(enum protocol protocol, const char *ports)
{
    char *equals, *end;
    long from = strtol(ports, &equals, 10), to = *equals == '=' ? strtol(equals + 1, &end, 10) : 0;
    if (from <= 0 || to <= 0 || from > 65535 || to > 65535 || *end != '\0' || listener_count == LISTENERS)
        refuse(ports, "PORT=PORT is wanted, at most 16 times");
    struct listener *listener = &listeners[listener_count++];
    *listener = (struct listener){.protocol = protocol, .number = 1, .from = local(from), .to = local(to)};
    for (int i = 0; i < listener_count - 1; i++)
        listener->number += listeners[i].protocol == protocol;
    int one = 1;
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0 || setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(listener->fd, (const struct sockaddr *)&listener->from, sizeof listener->from) != 0 ||
        listen(listener->fd, 64) != 0)
        refuse(ports, strerror(errno));
}

static void
add_rule(const char *text)
{
    struct error error;
    int number;
    if (!rules_add(&proxy.rules, text, &number, &error))
        refuse(text, error.message);
}

static FILE *
open_log(const char *path)
{
    FILE *log = fopen(path, "ae");
    if (log == NULL)
        refuse(path, strerror(errno));
    setvbuf(log, NULL, _IOLBF, 0);
    return log;
}

static void
read_options(int argc, char **argv)
{
    static const struct option options[] = {{"control", required_argument, NULL, 'c'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"rule", required_argument, NULL, 'r'},
                                            {"kafka", required_argument, NULL, 'k'},
                                            {"postgres", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    const char *control_path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            control_path = optarg;
            break;
        case 'l':
            proxy.log = open_log(optarg);
            break;
        case 's':
            proxy.rules.random = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            add_rule(optarg);
            break;
        case 'k':
        case 'p':
            add_listener(option == 'k' ? PROTOCOL_KAFKA : PROTOCOL_POSTGRES, optarg);
            break;
        default:
            exit(64);
        }
    }
    if (control_path == NULL || proxy.log == NULL || listener_count == 0 || optind < argc)
        refuse("usage", "--control PATH --log PATH and at least one of --kafka and --postgres PORT=PORT");
    control = control_open(control_path, &proxy);
}

/* Frees the links that are over. */
static void
sweep(void)
{
    for (struct link **at = &proxy.links; *at != NULL;) {
        struct link *link = *at;
        if (!link->over) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        link_free(link);
    }
}

static int
wait_ms(int64_t due_us)
{
    int64_t left_us = due_us == CLOCK_NEVER ? LONGEST_US : due_us - clock_monotonic_us();
    if (left_us > LONGEST_US)
        left_us = LONGEST_US;
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

/* One wait for all, and one turn for each. Returns when the next one is due. */
static int64_t
turn(int64_t due_us)
{
    static struct pollfd polled[LISTENERS + CONTROL_SOCKETS + 2 * LINKS];
    nfds_t count = 0;
    bool full = proxy.link_count >= LINKS;
    for (int i = 0; i < listener_count; i++)
        polled[count++] = (struct pollfd){.fd = full ? -1 : listeners[i].fd, .events = POLLIN};
    control_poll(control, &polled[count]);
    count += CONTROL_SOCKETS;
    struct pollfd *sockets = &polled[count];
    for (const struct link *link = proxy.links; link != NULL; link = link->next, count += 2)
        link_poll(link, &polled[count]);
    if (poll(polled, count, wait_ms(due_us)) < 0)
        CHECK(errno == EINTR);
    control_turn(control, &polled[listener_count]);
    due_us = CLOCK_NEVER;
    for (struct link *link = proxy.links; link != NULL; link = link->next, sockets += 2) {
        int64_t its_us = link_turn(link, sockets);
        due_us = its_us < due_us ? its_us : due_us;
    }
    sweep();
    for (int i = 0; i < listener_count; i++)
        if ((polled[i].revents & POLLIN) != 0 && proxy.link_count < LINKS)
            link_accept(&proxy, &listeners[i]);
    return due_us;
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    read_options(argc, argv);
    for (int64_t due_us = CLOCK_NEVER;;)
        due_us = turn(due_us);
}
