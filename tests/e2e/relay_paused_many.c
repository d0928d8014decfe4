/* relay_paused_many.c: promises P4 and P5 when many topics wait at once, or one waits with much: those that are refused again and again cost the
 * others little, those that are healed together catch up, and what catches up leaves room for what is live. */
#include "relay_setup.h"

#include "base/clock.h"
#include "support/consumer.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_paused_many, .timeout = 240);

/* A quarter of the lease is between two rows of a leader that has nothing to do. */
#define LEASE "lease=1s"
#define ROWS_OF_20_S 80

static int64_t
newest(struct setup *setup)
{
    return postgres_int(setup->admin, "select max(seq) from outbox.journal");
}

static int64_t
paused(struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from outbox.paused_topic");
}

static double
instances(const struct setup *setup)
{
    return daemon_metric(setup->relay, "outbox_producer_instances_total");
}

#define DENIED 12

static void
resume(struct setup *setup, const char *topic, const char *says)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"resume", "--config", daemon_config_path(setup->relay), topic, NULL});
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    cr_assert(strstr(result.out, says) != NULL, "%s", result.out);
    outboxd_result_free(&result);
}

/* Only an event tells that a topic may not be written, and costs the instance. */
static void
denied_topics(bool exact)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *denied[DENIED + 1] = {NULL};
    for (int i = 0; i < DENIED; i++) {
        denied[i] = broker_new_topic(broker, "denied", 1, NULL);
        broker_deny(broker, denied[i], "WRITE");
    }
    setup_run(&setup, setup_and(exact ? setup_exact(&setup, true) : NULL, LEASE));
    for (int i = 0; i < DENIED; i++)
        postgres_exec(setup.app, "insert into outbox.event (topic, payload) values ('%s', 'x')", denied[i]);
    wait_for(daemon_metric(setup.relay, "outbox_paused_topics") == DENIED,
             60000); /* as old as what it says of instances */
    double before = instances(&setup);
    int64_t from = newest(&setup);
    wait_for(newest(&setup) >= from + ROWS_OF_20_S, 60000);
    cr_expect_leq(instances(&setup) - before, 6, "%.0f instances for %d topics in 20 s",
                  instances(&setup) - before, DENIED);

    /* Whoever has healed one says so; then the others follow by themselves. */
    broker_allow(broker, denied[DENIED - 1]);
    resume(&setup, denied[DENIED - 1], "is tried again now: TOPIC_AUTHORIZATION_FAILED");
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic where topic = '%s'",
                          denied[DENIED - 1]) == 0,
             4000);
    cr_expect_eq(paused(&setup), DENIED - 1);
    for (int i = 0; i < DENIED - 1; i++)
        broker_allow(broker, denied[i]);
    resume(&setup, denied[0], ""); /* it may have been tried meanwhile, and healed the others */
    wait_for(paused(&setup) == 0, 60000);
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(broker), denied, true);
    cr_expect_eq(records.count, DENIED);
    records_free(&records);
    setup_end(&setup);
}

Test(relay_paused_many,
     topics_that_may_not_be_written_cost_few_instances_and_are_tried_at_once_when_resumed__P4_P5)
{
    denied_topics(false);
}

Test(relay_paused_many,
     topics_that_may_not_be_written_cost_few_instances_and_are_tried_at_once_when_resumed_exactly_once__P4_P5)
{
    denied_topics(true);
}

/* With so many, a round of each of them takes longer than the second in which one may be followed by the last. */
#define MANY 300
#define MANY_EXACT 100

static int64_t
id_of(const struct record *record)
{
    const struct record_header *id = record_header(record, "id");
    cr_assert_not_null(id);
    return strtoll(id->value.data, NULL, 10);
}

/* Every event of theirs once, in the order of its ids. */
static void
expect_all_once(struct setup *setup, const char *many, int count)
{
    const char *topics[MANY + 1] = {NULL};
    struct records records = {0};
    for (int i = 0; i < count; i++)
        topics[i] = must_format("%s.%d", many, i + 1);
    consumer_read_all(&records, broker_bootstrap(setup->broker), topics, true);
    cr_expect_eq(
        (int64_t)records.count,
        postgres_int(setup->admin, "select count(*) from outbox.event where topic like '%s.%%'", many));
    for (size_t i = 1; i < records.count; i++) {
        const struct record *one = &records.list[i - 1], *next = &records.list[i];
        cr_expect(strcmp(one->topic, next->topic) != 0 || id_of(one) < id_of(next),
                  "%s: %" PRId64 ", %" PRId64, one->topic, id_of(one), id_of(next));
    }
    records_free(&records);
    for (int i = 0; i < count; i++)
        free((char *)topics[i]);
}

