/* relay_exact_refused.c: promise P5 with delivery: exactly-once, where librdkafka ends a whole transaction and blames nobody: which topic
 * it is, and why, is said in /health/ready, `outboxd status`, outbox.relay.trouble and the log as it is at least once; and it goes on by
 * itself, with every event once, when the topic is healed. */
#include "relay_setup.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

TestSuite(relay_exact_refused, .timeout = 180);

/* Row 32 of the matrix: the true cause within 15 s. */
#define NAMED_MS 15000

static void
emit(struct setup *setup, const char *topic, int count)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k' || i, '1') from generate_series(1, %d) i", topic,
                  count);
}

static bool
status_says(const struct setup *setup, const char *topic, const char *cause)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"status", "--json", "--config", daemon_config_path(setup->relay), NULL});
    bool says = strstr(result.out, topic) != NULL && strstr(result.out, cause) != NULL;
    outboxd_result_free(&result);
    return says;
}

static void
expect_named(struct setup *setup, const char *topic, const char *error, const char *cure)
{
    char ready[400];
    int64_t from_us = clock_monotonic_us();
    snprintf(ready, sizeof ready, "topic %s is paused: %s: ", topic, error);
    wait_for(daemon_readiness_is(setup->relay, 503, ready), NAMED_MS);
    fprintf(stderr, "refused: %s was named after %" PRId64 " ms\n", error,
            (clock_monotonic_us() - from_us) / 1000);
    cr_expect(daemon_readiness_is(setup->relay, 503, cure));
    wait_for(postgres_int(setup->admin,
                          "select count(*) from outbox.paused_topic where topic = '%s' and error = '%s'"
                          " and strpos(message, '%s') > 0",
                          topic, error, cure) == 1,
             5000);
    cr_expect(daemon_log_contains(setup->relay, topic));
    cr_expect(daemon_log_contains(setup->relay, error));
    cr_expect_gt(daemon_metric(setup->relay, "outbox_errors_total{kind=\"topic\"}"), 0);
}

static void
expect_healed(struct setup *setup)
{
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.paused_topic") == 0, 40000);
    setup_expect_all_once(setup, 40000);
    wait_for(daemon_readiness_is(setup->relay, 200, ""), 5000);
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.relay where trouble is not null") == 0,
             5000);
}

Test(relay_exact_refused, a_topic_that_may_not_be_written_is_named_with_the_missing_permission__P3_P5__row_32)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *good = setup_topic(&setup, "good", 3, NULL), *denied = setup_topic(&setup, "denied", 3, NULL);
    setup_run(&setup, setup_exact(&setup, true));
    emit(&setup, good, 10);
    emit(&setup, denied, 10);
    setup_expect_all_once(&setup, 20000);
    broker_deny(broker, denied, "WRITE");
    for (int i = 0; i < 10; i++)
        emit(&setup, i % 3 == 1 ? denied : good, 20);
    expect_named(&setup, denied, "TOPIC_AUTHORIZATION_FAILED", "allow DESCRIBE and WRITE on the topic");
    broker_allow(broker, denied);
    expect_healed(&setup);
    setup_end(&setup);
}

Test(relay_exact_refused, a_position_topic_that_may_not_be_written_is_named_and_heals__P3_P5__row_32)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *topic = setup_topic(&setup, "good", 3, NULL);
    setup_run(&setup, setup_exact(&setup, true));
    emit(&setup, topic, 10);
    setup_expect_all_once(&setup, 20000);
    broker_deny(broker, setup.position, "WRITE");
    emit(&setup, topic, 1);
    wait_for(daemon_readiness_is(setup.relay, 503, setup.position), NAMED_MS);
    wait_for(status_says(&setup, setup.position, "allow READ, WRITE and DESCRIBE"), 5000);
    broker_allow(broker, setup.position);
    expect_healed(&setup);
    setup_end(&setup);
}

/* It has never led before: what it meets first may pass. */
Test(relay_exact_refused,
     a_standby_that_may_not_read_the_position_topic_yet_waits_and_takes_over__P3_P5__row_32)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *topic = setup_topic(&setup, "good", 3, NULL);
    const char *const *exact = setup_exact(&setup, true);
    setup_run(&setup, exact);
    emit(&setup, topic, 10);
    setup_expect_all_once(&setup, 20000);
    struct daemon *leader = setup.relay;
    setup.relay = NULL;
    setup_run(&setup, exact);
    broker_deny(broker, setup.position, "ALL");
    daemon_kill(leader);
    daemon_free(leader);
    emit(&setup, topic, 10);
    wait_for(daemon_readiness_is(setup.relay, 503, "allow READ, WRITE and DESCRIBE"), NAMED_MS);
    cr_expect(daemon_readiness_is(setup.relay, 503, setup.position));
    broker_allow(broker, setup.position);
    expect_healed(&setup);
    setup_end(&setup);
}

Test(relay_exact_refused, a_topic_deleted_under_way_is_named_and_made_again_it_goes_on__P3_P5__row_30)
{
    struct setup setup = setup_begin();
    const char *deleted = setup_missing_topic(&setup, "deleted");
    setup_run(&setup, setup_exact(&setup, true));
    emit(&setup, deleted, 10);
    expect_named(&setup, deleted, "UNKNOWN_TOPIC_OR_PART", "create the topic");
    broker_create_topic(setup.broker, deleted, 3, NULL);
    expect_healed(&setup);
    broker_delete_topic(setup.broker, deleted);
    emit(&setup, deleted, 10);
    wait_for(daemon_readiness_is(setup.relay, 503, deleted), NAMED_MS);
    broker_create_topic(setup.broker, deleted, 1, NULL);
    setup_wait_confirmed(&setup, 40000);
    wait_for(setup_count(&setup) > 10, 40000); /* ten events, and the mark of a commit */
    wait_for(daemon_readiness_is(setup.relay, 200, ""), 5000);
    setup_end(&setup);
}

/* What is refused before it is sent waits for what is before it, and that is committed at once, however long a transaction may last. */
Test(relay_exact_refused, events_that_are_refused_before_they_are_sent_keep_nobody_waiting__P3_P5)
{
    struct setup setup = setup_begin();
    const char *small = setup_topic(&setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(&setup, setup_and(setup_exact(&setup, true), "transaction/time=10s"));
    setup_make_bytes(&setup);
    int64_t from_us = clock_monotonic_us();
    postgres_exec(
        setup.admin,
        "insert into outbox.event (topic, key, payload) select '%s', int8send(i), test_bytes(case when"
        " i %% 10 = 0 then 30000 else 100 end, i) from generate_series(1, 100) i",
        small);
    setup_wait_confirmed(&setup, 60000);
    cr_expect_lt(clock_monotonic_us() - from_us, 10000000);
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.dead_letter"), 10);
    broker_configure_topic(setup.broker, small, "max.message.bytes", "100000");
    wait_for(expected_nothing_waits(setup.admin), 60000);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}
