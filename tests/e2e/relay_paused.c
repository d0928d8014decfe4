/* relay_paused.c: promises P2, P3 and P5 when a topic takes nothing: its events wait behind a row of the journal, all others flow, and when the
 * topic is healed they catch up by themselves, in order. Each story in both deliveries. */
#include "relay_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_paused, .timeout = 240);

static const char *const at_least_once[] = {"lease=1s", NULL};

static void
emit_many(struct setup *setup, const char *topic, int count)
{
    postgres_exec(
        setup->app,
        "insert into outbox.event (topic, key, payload) select '%s', convert_to('k' || i %% 7, 'UTF8'),"
        " convert_to(i::text, 'UTF8') from generate_series(1, %d) i",
        topic, count);
}

static int64_t
paused(struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from outbox.paused_topic");
}

static void
run(struct setup *setup, bool exact)
{
    setup_run(setup, exact ? setup_exact(setup, true) : at_least_once);
}

/* Every place that a person or a machine may look at says which topic, and why. */
static void
expect_paused(struct setup *setup, const char *topic)
{
    wait_for(
        postgres_int(setup->admin, "select count(*) from outbox.paused_topic where topic = '%s'", topic) == 1,
        30000);
    wait_for(daemon_readiness_is(setup->relay, 503, topic), 5000);
    cr_expect(daemon_log_contains(setup->relay, topic));
    cr_expect_gt(daemon_metric(setup->relay, "outbox_errors_total{kind=\"topic\"}"), 0);
}

static void
expect_healed(struct setup *setup)
{
    wait_for(paused(setup) == 0, 60000);
    setup_wait_confirmed(setup, 30000);
    wait_for(daemon_http(setup->relay, "/health/ready", NULL) == 200, 5000);
}

static void
unknown_topic(bool exact)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 2, NULL),
               *missing = setup_missing_topic(&setup, "missing");
    run(&setup, exact);
    emit_many(&setup, good, 100);
    emit_many(&setup, missing, 100);
    for (int i = 0; i < 5; i++) {
        emit_many(&setup, good, 20);
        emit_many(&setup, missing, 20);
    }
    expect_paused(&setup, missing);
    setup_wait_confirmed(&setup, 30000);
    wait_for(consumer_count(broker_bootstrap(setup.broker), good) >= 200, 10000);
    broker_create_topic(setup.broker, missing, 3, NULL);
    for (int i = 0; i < 20; i++)
        emit_many(&setup, i % 2 ? good : missing, 20);
    expect_healed(&setup);
    emit_many(&setup, missing, 20);
    setup_wait_confirmed(&setup, 30000);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

Test(relay_paused, an_unknown_topic_waits_alone_and_catches_up_when_it_is_made__P2_P5__row_29)
{
    unknown_topic(false);
}

Test(relay_paused, an_unknown_topic_waits_alone_and_catches_up_when_it_is_made_exactly_once__P2_P3__row_29)
{
    unknown_topic(true);
}

Test(relay_paused, a_topic_deleted_under_way_waits_and_catches_up_when_it_is_made_again_smaller__P5__row_30)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL),
               *deleted = setup_topic(&setup, "deleted", 3, NULL);
    run(&setup, false);
    emit_many(&setup, good, 1);
    emit_many(&setup, deleted, 1);
    setup_wait_confirmed(&setup, 10000);
    broker_delete_topic(setup.broker, deleted);
    for (int i = 0; i < 20; i++)
        emit_many(&setup, i % 2 ? good : deleted, 1);
    expect_paused(&setup, deleted);
    broker_create_topic(setup.broker, deleted, 1, NULL);
    expect_healed(&setup);
    /* what was in the topic went with it; all that came later is there, once */
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), deleted), 10);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), good), 11);
    setup_end(&setup);
}