/* Each of them gets events all the time, so that each has to be closed. */
static void
healed_together(bool exact)
{
    struct setup setup = setup_begin();
    int count = exact ? MANY_EXACT : MANY;
    const char *live = setup_topic(&setup, "live", 1, NULL),
               *many = broker_new_topics(setup.broker, "many", count);
    setup_run(&setup, setup_and(exact ? setup_exact(&setup, true) : NULL, LEASE));
    postgres_exec(setup.admin, "select outbox.pause('main', '%s.' || i) from generate_series(1, %d) i", many,
                  count);
    wait_for(paused(&setup) == count, 30000);
    for (int i = 0; i < 3; i++)
        postgres_exec(
            setup.app,
            "insert into outbox.event (topic, key, payload) select '%s.' || i, 'k', convert_to('%d',"
            " 'UTF8') from generate_series(1, %d) i",
            many, i, count);
    postgres_exec(setup.admin, "delete from outbox.pause");
    int events = 3 * count;
    for (int64_t give_up = wait_deadline_us(120000); paused(&setup) > 0 && wait_turn(give_up); events += 20)
        postgres_exec(
            setup.app,
            "insert into outbox.event (topic, key, payload)"
            " select '%s.' || 1 + (%d + i) %% %d, 'k'::bytea, 'x'::bytea from generate_series(0, 19) i"
            " union all select '%s', 'k', 'x'",
            many, events, count, live);
    cr_assert_eq(paused(&setup), 0, "%" PRId64 " of %d topics are left", paused(&setup), count);
    setup_wait_confirmed(&setup, 30000);
    expect_all_once(&setup, many, count);
    setup_end(&setup);
}

Test(relay_paused_many,
     hundreds_of_topics_that_heal_together_catch_up_although_events_of_theirs_keep_coming__P5)
{
    healed_together(false);
}

Test(relay_paused_many,
     hundreds_of_topics_that_heal_together_catch_up_although_events_of_theirs_keep_coming_exactly_once__P5)
{
    healed_together(true);
}

/* Nothing hurries for live events a second after the last one. */
static void
pause_right_behind_a_live_event(struct setup *setup, const char *live)
{
    for (;;) {
        int64_t from_us = clock_monotonic_us();
        postgres_exec(setup->app, "insert into outbox.event (topic, payload) values ('%s', 'x')", live);
        broker_pause(setup->broker);
        if (clock_monotonic_us() - from_us < 500000)
            return;
        broker_continue(setup->broker);
    }
}

/* Live events come while a topic has much to catch up with. The broker hangs, so that all that may be in front of a live event is in flight. */
Test(relay_paused_many, a_topic_that_catches_up_has_little_in_flight_while_there_are_live_events__P4)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *live = setup_topic(&setup, "live", 1, NULL), *much = setup_topic(&setup, "much", 1, NULL);
    setup_run(&setup, (const char *[]){LEASE, NULL});
    postgres_exec(setup.admin, "select outbox.pause('main', '%s')", much);
    wait_for(paused(&setup) == 1, 10000);
    for (int i = 0; i < 10; i++)
        postgres_exec(
            setup.app,
            "insert into outbox.event (topic, key, payload) select '%s', convert_to((i %% 7)::text, 'UTF8'),"
            " 'x' from generate_series(1, 30000) i",
            much);
    postgres_exec(setup.admin, "delete from outbox.pause");
    while (consumer_count(broker_bootstrap(setup.broker), much) < 1000)
        postgres_exec(setup.app, "insert into outbox.event (topic, payload) values ('%s', 'x')", live);
    pause_right_behind_a_live_event(&setup, live);
    int lives = 0;
    for (int64_t from = newest(&setup); newest(&setup) < from + 20; lives++)
        postgres_exec(setup.app, "insert into outbox.event (topic, payload) values ('%s', 'x')", live);
    double in_flight = daemon_metric(setup.relay, "outbox_in_flight_events");
    broker_continue(setup.broker);
    cr_expect_geq(in_flight, 1);
    cr_expect_leq(in_flight, 500 + 200 + 1 + lives, "%.0f events are in flight, of which %d are live",
                  in_flight, lives);
    cr_assert_geq(paused(&setup), 1, "there was more to catch up with");
    wait_for(paused(&setup) == 0, 60000);
    setup_expect_all_once(&setup, 30000);
    setup_end(&setup);
}
