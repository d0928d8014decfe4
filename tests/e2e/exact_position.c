/* exact_position.c: the position topic of a relay that delivers exactly once, hit while the relay runs: deleted, emptied, compacted,
 * forbidden. The relay waits or stops, says why, and never begins anew (P1, P3). */
#include "relay_setup.h"

#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

TestSuite(exact_position, .timeout = 120);

#define UNUSABLE 69
#define BROKEN 70

static void
emit(struct setup *setup, int events)
{
    postgres_exec(setup->app,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g), 'x' from "
                  "generate_series(1, %d) g",
                  setup->topics[0], events);
}

/* An event waits for the first start of all. */
static struct setup
begin_anew(struct broker *broker, const char *const *configs, const char *const **exact)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    *exact = setup_exact(&setup, false);
    setup_topic(&setup, "events", 3, NULL);
    broker_create_topic(setup.broker, setup.position, 1, configs);
    emit(&setup, 1);
    return setup;
}

/* A relay that has published something exactly once and runs. */
static struct setup
begin(struct broker *broker, const char *const *configs)
{
    const char *const *exact;
    struct setup setup = begin_anew(broker, configs, &exact);
    setup_run(&setup, exact);
    emit(&setup, 100);
    setup_wait_confirmed(&setup, 20000);
    return setup;
}

static const char *const compacted[] = {"cleanup.policy", "compact", NULL};

static void
rebase_and_go_on(struct setup *setup)
{
    setup_rebase(setup, "--position=main", "takes its position from the journal");
    daemon_again(setup->relay);
    setup_expect_all_once(setup, 20000);
    setup_end(setup);
}

Test(exact_position, deleted_under_way_it_is_missed_and_made_anew_it_is_not_believed__P1_P3__row_26)
{
    struct setup setup = begin(broker_shared(), compacted);
    broker_delete_topic(setup.broker, setup.position);
    emit(&setup, 10);
    wait_for(daemon_readiness_is(setup.relay, 503, setup.position), 40000);
    broker_create_topic(setup.broker, setup.position, 1, compacted);
    setup_expect_end(&setup, BROKEN, "Kafka has no position", "outboxd rebase");
    rebase_and_go_on(&setup);
}

Test(exact_position, emptied_while_the_relay_is_away_it_is_not_taken_for_a_beginning__P1_P3__row_26)
{
    struct setup setup = begin(broker_shared(), compacted);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    broker_configure_topic(setup.broker, setup.position, "cleanup.policy", "delete");
    broker_empty_topic(setup.broker, setup.position);
    broker_configure_topic(setup.broker, setup.position, "cleanup.policy", "compact");
    emit(&setup, 10);
    daemon_again(setup.relay);
    setup_expect_end(&setup, BROKEN, "Kafka has no position", "outboxd rebase");
    rebase_and_go_on(&setup);
}

static size_t
positions(const struct setup *setup)
{
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(setup->broker), (const char *[]){setup->position, NULL},
                      true);
    size_t count = records.count;
    records_free(&records);
    return count;
}

Test(exact_position, compacted_while_the_relay_is_idle_it_is_found_again__P1_P3__row_43)
{
    static const char *const often[] = {
        "cleanup.policy", "compact", "segment.ms", "100", "min.cleanable.dirty.ratio", "0.001", NULL};
    enum { COMMITS = 20 };
    struct setup setup =
        begin(broker_start(&(struct broker_options){.properties = "log.cleaner.backoff.ms=200\n"}), often);
    for (int i = 0; i < COMMITS; i++) {
        emit(&setup, 5);
        setup_wait_confirmed(&setup, 20000);
    }
    for (int64_t end_us = wait_deadline_us(60000); positions(&setup) > COMMITS / 2;) {
        emit(&setup, 1); /* a segment is closed by what comes after it */
        cr_assert(wait_turn(end_us), "nothing was compacted");
    }
    setup_wait_confirmed(&setup, 20000);
    daemon_kill(setup.relay);
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    emit(&setup, 50);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

/* The same names there, and a position topic without a position. */
Test(exact_position, another_cluster_is_not_taken_for_a_beginning__P1_P3__row_27)
{
    struct setup setup = begin(broker_shared(), compacted);
    struct broker *other = broker_start(&(struct broker_options){.cluster_id = "b3V0Ym94ZC1vdGhlcnMtMQ"});
    broker_create_topic(other, setup.position, 1, compacted);
    broker_create_topic(other, setup.topics[0], 3, NULL);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    emit(&setup, 10);
    scratch_replace_in_file(daemon_config_path(setup.relay), broker_bootstrap(setup.broker),
                            broker_bootstrap(other));
    daemon_again(setup.relay);
    setup_expect_end(&setup, BROKEN, "Kafka has no position", "another cluster");
    cr_expect_eq(consumer_count(broker_bootstrap(other), setup.topics[0]), 0);
    scratch_replace_in_file(daemon_config_path(setup.relay), broker_bootstrap(other),
                            broker_bootstrap(setup.broker));
    daemon_again(setup.relay);
    setup_expect_all_once(&setup, 20000);
    broker_free(other);
    setup_end(&setup);
}

/* ---- what ACLs forbid (row 33) ---- */

Test(exact_position, a_position_topic_that_may_not_be_used_is_named_with_what_to_allow_and_waited_for__row_33)
{
    static const char *const operations[] = {"WRITE", "READ", "DESCRIBE"};
    struct setup setup =
        begin(broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS}), compacted);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        cr_assert_eq(daemon_terminate(setup.relay), 0);
        broker_deny(setup.broker, setup.position, operations[i]);
        emit(&setup, 1);
        daemon_again(setup.relay);
        wait_for(daemon_readiness_is(setup.relay, 503, "allow READ, WRITE and DESCRIBE on it"), 20000);
        cr_expect(daemon_readiness_is(setup.relay, 503, setup.position));
        broker_allow(setup.broker, setup.position);
        wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 200, 20000);
    }
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

