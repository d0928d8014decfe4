/* relay.h: the real binary as a child process (OUTBOXD_BIN, build/outboxd by default) with a generated
 * configuration, its log in a file, and eyes on it: HTTP, metrics, memory, exit code. */
#ifndef OUTBOXD_TESTS_SUPPORT_RELAY_H
#define OUTBOXD_TESTS_SUPPORT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct daemon;

/* Overrides are "key=value" or "section/key=value", the value in YAML as written: "lease=1s",
 * "kafka/linger.ms=5", "http=null", "topics=[\"shop.*\"]"; "key" without = leaves the key out. Defaults of
 * the generated file: source: test, relay: main, postgres.conninfo and kafka.bootstrap.servers as given,
 * http.listen: 127.0.0.1:<a free port>. */
struct daemon_options {
    const char *conninfo;         /* the database, as POSTGRES_RELAY */
    const char *bootstrap;        /* broker_bootstrap() */
    const char *const *overrides; /* NULL-terminated; may be NULL */
    pid_t network;                /* process_options.network; its HTTP door is then out of reach */
};

#define DAEMON_SOURCE "test" /* what the header `source` says unless overridden */
#define DAEMON_RELAY "main"

/* Writes the configuration and starts the process; does not wait. */
struct daemon *daemon_start(const struct daemon_options *options);
void daemon_again(struct daemon *daemon); /* starts it again after it ended, same configuration */
void daemon_wait_ready(
    struct daemon *daemon); /* /health/ready answers 200, or fails within 20 s, with the log's end */
void daemon_kill(struct daemon *daemon);     /* kill -9, reaped */
int daemon_terminate(struct daemon *daemon); /* SIGTERM; the exit code (128 + signal when one ended it) */
int daemon_wait_exit(struct daemon *daemon, int timeout_ms);
void daemon_pause(struct daemon *daemon);
void daemon_continue(struct daemon *daemon);
bool daemon_running(struct daemon *daemon);
void daemon_free(struct daemon *daemon); /* kills it when it runs; NULL is allowed */

pid_t daemon_pid(const struct daemon *daemon);
const char *daemon_config_path(const struct daemon *daemon);
char *daemon_log(const struct daemon *daemon); /* all of stderr so far; the caller frees */
bool daemon_log_contains(const struct daemon *daemon, const char *text);
long daemon_peak_rss_kib(const struct daemon *daemon); /* VmHWM */
long daemon_rss_kib(const struct daemon *daemon);      /* VmRSS */

/* GET `path`: the status, 0 when nobody answers within 2 s. *body (may be NULL) is the caller's to free. */
int daemon_http(const struct daemon *daemon, const char *path, char **body);

/* /health/ready answers with this status and has `text` in its body. */
bool daemon_readiness_is(const struct daemon *daemon, int status, const char *text);

/* One sample of /metrics by its name with labels exactly as printed; NAN when absent or nobody answers. */
double daemon_metric(const struct daemon *daemon, const char *sample);

/* By then a leader has counted its dead letters anew: it rests for 30 s at the most (COUNT_MOST_US), and looks every second. */
#define DAEMON_COUNTED_MS 35000

/* One command run to its end (30 s at most): outboxd ARG.., NULL-terminated. */
struct outboxd_result {
    int exit_code;
    char *out, *err;
};
struct outboxd_result outboxd_run(const char *const *arguments);
void outboxd_result_free(struct outboxd_result *result);

/* `outboxd rebase --position` of this relay, with its configuration, as this administrator, without asking. */
struct outboxd_result daemon_rebase_position(const struct daemon *daemon, const char *admin);

#endif
