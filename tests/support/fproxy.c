/* fproxy.c: starts the fault proxy and speaks to it (fproxy.h). */
#include "support/fproxy.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define START_MS 10000
#define ANSWER_BYTES (16 * 1024)

struct fproxy {
    pid_t pid; /* 0: not started */
    int nodes;
    int kafka[BROKER_NODES], postgres;
    int further; /* the same for another Postgres; 0: there is none */
    int further_target;
    int control;
    char *directory, *path, *log, *bootstrap;
    char *conninfo; /* the last one that was asked for */
};

struct fproxy *
fproxy_new(int nodes)
{
    CHECK(nodes >= 1 && nodes <= BROKER_NODES);
    struct fproxy *proxy = must_calloc(1, sizeof *proxy);
    *proxy = (struct fproxy){.nodes = nodes, .postgres = scratch_port(), .control = -1};
    proxy->directory = scratch_directory("fproxy");
    proxy->path = must_format("%s/control", proxy->directory);
    proxy->log = must_format("%s/faults.log", proxy->directory);
    proxy->bootstrap = must_strdup("");
    for (int i = 0; i < nodes; i++) {
        proxy->kafka[i] = scratch_port();
        char *shorter = proxy->bootstrap;
        proxy->bootstrap = must_format("%s%s127.0.0.1:%d", shorter, i > 0 ? "," : "", proxy->kafka[i]);
        free(shorter);
    }
    return proxy;
}

const int *
fproxy_kafka_ports(const struct fproxy *proxy)
{
    return proxy->kafka;
}

static bool
come_in(struct fproxy *proxy)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(strlen(proxy->path) < sizeof address.sun_path);
    memcpy(address.sun_path, proxy->path, strlen(proxy->path));
    proxy->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->control >= 0 && connect(proxy->control, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    close(proxy->control);
    proxy->control = -1;
    return false;
}

/* Beside the suite's binary, as the Makefile puts it. */
static char *
program_path(void)
{
    char suite[4096], *slash;
    ssize_t size = readlink("/proc/self/exe", suite, sizeof suite - 1);
    suite[size > 0 ? size : 0] = '\0';
    if ((slash = strstr(suite, "/tests/")) == NULL)
        test_fail("%s: not a suite's binary", suite);
    return must_format("%.*s/tests/fault/fproxy", (int)(slash - suite), suite);
}

void
fproxy_add_postgres(struct fproxy *proxy, const struct postgres *postgres)
{
    CHECK(proxy->pid == 0 && proxy->further == 0);
    proxy->further = scratch_port();
    proxy->further_target = postgres_port(postgres);
}

void
fproxy_start(struct fproxy *proxy, struct broker *broker, const struct postgres *postgres, unsigned seed)
{
    const char *argv[20] = {NULL};
    char *program = program_path(), *seed_text = must_format("%u", seed);
    char *output = must_format("%s/output.log", proxy->directory);
    char *ports[BROKER_NODES + 2];
    int argc = 0, count = 0, exit_code;
    argv[argc++] = program;
    argv[argc++] = "--control", argv[argc++] = proxy->path;
    argv[argc++] = "--log", argv[argc++] = proxy->log;
    argv[argc++] = "--seed", argv[argc++] = seed_text;
    for (; broker != NULL && count < proxy->nodes; count++) {
        int port = broker_proxied_port(broker_node(broker, count + 1));
        ports[count] = must_format("%d=%d", proxy->kafka[count], port);
        argv[argc++] = "--kafka", argv[argc++] = ports[count];
    }
    ports[count] = must_format("%d=%d", proxy->postgres, postgres_port(postgres));
    argv[argc++] = "--postgres", argv[argc++] = ports[count++];
    if (proxy->further != 0) {
        ports[count] = must_format("%d=%d", proxy->further, proxy->further_target);
        argv[argc++] = "--postgres", argv[argc++] = ports[count++];
    }
    proxy->pid = process_start(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGKILL});
    for (int64_t end_us = wait_deadline_us(START_MS); !come_in(proxy);)
        if (process_ended(proxy->pid, &exit_code) || !wait_turn(end_us))
            test_fail("%s does not start:\n%s", program, scratch_read_file(output));
    while (count > 0)
        free(ports[--count]);
    free(output), free(seed_text), free(program);
}

