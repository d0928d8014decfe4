/* relay.c: the real binary as a child process: its configuration, its life, its memory (relay.h). What it
 * says over HTTP is read in relay_http.c. */
#include "support/relay.h"

#include "support/relay_daemon.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READY_MS 20000
#define STOP_MS 60000 /* a clean stop waits for what is in flight */
#define COMMAND_MS 30000
#define LOG_END 8000 /* bytes of the log shown when a test fails */

/* One line of the generated file; value NULL: left out. */
struct line {
    char *section; /* "" at the top level */
    char *key, *value;
};

struct lines {
    struct line list[128];
    size_t count;
};

static const char *
binary_path(void)
{
    const char *path = getenv("OUTBOXD_BIN");
    return path ? path : "build/outboxd";
}

/* "section/key=value"; a line of the same section and key is replaced. */
static void
lines_set(struct lines *lines, const char *assignment)
{
    size_t name_size = strcspn(assignment, "=");
    char *name = strndup(assignment, name_size), *slash = strchr(name, '/');
    struct line line = {
        .section = slash ? strndup(name, (size_t)(slash - name)) : must_strdup(""),
        .key = must_strdup(slash ? slash + 1 : name),
        .value = assignment[name_size] == '=' ? must_strdup(assignment + name_size + 1) : NULL,
    };
    free(name);
    size_t at = 0;
    while (at < lines->count &&
           (strcmp(lines->list[at].section, line.section) != 0 || strcmp(lines->list[at].key, line.key) != 0))
        at++;
    CHECK(at < sizeof lines->list / sizeof *lines->list);
    if (at == lines->count)
        lines->count++;
    else
        free(lines->list[at].section), free(lines->list[at].key), free(lines->list[at].value);
    lines->list[at] = line;
}

static void
lines_write(const struct lines *lines, FILE *file)
{
    static const char *const sections[] = {
        "", "postgres", "kafka", "poll", "batch", "transaction", "dead_letter", "http", "log"};
    size_t written = 0;
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        bool headed = s == 0;
        for (size_t i = 0; i < lines->count; i++) {
            const struct line *line = &lines->list[i];
            if (strcmp(line->section, sections[s]) != 0)
                continue;
            written++;
            if (line->value == NULL)
                continue;
            if (!headed)
                fprintf(file, "%s:\n", sections[s]);
            headed = true;
            fprintf(file, "%s%s: %s\n", s == 0 ? "" : "  ", line->key, line->value);
        }
    }
    CHECK(written == lines->count); /* else an override names a section that is missing above */
}

static void
lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->list[i].section), free(lines->list[i].key), free(lines->list[i].value);
}

static void
lines_set_quoted(struct lines *lines, const char *name, const char *value)
{
    char *assignment = must_format("%s=\"%s\"", name, value);
    lines_set(lines, assignment);
    free(assignment);
}

static void
config_write(struct daemon *daemon, const struct daemon_options *options)
{
    struct lines lines = {0};
    lines_set(&lines, "source=" DAEMON_SOURCE);
    lines_set(&lines, "relay=" DAEMON_RELAY);
    lines_set_quoted(&lines, "postgres/conninfo", options->conninfo);
    lines_set_quoted(&lines, "kafka/bootstrap.servers", options->bootstrap);
    lines_set_quoted(&lines, "http/listen", daemon->address);
    for (size_t i = 0; options->overrides != NULL && options->overrides[i] != NULL; i++)
        lines_set(&lines, options->overrides[i]);
    FILE *file = fopen(daemon->config, "we");
    if (file == NULL)
        test_fail("%s: cannot write it", daemon->config);
    lines_write(&lines, file);
    fclose(file);
    lines_free(&lines);
}

void
daemon_again(struct daemon *daemon)
{
    CHECK(daemon->pid == 0);
    const char *argv[] = {binary_path(), "run", "--config", daemon->config, NULL};
    struct process_options options = {
        .argv = argv, .output_path = daemon->log, .network = daemon->network, .death_signal = SIGKILL};
    daemon->pid = process_start(&options);
}

struct daemon *
daemon_start(const struct daemon_options *options)
{
    struct daemon *daemon = must_calloc(1, sizeof *daemon);
    daemon->directory = scratch_directory("relay");
    daemon->config = must_format("%s/config.yaml", daemon->directory);
    daemon->log = must_format("%s/log", daemon->directory);
    daemon->address = must_format("127.0.0.1:%d", scratch_port());
    daemon->network = options->network;
    config_write(daemon, options);
    daemon_again(daemon);
    return daemon;
}

