/* relay_exact_start.c: what delivery: exactly-once needs, and what it refuses to believe: every start that must not publish says so, and
 * says what helps. */
#include "e2e/relay_setup.h"

#include <stdio.h>
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

/* What `run` would end with, `check` says before, and takes no lead for it. */
static void
expect_check(struct setup *setup, int exit_code, const char *cause, const char *cure)
{
    static const char epoch[] = "select max(epoch) from outbox.journal";
    int64_t before = postgres_int(setup->admin, epoch);
    struct outboxd_result check =
        outboxd_run((const char *[]){"check", "--config", daemon_config_path(setup->relay), NULL});
    cr_expect(strstr(check.out, cause) != NULL && strstr(check.out, cure) != NULL, "%s", check.out);
    cr_expect_eq(check.exit_code, exit_code, "%s%s", check.out, check.err);
    cr_expect_eq(postgres_int(setup->admin, epoch), before);
    outboxd_result_free(&check);
}

Test(relay_exact_start, without_its_position_topic_it_ends_with_69_and_check_create_makes_it)
{
    struct setup setup = setup_begin();
    const char *const *exact = setup_exact(&setup, false);
    setup_topic(&setup, "events", 3, NULL);
    emit(&setup, 10);
    setup_expect_refusal(&setup, exact, 69, setup.position, "outboxd check --create");
    setup_expect_check(&setup, NULL, 69,
                       "--partitions 1 --replication-factor 1 --config cleanup.policy=compact", "--create");
    setup_expect_check(&setup, "--create", 0, setup.position, "created");
    setup_run(&setup, exact);
    setup_expect_all_once(&setup, 20000);
    wait_for(daemon_metric(setup.relay, "outbox_kafka_brokers_up") > 0, 20000);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_kafka_brokers_up"), 1, "the coordinator is that broker");
    setup_end(&setup);
}

/* Kafka 3.6 may take a late end of one transaction for that of the next. */
Test(relay_exact_start, on_brokers_before_3_7_it_ends_with_69_check_says_so_and_at_least_once_is_no_matter)
{
    struct setup setup =
        setup_begin_on(postgres_shared(), broker_start(&(struct broker_options){.version = "3.6.2"}));
    const char *const *exact = setup_exact(&setup, true);
    setup_topic(&setup, "events", 3, NULL);
    emit(&setup, 10);
    setup_expect_refusal(&setup, exact, 69,
                         "BROKER_VERSION: delivery: exactly-once needs brokers from 3.7 on",
                         "these are 3.6-IV2: upgrade them, or deliver at-least-once");
    cr_expect_eq(setup_count(&setup), 0, "published by a broker that may repeat it");
    setup_expect_check(&setup, NULL, 69,
                       "error    delivery: exactly-once needs brokers from 3.7 on, these are 3.6",
                       "upgrade the brokers, or deliver at-least-once");
    setup_run(&setup, setup_inexact(&setup));
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
    cr_expect_eq(
        postgres_int(setup.admin, "select released::int from outbox.journal order by seq desc limit 1"), 1,
        "the next process waits for a lease that nobody has");
    setup_end(&setup);
}

/* A policy that deletes, and nobody may see it: what is believed is said, once by each process. */
Test(relay_exact_start, what_may_not_be_seen_of_the_position_topic_and_the_brokers_is_said_by_run_and_check)
{
    static const char not_checked[] = "not checked, and needed to deliver exactly once";
    struct setup setup = setup_begin_on(
        postgres_shared(), broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS}));
    const char *const *exact = setup_exact(&setup, false);
    const char *topic = setup_topic(&setup, "events", 3, NULL);
    broker_create_topic(setup.broker, setup.position, 1, (const char *[]){"cleanup.policy", "delete", NULL});
    broker_deny(setup.broker, setup.position, "DESCRIBE_CONFIGS");
    broker_deny_cluster(setup.broker, "DESCRIBE_CONFIGS");
    setup_run(&setup, exact);
    emit(&setup, 10);
    setup_wait_confirmed(&setup, 20000);
    broker_deny(setup.broker, topic, "WRITE");
    emit(&setup, 10);
    wait_for(daemon_readiness_is(setup.relay, 503, "TOPIC_AUTHORIZATION_FAILED"), 20000);
    broker_allow(setup.broker, topic);
    setup_expect_all_once(&setup, 40000); /* by another instance of the producer */
    char *log = daemon_log(setup.relay), *first = strstr(log, not_checked);
    cr_assert(first != NULL && strstr(first + 1, not_checked) == NULL, "%s", log);
    first[strcspn(first, "\n")] = '\0';
    cr_expect(strstr(first, setup.position) != NULL && strstr(first, "cleanup.policy=compact") != NULL &&
                  strstr(first, "3.7 or later") != NULL &&
                  strstr(first, "DESCRIBE_CONFIGS on the topic and on the cluster lets") != NULL,
              "%s", first);
    free(log);
    setup_expect_check(&setup, NULL, 0, "its cleanup.policy was not told (DESCRIBE_CONFIGS is not allowed)",
                       "DESCRIBE_CONFIGS on the topic lets outboxd see it");
    setup_expect_check(&setup, NULL, 0,
                       "the brokers do not tell their version (DESCRIBE_CONFIGS is not allowed)",
                       "DESCRIBE_CONFIGS on the cluster lets outboxd see it");
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    broker_allow(setup.broker, setup.position);
    setup_expect_refusal(&setup, exact, 69, "cleanup.policy=delete", "kafka-configs.sh");
    setup_end(&setup);
}

