/* relay_stuck.c: promise P5 with the policy `stop`: what cannot be published stops the relay at that event, is said in
 * /health/ready, in /metrics, in `outboxd status` and in outbox.relay.trouble; nothing is skipped; and it goes on by itself when the topic
 * is healed. */
#include "relay_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_stuck, .timeout = 180);

static void
emit(struct setup *setup, const char *topic, const char *key, int payload)
{
    postgres_exec(setup->app, "select outbox.emit('%s', '%s', '%d')", topic, key, payload);
}

static bool
status_says(const struct setup *setup, const char *text)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"status", "--config", daemon_config_path(setup->relay), NULL});
    bool says = strstr(result.out, text) != NULL;
    outboxd_result_free(&result);
    return says;
}

/* Every place that a person or a machine may look at says where the relay is stuck: at the event of `topic` that comes after
 * the first `published` of them. */
static void
expect_stuck_at(struct setup *setup, const char *topic, int published, const char *kind)
{
    char sample[64];
    snprintf(sample, sizeof sample, "outbox_errors_total{kind=\"%s\"}", kind);
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.relay where trouble->>'topic' = '%s'",
                          topic) == 1,
             30000);
    wait_for(daemon_readiness_is(setup->relay, 503, topic), 2000);
    /* a later event may be refused first, while the report of this one is on its way */
    wait_for(postgres_int(setup->admin,
                          "select count(*) from outbox.relay where (trouble->>'event_id')::bigint ="
                          " (select id from outbox.event where topic = '%s' order by id offset %d limit 1)",
                          topic, published) == 1,
             5000);
    cr_expect_gt(daemon_metric(setup->relay, sample), 0);
    cr_expect_gt(daemon_metric(setup->relay, "outbox_lag_events"), 0);
    cr_expect(status_says(setup, topic));
    cr_expect(daemon_log_contains(setup->relay, topic));
}

static void
expect_healed(struct setup *setup)
{
    setup_wait_confirmed(setup, 30000);
    wait_for(daemon_http(setup->relay, "/health/ready", NULL) == 200, 5000);
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.relay where trouble is not null") == 0,
             5000);
    wait_for(daemon_metric(setup->relay, "outbox_lag_events") == 0, 5000);
    setup_expect_all_once(setup, 1000);
}

/* While the relay is stuck, what was committed later stays where it is, of every topic. */
static void
expect_waits(struct setup *setup, const char *topic, int64_t count)
{
    double attempts = daemon_metric(setup->relay, "outbox_errors_total{kind=\"topic\"}") +
                      daemon_metric(setup->relay, "outbox_errors_total{kind=\"event\"}");
    emit(setup, topic, "later", 100);
    wait_for(daemon_metric(setup->relay, "outbox_errors_total{kind=\"topic\"}") +
                     daemon_metric(setup->relay, "outbox_errors_total{kind=\"event\"}") >
                 attempts,
             30000);
    cr_assert_eq(consumer_count(broker_bootstrap(setup->broker), topic), count,
                 "an event behind the one that the relay is stuck at was published");
}

Test(relay_stuck, an_unknown_topic_stops_the_relay_which_goes_on_when_it_is_made__P5__row_29)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 2, NULL),
               *missing = setup_missing_topic(&setup, "missing");
    setup_run(&setup, NULL);
    emit(&setup, good, "k", 1);
    emit(&setup, missing, "k", 2);
    emit(&setup, good, "k", 3);
    expect_stuck_at(&setup, missing, 0, "topic");
    cr_expect_gt(daemon_metric(setup.relay, "outbox_lag_seconds"), 0);
    expect_waits(&setup, good, 1);
    broker_create_topic(setup.broker, missing, 2, NULL);
    expect_healed(&setup);
    setup_end(&setup);
}

Test(relay_stuck,
     a_topic_deleted_under_way_stops_the_relay_which_goes_on_when_it_is_made_again_smaller__P5__row_30)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL),
               *deleted = setup_topic(&setup, "deleted", 3, NULL);
    setup_run(&setup, NULL);
    emit(&setup, good, "k", 1);
    emit(&setup, deleted, "k", 2);
    setup_wait_confirmed(&setup, 10000);
    broker_delete_topic(setup.broker, deleted);
    for (int i = 0; i < 20; i++)
        emit(&setup, i % 2 ? good : deleted, "k", i);
    expect_stuck_at(&setup, deleted, 1, "topic");
    broker_create_topic(setup.broker, deleted, 1, NULL);
    setup_wait_confirmed(&setup, 40000);
    wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 200, 5000);
    /* what was in the topic went with it; all that came later is there, once */
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), deleted), 10);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), good), 11);
    setup_end(&setup);
}

