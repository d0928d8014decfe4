/* relay_paused_many.c: promises P4 and P5 when many topics wait at once: those that are refused again and again cost the others little. */
#include "relay_setup.h"

#include "support/consumer.h"

#include <criterion/criterion.h>
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
resume(struct setup *setup, const char *topic)
{
    struct outboxd_result result =
        outboxd_run((const char *[]){"resume", "--config", daemon_config_path(setup->relay), topic, NULL});
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    cr_assert(strstr(result.out, "is tried again now: TOPIC_AUTHORIZATION_FAILED") != NULL, "%s", result.out);
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
    wait_for(paused(&setup) == DENIED, 60000);
    double before = instances(&setup);
    int64_t from = newest(&setup);
    wait_for(newest(&setup) >= from + ROWS_OF_20_S, 60000);
    cr_expect_leq(instances(&setup) - before, 6, "%.0f instances for %d topics in 20 s",
                  instances(&setup) - before, DENIED);

    /* Whoever has healed one says so; then the others follow by themselves. */
    broker_allow(broker, denied[DENIED - 1]);
    resume(&setup, denied[DENIED - 1]);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic where topic = '%s'",
                          denied[DENIED - 1]) == 0,
             4000);
    cr_expect_eq(paused(&setup), DENIED - 1);
    for (int i = 0; i < DENIED - 1; i++)
        broker_allow(broker, denied[i]);
    resume(&setup, denied[0]);
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