/* Reaps it when it has ended, and remembers how. */
static bool
daemon_ended(struct daemon *daemon)
{
    if (!daemon->ended)
        daemon->ended = process_ended(daemon->pid, &daemon->exit_code);
    return daemon->ended;
}

bool
daemon_running(struct daemon *daemon)
{
    return daemon->pid != 0 && !daemon_ended(daemon);
}

void
daemon_wait_ready(struct daemon *daemon)
{
    int64_t deadline_us = wait_deadline_us(READY_MS);
    while (daemon_http(daemon, "/health/ready", NULL) != 200) {
        bool running = daemon_running(daemon);
        if (running && wait_turn(deadline_us))
            continue;
        char *log = daemon_log(daemon);
        size_t size = strlen(log);
        test_fail("outboxd %s; its log ends:\n%s", running ? "does not get ready" : "has ended",
                  log + (size > LOG_END ? size - LOG_END : 0));
    }
}

int
daemon_wait_exit(struct daemon *daemon, int timeout_ms)
{
    CHECK(daemon->pid != 0);
    wait_for(daemon_ended(daemon), timeout_ms);
    daemon->pid = 0;
    daemon->ended = false;
    return daemon->exit_code;
}

static void
daemon_signal(struct daemon *daemon, int signal)
{
    if (daemon_running(daemon))
        kill(daemon->pid, signal);
}

void
daemon_kill(struct daemon *daemon)
{
    daemon_signal(daemon, SIGKILL);
    daemon_wait_exit(daemon, STOP_MS);
}

int
daemon_terminate(struct daemon *daemon)
{
    daemon_signal(daemon, SIGTERM);
    return daemon_wait_exit(daemon, STOP_MS);
}

void
daemon_pause(struct daemon *daemon)
{
    if (daemon_running(daemon))
        process_pause(daemon->pid);
}

void
daemon_continue(struct daemon *daemon)
{
    if (daemon_running(daemon))
        process_continue(daemon->pid);
}

void
daemon_free(struct daemon *daemon)
{
    if (daemon == NULL)
        return;
    if (daemon->pid != 0)
        daemon_kill(daemon);
    free(daemon->address);
    free(daemon->log);
    free(daemon->config);
    free(daemon->directory);
    free(daemon);
}

pid_t
daemon_pid(const struct daemon *daemon)
{
    return daemon->pid;
}

const char *
daemon_config_path(const struct daemon *daemon)
{
    return daemon->config;
}

char *
daemon_log(const struct daemon *daemon)
{
    return scratch_read_file(daemon->log);
}

bool
daemon_log_contains(const struct daemon *daemon, const char *text)
{
    return scratch_file_contains(daemon->log, text);
}

long
daemon_peak_rss_kib(const struct daemon *daemon)
{
    return process_status_kib(daemon->pid, "VmHWM:");
}

long
daemon_rss_kib(const struct daemon *daemon)
{
    return process_status_kib(daemon->pid, "VmRSS:");
}

struct outboxd_result
outboxd_run(const char *const *arguments)
{
    char *directory = scratch_directory("command");
    char *out = must_format("%s/out", directory), *err = must_format("%s/err", directory);
    const char *argv[64] = {binary_path()};
    for (size_t i = 0; arguments[i] != NULL; i++) {
        CHECK(i + 2 < sizeof argv / sizeof *argv);
        argv[i + 1] = arguments[i];
    }
    struct process_options options = {
        .argv = argv, .output_path = out, .error_path = err, .death_signal = SIGKILL};
    struct outboxd_result result = {.exit_code = process_run(&options, COMMAND_MS)};
    result.out = scratch_read_file(out);
    result.err = scratch_read_file(err);
    scratch_remove_tree(directory);
    free(err), free(out), free(directory);
    return result;
}

struct outboxd_result
daemon_rebase_position(const struct daemon *daemon, const char *admin)
{
    const char *config = daemon_config_path(daemon);
    return outboxd_run((const char *[]){"rebase", "--conninfo", admin, "--config", config, "--position",
                                        DAEMON_RELAY, "--yes", NULL});
}

void
outboxd_result_free(struct outboxd_result *result)
{
    free(result->out);
    free(result->err);
    *result = (struct outboxd_result){0};
}