Test(relay_stuck, a_topic_that_may_not_be_written_or_seen_stops_the_relay_until_it_may__P5__row_32)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *good = setup_topic(&setup, "good", 1, NULL), *denied = setup_topic(&setup, "denied", 1, NULL);
    setup_run(&setup, NULL);
    emit(&setup, denied, "k", 0);
    emit(&setup, good, "k", 0);
    setup_wait_confirmed(&setup, 10000);
    broker_deny(broker, denied, "WRITE");
    for (int i = 1; i < 20; i++)
        emit(&setup, i % 4 ? good : denied, "k", i);
    expect_stuck_at(&setup, denied, 1, "topic");
    broker_allow(broker, denied);
    expect_healed(&setup);
    broker_deny(broker, denied, "ALL");
    emit(&setup, denied, "k", 20);
    emit(&setup, good, "k", 21);
    expect_stuck_at(&setup, denied, 5, "topic");
    broker_allow(broker, denied);
    expect_healed(&setup);
    setup_end(&setup);
}

Test(relay_stuck, an_event_too_large_for_its_topic_stops_the_relay_until_the_topic_takes_it__P5__row_34)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL);
    const char *small = setup_topic(&setup, "small", 1, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(&setup, NULL);
    setup_make_bytes(&setup);
    emit(&setup, small, "k", 1);
    postgres_exec(setup.admin,
                  "insert into outbox.event (topic, key, payload) select case when i %% 3 = 0 then '%s' else "
                  "'%s' end, 'k',"
                  " test_bytes(case when i = 30 then 50000 else 500 end, i) from generate_series(1, 200) i",
                  small, good);
    expect_stuck_at(&setup, small, 10, "event");
    int64_t before = consumer_count(broker_bootstrap(setup.broker), good);
    expect_waits(&setup, good, before);
    broker_configure_topic(setup.broker, small, "max.message.bytes", "100000");
    expect_healed(&setup);
    setup_end(&setup);
}

Test(relay_stuck, an_event_without_a_key_on_a_compacted_topic_stops_the_relay_until_the_topic_takes_it__P5)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL);
    const char *compacted =
        setup_topic(&setup, "compacted", 1, (const char *[]){"cleanup.policy", "compact", NULL});
    setup_run(&setup, NULL);
    emit(&setup, compacted, "k", 1);
    postgres_exec(setup.app, "select outbox.emit('%s', null, '2')", compacted);
    emit(&setup, compacted, "k", 3);
    expect_stuck_at(&setup, compacted, 1, "event");
    expect_waits(&setup, good, 0);
    broker_configure_topic(setup.broker, compacted, "cleanup.policy", "delete");
    expect_healed(&setup);
    setup_end(&setup);
}

/* Kafka 4 refuses what lies more than an hour ahead; the past is welcome. */
Test(relay_stuck, an_event_from_the_future_stops_the_relay_until_the_topic_takes_it__P5__row_41)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "times", 1, NULL);
    setup_run(&setup, NULL);
    postgres_exec(
        setup.admin,
        "insert into outbox.event (topic, key, created_at) values ('%s', 'k', '1970-01-01 00:00:00.001+00'),"
        " ('%s', 'k', now() + interval '3 days'), ('%s', 'k', '2001-02-03 04:05:06.789999+00')",
        topic, topic, topic);
    expect_stuck_at(&setup, topic, 1, "event");
    broker_configure_topic(setup.broker, topic, "message.timestamp.after.max.ms", "864000000");
    expect_healed(&setup);
    setup_end(&setup);
}

/* The refusal stands in the way of what comes later, also for the process that comes next. */
Test(relay_stuck, kill_9_while_stuck_skips_nothing__P5_P1)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL),
               *missing = setup_missing_topic(&setup, "missing");
    setup_run(&setup, (const char *[]){"lease=1s", NULL});
    emit(&setup, good, "k", 1);
    setup_wait_confirmed(&setup, 10000);
    emit(&setup, missing, "k", 2);
    emit(&setup, good, "k", 3);
    expect_stuck_at(&setup, missing, 0, "topic");
    daemon_kill(setup.relay);
    daemon_again(setup.relay);
    expect_stuck_at(&setup, missing, 0, "topic");
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), good), 1);
    broker_create_topic(setup.broker, missing, 1, NULL);
    expect_healed(&setup);
    setup_end(&setup);
}
