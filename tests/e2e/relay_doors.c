/* relay_doors.c: the doors of `outboxd run` (design 3.3, 3.4): without HTTP, JSON logs, SIGTERM in bad moments, systemd's
 * notification. */
#include "relay_setup.h"

#include "base/clock.h"
#include "base/error.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(relay_doors, .timeout = 120);

/* Takes no event without a key: the relay is stuck at it. */
static const char *const compact[] = {"cleanup.policy", "compact", NULL};

#define STOP_SOON_MS 8000

/* SIGTERM; it must end with 0 within seconds. */
static void
expect_stops_soon(struct setup *setup)
{
    int64_t before_us = clock_monotonic_us();
    int exit_code = daemon_terminate(setup->relay);
    int64_t took_ms = (clock_monotonic_us() - before_us) / 1000;
    cr_expect_eq(exit_code, 0);
    cr_expect_lt((double)took_ms, STOP_SOON_MS * wait_patience(), "the stop took %" PRId64 " ms", took_ms);
}

Test(relay_doors, without_http_it_publishes_and_listens_nowhere)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "quiet", 1, NULL);
    setup_start(&setup, (const char *[]){"http/listen", "http=null", NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    wait_for(consumer_count(broker_bootstrap(setup.broker), topic) == 1, 20000);
    cr_expect_eq(daemon_http(setup.relay, "/health/live", NULL), 0);
    setup_expect_all_once(&setup, 5000);
    setup_end(&setup);
}

Test(relay_doors, json_log_lines_parse_one_by_one_over_a_whole_life)
{
    struct setup setup = setup_begin();
    const char *compacted = setup_topic(&setup, "compacted", 1, compact);
    setup_run(&setup,
              (const char *[]){"log/format=json", "log/level=debug", "dead_letter/policy=stop", NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', null, '1')", compacted);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.relay where trouble is not null") == 1,
             30000);
    broker_configure_topic(setup.broker, compacted, "cleanup.policy", "delete");
    setup_wait_confirmed(&setup, 30000);
    cr_expect_eq(daemon_terminate(setup.relay), 0);
    char *log = daemon_log(setup.relay), *rest = log;
    int lines = 0;
    for (const char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        cr_assert(json_is_object(object), "%s: %s", error.text, line);
        cr_expect(json_is_string(json_object_get(object, "level")), "%s", line);
        json_decref(object);
    }
    cr_expect_gt(lines, 5);
    free(log);
    setup_end(&setup);
}

Test(relay_doors, SIGTERM_while_stuck_ends_it_with_0_within_seconds_and_nothing_is_skipped)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL),
               *compacted = setup_topic(&setup, "compacted", 1, compact);
    setup_run(&setup, (const char *[]){"dead_letter/policy=stop", NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', null, '1')", compacted);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '2')", good);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.relay where trouble is not null") == 1,
             30000);
    expect_stops_soon(&setup);
    cr_expect_eq(setup_count(&setup), 0);
    broker_configure_topic(setup.broker, compacted, "cleanup.policy", "delete");
    daemon_again(setup.relay);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_doors, SIGTERM_while_idle_releases_the_lead_and_the_next_start_publishes_at_once)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "again", 1, NULL);
    setup_run(&setup, (const char *[]){"lease=20s", NULL});
    expect_stops_soon(&setup);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    daemon_again(setup.relay);
    wait_for(consumer_count(broker_bootstrap(setup.broker), topic) == 1, 5000);
    setup_expect_all_once(&setup, 5000);
    setup_end(&setup);
}

Test(relay_doors, SIGTERM_while_postgres_is_away_ends_it_with_0_within_seconds)
{
    struct postgres *postgres = postgres_start(NULL);
    struct setup setup = setup_begin_on(postgres, broker_shared());
    const char *topic = setup_topic(&setup, "away", 1, NULL);
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_wait_confirmed(&setup, 10000);
    postgres_stop_fast(postgres);
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 503, 10000);
    expect_stops_soon(&setup);
    postgres_up(postgres);
    PQreset(setup.admin);
    PQreset(setup.app);
    daemon_again(setup.relay);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '2')", topic);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_doors, SIGTERM_before_postgres_was_ever_there_ends_it_with_0)
{
    struct setup setup = setup_begin();
    char *nowhere =
        must_format("postgres/conninfo=\"host=127.0.0.1 port=%d dbname=x user=x\"", scratch_port());
    setup_start(&setup, (const char *[]){nowhere, NULL});
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 503, 10000);
    expect_stops_soon(&setup);
    free(nowhere);
    setup_end(&setup);
}

/* The next datagram that says `text`, within the deadline. */
static bool
notified(int fd, const char *text, int timeout_ms)
{
    char message[1024];
    int64_t deadline_us = wait_deadline_us(timeout_ms);
    do {
        ssize_t size = recv(fd, message, sizeof message - 1, MSG_DONTWAIT);
        message[size > 0 ? size : 0] = '\0';
        if (strstr(message, text) != NULL)
            return true;
    } while (wait_turn(deadline_us));
    return false;
}

Test(relay_doors, the_service_manager_is_told_READY_watchdog_and_STOPPING)
{
    struct setup setup = setup_begin();
    char *directory = scratch_directory("notify");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "1000000", 1);
    setup_start(&setup, NULL);
    cr_expect(notified(fd, "READY=1", 20000));
    cr_expect(notified(fd, "WATCHDOG=1", 5000));
    cr_expect_eq(daemon_terminate(setup.relay), 0);
    cr_expect(notified(fd, "STOPPING=1", 2000));
    close(fd);
    free(directory);
    setup_end(&setup);
}

Test(relay_doors, two_SIGTERMs_end_it_at_once)
{
    struct setup setup = setup_begin();
    setup_run(&setup, NULL);
    kill(daemon_pid(setup.relay), SIGTERM);
    kill(daemon_pid(setup.relay), SIGTERM);
    cr_expect_eq(daemon_wait_exit(setup.relay, 5000), 0);
    setup_end(&setup);
}