Test(relay_exact_start, a_position_of_another_outbox_with_the_same_names_is_78_and_stays_as_it_is)
{
    struct setup first = setup_begin(), second = setup_begin();
    const char *const *exact = publish_some(&first);
    setup_expect_refusal(&second, exact, 78, "of another database", "choose others");
    expect_check(&second, 78, "of another database", "choose others");
    setup_run(&first, exact);
    emit(&first, 10);
    setup_expect_all_once(&first, 20000);
    setup_end(&second);
    setup_end(&first);
}

/* One that is not the first of its outbox is registered by hand. */
static void
add_relay(struct setup *setup, const char *const *overrides)
{
    setup_expect_refusal(setup, overrides, 78, "is not registered", "outboxd relay add east-main");
    struct outboxd_result add = outboxd_run((const char *[]){
        "relay", "add", "east-main", "--from", "now", "--config", daemon_config_path(setup->relay), NULL});
    cr_assert_eq(add.exit_code, 0, "%s%s", add.out, add.err);
    outboxd_result_free(&add);
}

/* Source `s-east` and relay `main`, source `s` and relay `east-main`: one topic and one transactional.id. The second may be another outbox,
 * or a second relay of the same one. */
static void
expect_namesake_refused(struct setup *first, struct setup *second, const char *east)
{
    char west_source[300];
    snprintf(west_source, sizeof west_source, "source=%s", first->database);
    const char *const exact_east[] = {east, "delivery=exactly-once", NULL}, *const exact_west[] = {
                                                                                west_source,
                                                                                "relay=east-main",
                                                                                "delivery=exactly-once",
                                                                                NULL};
    setup_run(first, exact_east);
    emit(first, 10);
    setup_expect_all_once(first, 20000);
    int64_t count = setup_count(first);
    if (second->database == first->database)
        add_relay(second, exact_west);
    setup_expect_refusal(second, exact_west, 78, "is of the relay main, this one is east-main",
                         "choose another source");
    cr_expect_eq(setup_count(first), count, "published under the name of another relay");
    emit(first, 10); /* fenced by the other one, it goes on */
    setup_expect_all_once(first, 20000);
    cr_assert_eq(daemon_terminate(first->relay), 0);
}

Test(relay_exact_start, a_relay_whose_source_and_name_run_into_those_of_another_one_is_refused_with_78__P3)
{
    struct setup first = setup_begin(), stranger = setup_begin(),
                 sibling = setup_begin_in(postgres_shared(), broker_shared(), first.database);
    char position[300], east[300];
    snprintf(position, sizeof position, "outboxd-position-%s-east-main", first.database);
    snprintf(east, sizeof east, "%s-east", first.database);
    first.source = east;
    char override[310];
    snprintf(override, sizeof override, "source=%s", east);
    broker_create_topic(first.broker, position, 1, (const char *[]){"cleanup.policy", "compact", NULL});
    setup_topic(&first, "events", 3, NULL);
    expect_namesake_refused(&first, &stranger, override);
    expect_namesake_refused(&first, &sibling, override);
    setup_end(&sibling);
    setup_end(&stranger);
    setup_end(&first);
}

Test(relay_exact_start, a_position_that_is_gone_from_Kafka_stops_it_with_70_and_names_rebase__row_26)
{
    struct setup setup = setup_begin();
    const char *const *exact = publish_some(&setup);
    int64_t published = setup_count(&setup);
    broker_delete_topic(setup.broker, setup.position);
    broker_create_topic(setup.broker, setup.position, 1, (const char *[]){"cleanup.policy", "compact", NULL});
    emit(&setup, 10);
    expect_check(&setup, 70, "Kafka has no position", "outboxd rebase --position main");
    setup_expect_refusal(&setup, exact, 70, "Kafka has no position", "outboxd rebase");
    cr_expect_eq(setup_count(&setup), published, "published although its place is not known");
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
    expect_check(&setup, 70, "which this database does not know", "outboxd rebase --position main");
    setup_expect_refusal(&setup, exact, 70, "which this database does not know", NULL);
    char *command = must_format("`outboxd rebase --position main --conninfo ADMIN --config %s`",
                                daemon_config_path(setup.relay));
    cr_expect(daemon_log_contains(setup.relay, command));
    free(command);
    rebase_position(&setup);
    expect_check(&setup, 0, "the position in Kafka agree", "\n0 errors, ");
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
    setup_run(&setup, setup_and(exact, "dead_letter/policy=stop"));
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

/* Whoever may write to the outbox could else tell this relay, or another one whose events go to the same Kafka, where it is. */
Test(relay_exact_start, no_event_gets_into_a_topic_where_relays_keep_their_positions__P1__row_86)
{
    struct setup setup = setup_begin();
    (void)publish_some(&setup);
    int64_t before = consumer_count(broker_bootstrap(setup.broker), setup.position);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload) values ('%s', 'position', 'v1 seq=1')",
                  setup.position);
    setup_start(&setup, setup_inexact(&setup));
    wait_for(postgres_int(setup.admin,
                          "select count(*) from outbox.dead_letter where error = 'TOPIC_RESERVED'") == 1,
             20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    setup_start(&setup, setup_exact(&setup, false));
    postgres_exec(setup.admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter");
    wait_for(postgres_int(setup.admin, "select attempts from outbox.dead_letter") == 2, 20000);
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(setup.broker), (const char *[]){setup.position, NULL},
                      false);
    for (size_t i = 0; i < records.count; i++)
        cr_expect_null(record_header(&records.list[i], "id"), "an event is among the positions");
    cr_expect_geq(before, 1);
    records_free(&records);
    setup_end(&setup);
}