Test(relay_paused, a_topic_that_may_not_be_written_or_seen_waits_until_it_may__P5__row_32)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *good = setup_topic(&setup, "good", 1, NULL), *denied = setup_topic(&setup, "denied", 1, NULL);
    run(&setup, false);
    emit_many(&setup, denied, 1);
    emit_many(&setup, good, 1);
    setup_wait_confirmed(&setup, 10000);
    broker_deny(broker, denied, "WRITE");
    for (int i = 1; i < 20; i++)
        emit_many(&setup, i % 4 ? good : denied, 1);
    expect_paused(&setup, denied);
    setup_wait_confirmed(&setup, 30000);
    broker_allow(broker, denied);
    expect_healed(&setup);
    broker_deny(broker, denied, "ALL");
    emit_many(&setup, denied, 1);
    emit_many(&setup, good, 1);
    expect_paused(&setup, denied);
    broker_allow(broker, denied);
    expect_healed(&setup);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

/* Three replicas are asked for and two are there: librdkafka would try for ever, and everything behind would wait with it. (Exactly once it
 * does: Kafka cannot end a transaction there.) */
Test(relay_paused, a_topic_with_too_few_replicas_waits_alone_while_others_flow__P2_P5__row_19)
{
    struct broker *broker = broker_start_cluster(3, &(struct broker_options){0});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *strict = setup_topic(&setup, "strict", 1, (const char *[]){"min.insync.replicas", "3", NULL}),
               *plain = setup_topic(&setup, "plain", 3, (const char *[]){"min.insync.replicas", "2", NULL});
    run(&setup, false);
    emit_many(&setup, strict, 20);
    emit_many(&setup, plain, 20);
    setup_wait_confirmed(&setup, 20000);
    broker_kill(broker_node(broker, 3));
    for (int i = 0; i < 10; i++) {
        emit_many(&setup, strict, 20);
        emit_many(&setup, plain, 20);
    }
    expect_paused(&setup, strict);
    setup_wait_confirmed(&setup, 60000);
    int64_t before = consumer_count(broker_bootstrap(setup.broker), plain);
    emit_many(&setup, plain, 20);
    wait_for(consumer_count(broker_bootstrap(setup.broker), plain) >= before + 20, 20000);
    broker_up(broker_node(broker, 3));
    expect_healed(&setup);
    (void)setup_judge(&setup); /* what was out when the producer was made anew may be there twice */
    setup_end(&setup);
}

static void
by_hand(bool exact)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL), *other = setup_topic(&setup, "other", 3, NULL);
    run(&setup, exact);
    emit_many(&setup, other, 50);
    setup_wait_confirmed(&setup, 10000);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', '%s')::int", other), 1);
    wait_for(paused(&setup) == 1, 10000);
    int64_t before = consumer_count(broker_bootstrap(setup.broker), other);
    emit_many(&setup, other, 500);
    emit_many(&setup, good, 500);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), other), before);
    cr_expect_eq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', '%s')::int", other), 1);
    wait_for(paused(&setup) == 0, 10000);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.pause('main', null)::int"), 1);
    wait_for(daemon_log_contains(setup.relay, "paused by hand: nothing is published"), 10000);
    before = consumer_count(broker_bootstrap(setup.broker), good);
    emit_many(&setup, good, 50);
    /* a paused relay looks now and then */
    wait_for(daemon_metric(setup.relay, "outbox_lag_events") > 0, 20000);
    cr_assert_eq(postgres_int(setup.admin, "select (outbox.pause('main', null))::int"), 0);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), good), before);
    cr_assert_eq(postgres_int(setup.admin, "select outbox.resume('main', null)::int"), 1);
    setup_wait_confirmed(&setup, 10000);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

Test(relay_paused, a_topic_and_a_relay_paused_by_hand_wait_until_they_are_resumed__P2_P5)
{
    by_hand(false);
}

Test(relay_paused, a_topic_and_a_relay_paused_by_hand_wait_until_they_are_resumed_exactly_once__P2_P3)
{
    by_hand(true);
}
