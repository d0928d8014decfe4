/* relay_paused_seen.c: what people and alarms are told while something is paused, or done beside the stream (P5): neither a fault that is
 * none, nor silence. */
#include "relay_setup.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_paused_seen, .timeout = 120);

/* A quarter of the lease is between two rows of a leader that has nothing to do. */
#define LEASE "lease=1s"
#define ROWS_OF_20_S 80

static int64_t
newest(struct setup *setup)
{
    return postgres_int(setup->admin, "select max(seq) from outbox.journal");
}

/* More is read than `memory` lets out at a time, and nobody acknowledges it; then somebody pauses the relay. Nothing waits for Kafka after
 * what was out has arrived. */
Test(relay_paused_seen,
     a_relay_paused_by_hand_with_pages_that_are_read_is_ready_and_says_that_it_is_paused__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "topic", 1, NULL);
    setup_run(&setup, setup_and((const char *[]){LEASE, "memory=1MiB", NULL}, "batch/bytes=1MiB"));
    postgres_exec(setup.app, "insert into outbox.event (topic, payload) values ('%s', 'x')", topic);
    setup_wait_confirmed(&setup, 10000);
    broker_pause(setup.broker);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, payload) select '%s', convert_to(repeat('x', 1000), "
                  "'UTF8') from generate_series(1, 3000)",
                  topic);
    wait_for(daemon_metric(setup.relay, "outbox_in_flight_events") > 0, 10000);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', null)::int"), 1);
    wait_for(daemon_log_contains(setup.relay, "paused by hand: nothing is published"), 10000);
    broker_continue(setup.broker);
    wait_for(daemon_metric(setup.relay, "outbox_in_flight_events") == 0, 20000);
    cr_assert_gt(daemon_metric(setup.relay, "outbox_lag_events"), 0);
    int64_t from = newest(&setup);
    while (newest(&setup) < from + ROWS_OF_20_S)
        cr_assert_eq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    char *status = NULL;
    cr_assert_eq(daemon_http(setup.relay, "/status.json", &status), 200);
    cr_expect(strstr(status, "\"paused\": true") != NULL, "%s", status);
    free(status);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', null)::int"), 1);
    setup_wait_confirmed(&setup, 30000);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

static void
emit_one(struct setup *setup, const char *topic)
{
    postgres_exec(setup->app, "insert into outbox.event (topic, payload) values ('%s', 'x')", topic);
}

/* The alarm that is to ring before the disk is full goes by the lag, and whoever has paused the relay may have forgotten it. Who takes the lead
 * during the pause knows no less. */
Test(relay_paused_seen, what_waits_behind_a_pause_of_the_whole_relay_is_lag__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "topic", 1, NULL);
    setup_run(&setup, (const char *[]){LEASE, NULL});
    emit_one(&setup, topic);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_paused"), 0);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', null)::int"), 1);
    wait_for(daemon_metric(setup.relay, "outbox_paused") == 1, 10000);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_lag_seconds"), 0);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_lag_events"), 0);
    emit_one(&setup, topic);
    emit_one(&setup, topic);
    wait_for(daemon_metric(setup.relay, "outbox_lag_seconds") > 3, 20000);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_lag_events"), 2);
    cr_expect_eq(daemon_terminate(setup.relay), 0);
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    wait_for(daemon_metric(setup.relay, "outbox_lag_seconds") > 3, 20000);
    cr_expect_geq(daemon_metric(setup.relay, "outbox_lag_events"), 2);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', null)::int"), 1);
    setup_wait_confirmed(&setup, 10000);
    wait_for(daemon_metric(setup.relay, "outbox_lag_events") == 0, 10000);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_lag_seconds"), 0);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_paused"), 0);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

/* The pause of two hours is what another process finds in the database. */
Test(relay_paused_seen, since_when_the_oldest_paused_topic_waits_is_told_whoever_leads__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "topic", 1, NULL);
    char *status = NULL, *page = NULL;
    setup_run(&setup, (const char *[]){LEASE, NULL});
    cr_expect_eq(daemon_metric(setup.relay, "outbox_paused_topic_seconds"), 0);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', '%s')::int", topic), 1);
    wait_for(daemon_metric(setup.relay, "outbox_paused_topic_seconds") > 0, 10000);
    cr_expect_lt(daemon_metric(setup.relay, "outbox_paused_topic_seconds"), 60);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic") == 1, 10000);
    cr_expect_eq(daemon_terminate(setup.relay), 0);
    postgres_exec(setup.admin, "update outbox.paused_topic set since = now() - interval '2 hours'");
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    wait_for(daemon_metric(setup.relay, "outbox_paused_topic_seconds") >= 7200, 10000);
    cr_expect_lt(daemon_metric(setup.relay, "outbox_paused_topic_seconds"), 7260);
    cr_assert_eq(daemon_http(setup.relay, "/status.json", &status), 200);
    cr_expect(strstr(status, "\"paused_topics\": 1") != NULL, "%s", status);
    cr_assert_eq(daemon_http(setup.relay, "/", &page), 200);
    cr_expect(strstr(page, topic) != NULL && strstr(page, "for 2 h 0 min") != NULL, "%s", page);
    free(status);
    free(page);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', '%s')::int", topic), 1);
    wait_for(daemon_metric(setup.relay, "outbox_paused_topic_seconds") == 0, 20000);
    setup_end(&setup);
}

/* Nobody has refused anything: it goes on when the rest does. */
Test(relay_paused_seen, a_topic_resumed_while_the_whole_relay_is_paused_makes_nobody_unready__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "topic", 1, NULL);
    char *page = NULL;
    setup_run(&setup, (const char *[]){LEASE, NULL});
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', '%s')::int", topic), 1);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic") == 1, 10000);
    emit_one(&setup, topic);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', null)::int"), 1);
    wait_for(daemon_metric(setup.relay, "outbox_paused") == 1, 10000);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', '%s')::int", topic), 1);
    wait_for(daemon_log_contains(setup.relay, "topic resumed by hand"), 10000);
    for (int64_t end_us = wait_deadline_us(3000); wait_turn(end_us);)
        cr_assert(daemon_readiness_is(setup.relay, 200, "true"));
    cr_assert_eq(daemon_http(setup.relay, "/", &page), 200);
    cr_expect(strstr(page, "resumed: it catches up when the relay is resumed") != NULL, "%s", page);
    free(page);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', null)::int"), 1);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic") == 0, 20000);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

/* An event of two hours ago is replayed while the broker hangs. */
Test(relay_paused_seen, what_is_sent_again_on_purpose_is_no_lag__P5)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "topic", 1, NULL);
    setup_run(&setup, (const char *[]){LEASE, NULL});
    postgres_exec(setup.admin,
                  "insert into outbox.event (topic, payload, created_at) values ('%s', 'x', now() - interval "
                  "'2 hours')",
                  topic);
    setup_wait_confirmed(&setup, 10000);
    wait_for(daemon_metric(setup.relay, "outbox_lag_seconds") == 0, 10000);
    broker_pause(setup.broker);
    postgres_exec(setup.admin, "insert into outbox.request (relay, kind) values ('main', 'replay')");
    wait_for(daemon_metric(setup.relay, "outbox_in_flight_events") == 1, 10000);
    double lag = daemon_metric(setup.relay, "outbox_lag_seconds");
    cr_expect_lt(lag, 60, "%f s", lag);
    broker_continue(setup.broker);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.request where done_at is null") == 0,
             20000);
    setup_end(&setup);
}
