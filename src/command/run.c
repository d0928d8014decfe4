/* run.c: the daemon: one poll(2) loop over Postgres, Kafka and signals; HTTP beside it. Gives the relay its turns and ends
 * when the relay has stopped. Decides nothing about events. */
#include "command/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "command/reload.h"
#include "http/server.h"
#include "relay/relay.h"

#include <jemalloc/jemalloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* A wake-up that is lost costs no more than this. */
#define LONGEST_WAIT_US (INT64_C(100) * 1000)
#define FILES_LEAST 128
/* How often what can be seen from outside is renewed. */
#define OBSERVE_US (INT64_C(100) * 1000)

static const char help[] =
    "Usage: outboxd run [--config FILE]\n"
    "\n"
    "Publishes the committed events of the outbox to Kafka until it is asked to stop.\n"
    "Runs in the foreground; logs go to standard error.\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Signals: SIGTERM or SIGINT stops cleanly: what is in flight is awaited, for 20 s at most, and\n"
    "confirmed, and the lead is released; what is not confirmed by then keeps the lead until the lease has\n"
    "run out. A second one stops at once. SIGHUP reads the log level and the secrets again.\n"
    "Exit codes: 0 stopped as asked, 64 usage, 69 Postgres or Kafka cannot be used as configured, or the\n"
    "HTTP address is taken, 70 broken invariant, 78 configuration.\n";

struct daemon {
    struct settings *settings;
    struct relay *relay;
    struct http_server *http;
    struct snapshot snapshot;
    int signal_fd;
    struct signals_seen seen;
    int64_t observe_at_us;
    bool told_ready;
    char told[sizeof((struct snapshot *)0)->reason + 32]; /* what the service manager was told last */
};

/* Read by jemalloc when the process starts. Payloads come and go in megabytes: what is freed goes back to the kernel within a
 * second, and the threads of librdkafka share two arenas. Keeps the resident size within the promise of `memory`. */
const char *malloc_conf = "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";

/* Two sockets and a pipe a broker, one for Postgres, 64 for HTTP: what is short of descriptors works or not by chance. */
static void
look_at_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_LEAST)
        log_warning(
            "few files may be open at once: connections may fail; raise the limit (LimitNOFILE, ulimit -n)",
            LOG_INT("limit", (int64_t)files.rlim_cur), LOG_INT("wanted", FILES_LEAST), LOG_END);
}

static void
handle_signals(struct daemon *daemon, int64_t now_us)
{
    unsigned terminations = daemon->seen.terminations, hangups = daemon->seen.hangups;
    signals_read(daemon->signal_fd, &daemon->seen);
    if (daemon->seen.hangups > hangups)
        reload(daemon->settings, daemon->relay);
    if (terminations == 0 && daemon->seen.terminations > 0) {
        notify_stopping("finishing what is in flight");
        relay_stop(daemon->relay, now_us);
    }
}

/* The start is over when it leads or stands by: it waits for Kafka as it would later, and nobody need start it again. */
static void
tell_service_manager(struct daemon *daemon)
{
    const struct snapshot *snapshot = &daemon->snapshot;
    char text[sizeof daemon->told];
    snprintf(text, sizeof text, "%s%s%s", snapshot->state, snapshot->reason[0] != '\0' ? ": " : "",
             snapshot->reason);
    bool started = snapshot->ready || snapshot->leader;
    if (!daemon->told_ready && started)
        notify_ready(text);
    else if (strcmp(daemon->told, text) != 0)
        notify_status(text);
    daemon->told_ready = daemon->told_ready || started;
    memcpy(daemon->told, text, sizeof daemon->told);
}

static void
observe(struct daemon *daemon, int64_t now_us)
{
    struct snapshot *snapshot = &daemon->snapshot;
    relay_observe(daemon->relay, now_us, snapshot);
    if (daemon->http != NULL)
        http_server_publish(daemon->http, snapshot);
    daemon->observe_at_us = now_us + OBSERVE_US;
    tell_service_manager(daemon);
}

static void
wait_for_work(struct daemon *daemon, int64_t deadline_us)
{
    struct pollfd descriptors[RELAY_DESCRIPTORS + 1];
    int64_t now_us = clock_monotonic_us();
    int64_t wait_us = deadline_us - now_us;
    if (wait_us > LONGEST_WAIT_US)
        wait_us = LONGEST_WAIT_US;
    if (wait_us < 0)
        wait_us = 0;
    relay_descriptors(daemon->relay, descriptors);
    descriptors[RELAY_DESCRIPTORS] = (struct pollfd){.fd = daemon->signal_fd, .events = POLLIN};
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    (void)ppoll(descriptors, RELAY_DESCRIPTORS + 1, &wait,
                NULL); /* whatever it says, the next turn looks at all facts */
}

static void
loop(struct daemon *daemon)
{
    while (relay_state(daemon->relay) != RELAY_STOPPED && daemon->seen.terminations < 2) {
        int64_t now_us = clock_monotonic_us();
        handle_signals(daemon, now_us);
        int64_t deadline_us = relay_turn(daemon->relay, now_us);
        if (now_us >= daemon->observe_at_us)
            observe(daemon, now_us);
        int64_t watchdog_us = notify_watchdog(now_us);
        wait_for_work(daemon, watchdog_us < deadline_us ? watchdog_us : deadline_us);
    }
}

static int
run(struct settings *settings)
{
    struct error error = {0};
    struct daemon daemon = {.settings = settings};
    int exit_code = 0;
    bool good =
        signals_open(&daemon.signal_fd, &error) && relay_new(&daemon.relay, settings, &error) &&
        (settings->http_listen == NULL || http_server_start(&daemon.http, settings->http_listen, &error));
    if (good) {
        log_info("started", LOG_STR("version", OUTBOXD_VERSION), LOG_STR("source", settings->source),
                 LOG_STR("relay", settings->relay), LOG_END);
        loop(&daemon);
        error = *relay_failure(daemon.relay);
        if (relay_state(daemon.relay) != RELAY_STOPPED)
            log_warning("stopped at once, as asked twice", LOG_STR("then", relay_leaves_behind(settings)),
                        LOG_END);
    }
    if (error.kind != ERROR_NONE) {
        log_error("cannot go on", LOG_STR("why", error.message), LOG_END);
        exit_code = error_exit_code(error.kind);
    }
    http_server_stop(daemon.http);
    relay_free(daemon.relay);
    snapshot_clear(&daemon.snapshot);
    signals_close(daemon.signal_fd);
    log_info("stopped", LOG_INT("exit_code", exit_code), LOG_END);
    return exit_code;
}

int
command_run(int argc, char **argv)
{
    struct command_line line = {.help = help};
    struct settings *settings = NULL;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    if (!command_load(line.config, &settings, &exit_code))
        return exit_code;
    log_configure(settings->log_level, settings->log_format);
    look_at_limits();
    exit_code = run(settings);
    settings_free(settings);
    return exit_code;
}
