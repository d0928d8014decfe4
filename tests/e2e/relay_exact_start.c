/* relay_exact_start.c: what delivery: exactly-once needs, and what it refuses to believe: every start that must not publish says so, and
 * says what helps. */
#include "e2e/relay_setup.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_exact_start, .timeout = 120);

static void
emit(struct setup *setup, int events)
{
    postgres_exec(setup->app,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g), 'x' from "
                  "generate_series(1, %d) g",
                  setup->topics[0], events);
}

/* Some events were published exactly once, and the relay has stopped. */
static const char *const *
publish_some(struct setup *setup)
{
    const char *const *exact = setup_exact(setup, true);
    setup_topic(setup, "events", 3, NULL);
    setup_run(setup, exact);
    emit(setup, 100);
    setup_expect_all_once(setup, 20000);
    cr_assert_eq(daemon_terminate(setup->relay), 0);
    return exact;
}

static void
rebase_position(struct setup *setup)
{
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    struct outboxd_result result = daemon_rebase_position(setup->relay, admin);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    cr_assert_not_null(strstr(result.out, "takes its position from the journal"), "%s", result.out);
    outboxd_result_free(&result);
}

Test(relay_exact_start, without_its_position_topic_it_ends_with_69_and_check_create_makes_it)
{
    struct setup setup = setup_begin();
    const char *const *exact = setup_exact(&setup, false);
    setup_topic(&setup, "events", 3, NULL);
    emit(&setup, 10);
    setup_expect_refusal(&setup, exact, 69, setup.position, "outboxd check --create");
    const char *config = daemon_config_path(setup.relay);
    struct outboxd_result check = outboxd_run((const char *[]){"check", "--config", config, NULL});
    cr_expect_eq(check.exit_code, 69, "%s", check.out);
    cr_expect_not_null(
        strstr(check.out, "--partitions 1 --replication-factor 1 --config cleanup.policy=compact"), "%s",
        check.out);
    outboxd_result_free(&check);
    check = outboxd_run((const char *[]){"check", "--create", "--config", config, NULL});
    cr_expect_eq(check.exit_code, 0, "%s", check.out);
    outboxd_result_free(&check);
    setup_run(&setup, exact);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_exact_start, a_position_topic_that_forgets_or_is_divided_is_refused)
{
    struct setup setup = setup_begin();
    const char *const *exact = setup_exact(&setup, false);
    setup_topic(&setup, "events", 3, NULL);
    broker_create_topic(setup.broker, setup.position, 1, (const char *[]){"cleanup.policy", "delete", NULL});
    setup_expect_refusal(&setup, exact, 69, "cleanup.policy=delete", "kafka-configs.sh");
    broker_configure_topic(setup.broker, setup.position, "cleanup.policy", "compact");
    setup_run(&setup, exact);
    emit(&setup, 10);
    setup_expect_all_once(&setup, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    broker_add_partitions(setup.broker, setup.position, 2);
    setup_expect_refusal(&setup, exact, 69, "2 partitions", "must have one");
    setup_end(&setup);
}

Test(relay_exact_start, a_position_of_another_outbox_with_the_same_names_is_78_and_stays_as_it_is)
{
    struct setup first = setup_begin(), second = setup_begin();
    const char *const *exact = publish_some(&first);
    setup_expect_refusal(&second, exact, 78, "of another database", "choose others");
    setup_run(&first, exact);
    emit(&first, 10);
    setup_expect_all_once(&first, 20000);
    setup_end(&second);
    setup_end(&first);
}

Test(relay_exact_start, a_position_that_is_gone_from_Kafka_stops_it_with_70_and_names_rebase__row_26)
{
    struct setup setup = setup_begin();
    const char *const *exact = publish_some(&setup);
    broker_delete_topic(setup.broker, setup.position);
    broker_create_topic(setup.broker, setup.position, 1, (const char *[]){"cleanup.policy", "compact", NULL});
    emit(&setup, 10);
    setup_expect_refusal(&setup, exact, 70, "Kafka has no position", "outboxd rebase");
    cr_expect_eq(setup_count(&setup), 100 + 3, "published although its place is not known");
    rebase_position(&setup);
    setup_run(&setup, exact);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_exact_start, a_history_that_Postgres_has_lost_stops_it_with_70__row_59)
{
    struct setup setup = setup_begin();
    const char *const *exact = publish_some(&setup);
    /* the same ticks again, as a promoted standby would write them anew */
    postgres_exec(setup.admin, "update outbox.journal set nonce = nonce + 1, exact_nonce = exact_nonce + 1");
    setup_expect_refusal(&setup, exact, 70, "which this database does not know",
                         "outboxd rebase --position main");
    rebase_position(&setup);
    setup_run(&setup, exact);
    emit(&setup, 10);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_exact_start, a_refused_event_keeps_nothing_before_it_back_and_repeats_nothing_when_healed__P3_P5)
{
    struct setup setup = setup_begin();
    const char *const *exact = setup_exact(&setup, true);
    const char *compact[] = {"cleanup.policy", "compact", NULL};
    const char *topic = setup_topic(&setup, "compacted", 1, compact),
               *plain = setup_topic(&setup, "events", 3, NULL);
    setup_run(&setup, exact);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload)"
                  " select case g %% 2 when 0 then '%s' else '%s' end, int8send(g), 'x'"
                  " from generate_series(1, 2000) g",
                  topic, plain);
    postgres_exec(setup.app, "insert into outbox.event (topic, payload) values ('%s', 'no key')", topic);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload)"
                  " select '%s', int8send(g), 'y' from generate_series(1, 500) g",
                  plain);
    wait_for(daemon_readiness_is(setup.relay, 503, "KEY_REQUIRED"), 20000);
    wait_for(
        postgres_int(setup.admin,
                     "select exact_id from outbox.journal where relay = 'main' order by seq desc limit 1") +
                postgres_int(
                    setup.admin,
                    "select exact_seq from outbox.journal where relay = 'main' order by seq desc limit 1") >
            0,
        20000);
    broker_configure_topic(setup.broker, topic, "cleanup.policy", "delete");
    setup_expect_all_once(&setup, 60000);
    setup_end(&setup);
}