/* Whether it may be read shows before anything is published, and a person has to mend it. Whether it may be written shows at the first
 * commit only, and that is tried again. */
Test(exact_position,
     a_position_topic_that_may_not_be_read_ends_a_first_start_and_not_to_be_written_is_waited_for__row_33)
{
    static const char *const operations[] = {"READ", "DESCRIBE"}, cure[] = "allow READ, WRITE and DESCRIBE";
    const char *const *exact;
    struct setup setup =
        begin_anew(broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS}), compacted, &exact);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        broker_deny(setup.broker, setup.position, operations[i]);
        setup_expect_refusal(&setup, exact, UNUSABLE, setup.position, cure);
        broker_allow(setup.broker, setup.position);
    }
    broker_deny(setup.broker, setup.position, "WRITE");
    setup_start(&setup, exact);
    wait_for(daemon_readiness_is(setup.relay, 503, cure), 20000);
    cr_expect(daemon_readiness_is(setup.relay, 503, setup.position));
    cr_expect_eq(setup_count(&setup), 0, "published without a position");
    broker_allow(setup.broker, setup.position);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

/* outboxd-<source>-<relay> */
static char *
transactional_id(const struct setup *setup)
{
    return must_format("outboxd-%s-" DAEMON_RELAY, setup->source);
}

/* What it asks of that. */
static const char *const operations_on_id[] = {"Write", "Describe"};
#define OPERATIONS_ON_ID (sizeof operations_on_id / sizeof *operations_on_id)

Test(exact_position, a_transactional_id_that_may_not_be_used_is_named_and_waited_for__row_33)
{
    struct setup setup =
        begin(broker_start(&(struct broker_options){.version = "3.9.1", .properties = BROKER_WITH_ACLS}),
              compacted);
    char *id = transactional_id(&setup);
    for (size_t i = 0; i < OPERATIONS_ON_ID; i++) {
        cr_assert_eq(daemon_terminate(setup.relay), 0);
        broker_deny_transactional_id(setup.broker, id, operations_on_id[i], true);
        emit(&setup, 1);
        daemon_again(setup.relay);
        wait_for(daemon_readiness_is(setup.relay, 503, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), 20000);
        cr_expect(daemon_readiness_is(setup.relay, 503, id));
        broker_deny_transactional_id(setup.broker, id, operations_on_id[i], false);
        wait_for(daemon_http(setup.relay, "/health/ready", NULL) == 200, 20000);
    }
    setup_expect_all_once(&setup, 20000);
    free(id);
    setup_end(&setup);
}

Test(exact_position,
     at_a_first_start_a_transactional_id_that_may_not_be_used_ends_it_with_what_to_allow__row_33)
{
    const char *const *exact;
    struct setup setup =
        begin_anew(broker_start(&(struct broker_options){.version = "3.9.1", .properties = BROKER_WITH_ACLS}),
                   compacted, &exact);
    char *id = transactional_id(&setup);
    char *cure = must_format("allow WRITE and DESCRIBE on the transactional id %s to the relay's", id);
    for (size_t i = 0; i < OPERATIONS_ON_ID; i++) {
        broker_deny_transactional_id(setup.broker, id, operations_on_id[i], true);
        setup_expect_refusal(&setup, exact, UNUSABLE, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", cure);
        broker_deny_transactional_id(setup.broker, id, operations_on_id[i], false);
    }
    cr_expect_eq(setup_count(&setup), 0);
    setup_run(&setup, exact);
    setup_expect_all_once(&setup, 20000);
    free(cure), free(id);
    setup_end(&setup);
}