void
fproxy_free(struct fproxy *proxy)
{
    if (proxy == NULL)
        return;
    if (proxy->pid != 0) {
        kill(proxy->pid, SIGKILL);
        process_wait(proxy->pid, START_MS);
        close(proxy->control);
    }
    free(proxy->conninfo);
    free(proxy->bootstrap);
    free(proxy->log);
    free(proxy->path);
    free(proxy->directory);
    free(proxy);
}

const char *
fproxy_bootstrap(const struct fproxy *proxy)
{
    return proxy->bootstrap;
}

const char *
fproxy_conninfo(struct fproxy *proxy, const char *database, const char *user)
{
    free(proxy->conninfo);
    if (proxy->further != 0)
        proxy->conninfo = must_format("host=127.0.0.1,127.0.0.1 port=%d,%d dbname=%s user=%s"
                                      " target_session_attrs=read-write",
                                      proxy->postgres, proxy->further, database, user);
    else
        proxy->conninfo =
            must_format("host=127.0.0.1 port=%d dbname=%s user=%s", proxy->postgres, database, user);
    return proxy->conninfo;
}

/* All of an answer has come with its last line. */
static bool
has_ended(const char *answer, size_t size)
{
    if (size == 0 || answer[size - 1] != '\n')
        return false;
    const char *last = answer + size - 1;
    while (last > answer && last[-1] != '\n')
        last--;
    return strncmp(last, "ok", 2) == 0 || strncmp(last, "error", 5) == 0;
}

char *
fproxy_command(struct fproxy *proxy, const char *command)
{
    char *line = must_format("%s\n", command), *answer = must_calloc(1, ANSWER_BYTES);
    size_t size = 0;
    if (send(proxy->control, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        test_fail("fproxy: %s: %s", command, strerror(errno));
    while (!has_ended(answer, size)) {
        ssize_t got = recv(proxy->control, answer + size, ANSWER_BYTES - 1 - size, 0);
        if (got <= 0)
            test_fail("fproxy: %s: it has gone", command);
        size += (size_t)got;
    }
    free(line);
    return answer;
}

int
fproxy_rule(struct fproxy *proxy, const char *format, ...)
{
    char rule[512], command[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rule, sizeof rule, format, arguments);
    va_end(arguments);
    snprintf(command, sizeof command, "rule %s", rule);
    char *answer = fproxy_command(proxy, command);
    if (strncmp(answer, "ok ", 3) != 0)
        test_fail("fproxy: %s: %s", command, answer);
    int number = atoi(answer + strlen("ok "));
    free(answer);
    return number;
}

void
fproxy_clear(struct fproxy *proxy)
{
    free(fproxy_command(proxy, "clear"));
    free(fproxy_command(proxy, "release"));
}

/* What `list` says of a rule behind `name`; -1: there is no such rule. */
static long
rule_counter(struct fproxy *proxy, int rule, const char *name)
{
    char *answer = fproxy_command(proxy, "list"), *start = must_format("%d ", rule);
    long counter = -1;
    for (char *line = answer; line != NULL && counter < 0; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *at = strncmp(line, start, strlen(start)) == 0 ? strstr(line, name) : NULL;
        counter = at != NULL ? strtol(at + strlen(name), NULL, 10) : -1;
    }
    free(start);
    free(answer);
    return counter;
}

long
fproxy_seen(struct fproxy *proxy, int rule)
{
    return rule_counter(proxy, rule, " seen=");
}

long
fproxy_fired(struct fproxy *proxy, int rule)
{
    return rule_counter(proxy, rule, " fired=");
}

int
fproxy_faults(const struct fproxy *proxy, const char *text)
{
    char *log = scratch_read_file(proxy->log);
    int count = 0;
    for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    free(log);
    return count;
}
