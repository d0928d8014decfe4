/* relay_registry.c: several relays on one database, with the real binary and real brokers: each publishes what it selects, and
 * one that is retired ends, whoever runs it. */
#include "relay_setup.h"

#include "support/load.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_registry, .timeout = 180);

/* `outboxd ARGUMENTS --config ..` of this relay must end with 0 and print `out`. */
static void
expect_command(const struct daemon *relay, const char *out, const char *const *arguments)
{
    const char *all[16] = {NULL};
    size_t count = 0;
    for (; arguments[count] != NULL; count++)
        all[count] = arguments[count];
    all[count++] = "--config";
    all[count] = daemon_config_path(relay);
    struct outboxd_result result = outboxd_run(all);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    cr_assert_not_null(strstr(result.out, out), "\"%s\" is not in: %s", out, result.out);
    outboxd_result_free(&result);
}

#define COMMAND(relay, out, ...) expect_command(relay, out, (const char *[]){__VA_ARGS__, NULL})

/* ---- retired ---- */

static struct daemon *
start_standby(struct setup *setup)
{
    struct daemon *standby = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(setup->postgres, setup->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(setup->broker)});
    daemon_wait_ready(standby);
    return standby;
}

static void
expect_retired(struct daemon *relay)
{
    int exit_code = daemon_wait_exit(relay, 10000);
    char *log = daemon_log(relay);
    cr_assert_eq(exit_code, 78, "%s", log);
    cr_assert_not_null(strstr(log, "was retired"), "%s", log);
    cr_assert_not_null(strstr(log, "outboxd relay add main --from now"), "%s", log);
    free(log);
}

Test(relay_registry,
     a_retired_relay_ends_its_leader_and_its_standby_with_78_and_starts_anew_when_it_is_added_again)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "retired", 1, NULL);
    setup_run(&setup, NULL);
    struct daemon *standby = start_standby(&setup);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_wait_confirmed(&setup, 10000);

    COMMAND(setup.relay, "is retired", "relay", "retire", "main", "--yes");
    expect_retired(setup.relay);
    expect_retired(standby);
    setup_expect_refusal(&setup, NULL, 78, "is retired", "outboxd relay add main");

    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"while it was retired\"')", topic);
    COMMAND(setup.relay, "what commits from now on", "relay", "add", "main", "--from", "now");
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '2')", topic);
    setup_wait_confirmed(&setup, 10000);
    postgres_exec(setup.admin, "delete from outbox.event where payload = '\"while it was retired\"'");
    setup_expect_all_once(&setup, 10000);
    daemon_free(standby);
    setup_end(&setup);
}

/* ---- locked ---- */

/* What a leader that died was stuck at: the next one must take it back. */
static const char sql_leave_trouble[] = "update outbox.relay set trouble = '{\"error\": \"MSG_SIZE\"}'";

/* Everything is published while `locker` holds its lock, and the registry is told when it is free. */
static void
expect_published_under(struct setup *setup, PGconn *locker)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 100) i",
                  setup->topics[0]);
    setup_wait_confirmed(setup, 10000);
    wait_for(daemon_log_contains(setup->relay, "somebody has locked outbox.relay"), 10000);
    cr_expect_not(daemon_log_contains(setup->relay, "Postgres is away"));
    postgres_exec(locker, "commit");
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.relay where trouble is null") == 1,
             20000);
    wait_for(daemon_log_contains(setup->relay, "the registry was written"), 5000);
}

Test(relay_registry, a_relay_that_starts_while_its_row_is_locked_publishes_and_is_registered_later__P4)
{
    struct setup setup = setup_begin();
    setup_topic(&setup, "row", 1, NULL);
    setup_run(&setup, NULL);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    postgres_exec(setup.admin, "%s", sql_leave_trouble);
    PGconn *locker = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    postgres_exec(locker, "begin; select from outbox.relay for update");
    setup_run(&setup, (const char *[]){"retention=23h", NULL});
    expect_published_under(&setup, locker);
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.relay where retention = '23 h'"), 1);
    setup_expect_all_once(&setup, 10000);
    PQfinish(locker);
    setup_end(&setup);
}

Test(relay_registry, a_standby_takes_over_and_publishes_while_the_registry_is_locked_as_a_table__P4)
{
    struct setup setup = setup_begin();
    setup_topic(&setup, "table", 1, NULL);
    setup_run(&setup, NULL);
    struct daemon *leader = setup.relay;
    setup.relay = start_standby(&setup);
    postgres_exec(setup.admin, "%s", sql_leave_trouble);
    PGconn *locker = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    postgres_exec(locker, "begin; lock table outbox.relay");
    daemon_kill(leader);
    expect_published_under(&setup, locker);
    setup_expect_all_once(&setup, 10000);
    PQfinish(locker);
    daemon_free(leader);
    setup_end(&setup);
}

/* ---- two relays, two clusters ---- */

static bool
is_confirmed(PGconn *admin, const char *relay)
{
    return postgres_int(
               admin,
               "select count(*) from (select confirmed_seq from outbox.journal where relay = '%s'"
               "    order by seq desc limit 1) n"
               " join outbox.journal c on c.relay = '%s' and c.seq = n.confirmed_seq"
               " where not exists (select from outbox.event e where e.xid >= pg_snapshot_xmax(c.snapshot))"
               " and not exists (select from pg_snapshot_xip(c.snapshot) x(xid)"
               "    join outbox.event e on e.xid = x.xid)",
               relay, relay) == 1;
}

/* Every event of the topic is in this cluster, once and in order. */
static void
judge(PGconn *admin, const struct broker *broker, const char *topic)
{
    struct expected_events events = {0};
    char *query = must_format("select id, xid::text, counter, snapshot, topic, key, payload, headers::text,"
                              " (extract(epoch from created_at) * 1000000)::bigint from load.ledger"
                              " where topic = '%s' order by id",
                              topic);
    expected_read(&events, admin, query);
    struct verdict verdict =
        checker_compare(&events, broker_bootstrap(broker), (const char *[]){topic, NULL}, DAEMON_SOURCE);
    cr_assert(verdict_clean(&verdict) && verdict.duplicates == 0, "%s", verdict.examples);
    cr_assert_gt(verdict.expected, 500);
    expected_free(&events);
    free(query);
}

static void
expect_passed_over(PGconn *admin, const struct daemon *relay, const char *topic)
{
    char *sample = must_format("outbox_passed_over_total{topic=\"%s\"}", topic);
    double want = (double)postgres_int(admin, "select count(*) from outbox.event where topic = '%s'", topic);
    wait_for(daemon_metric(relay, sample) == want, 5000);
    free(sample);
}

static struct daemon *
start(struct setup *setup, const struct broker *broker, const char *name, const char *topic)
{
    char *relay = must_format("relay=%s", name), *topics = must_format("topics=[\"%s\"]", topic);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(setup->postgres, setup->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(broker),
        .overrides = (const char *[]){relay, topics, NULL}});
    free(topics);
    free(relay);
    return daemon;
}

Test(relay_registry, two_relays_publish_disjoint_topics_to_two_clusters_each_exactly_its_own__P1__P2,
     .timeout = 300)
{
    struct setup setup = setup_begin();
    struct broker *other = broker_start(&(struct broker_options){.cluster_id = "c2Vjb25kLWNsdXN0ZXItMQ"});
    const char *ours = broker_topic_name(setup.broker, "ours"), *theirs = broker_topic_name(other, "theirs"),
               *nobodys = broker_topic_name(other, "nobodys");
    broker_create_topic(setup.broker, ours, 3, NULL);
    broker_create_topic(other, theirs, 3, NULL);
    struct daemon *main_relay = start(&setup, setup.broker, "main", ours);
    daemon_wait_ready(main_relay);
    struct daemon *search = start(&setup, other, "search", theirs);
    cr_assert_eq(daemon_wait_exit(search, 20000), 78, "it is not known yet");
    cr_assert(daemon_log_contains(search, "outboxd relay add search --from now"));

    const char *topics[] = {ours, theirs, NULL};
    struct load_options options = {.admin = postgres_conninfo(setup.postgres, setup.database, POSTGRES_ADMIN),
                                   .writer =
                                       postgres_conninfo(setup.postgres, setup.database, POSTGRES_WRITER),
                                   .topics = topics,
                                   .writers = 6};
    load_prepare(setup.admin);
    struct load *load = load_start(&options);
    wait_for(load_committed_events(load) > 1000, 60000);
    COMMAND(search, "from the beginning", "relay", "add", "search", "--from", "beginning");
    daemon_again(search);
    wait_for(load_committed_events(load) > 4000 &&
                 postgres_int(setup.admin,
                              "select min(n) from (select count(*) filter (where topic = t) as n"
                              " from load.ledger, (values ('%s'), ('%s')) v(t) group by t) c",
                              ours, theirs) > 500,
             60000);
    load_stop(load);
    wait_for(is_confirmed(setup.admin, "main") && is_confirmed(setup.admin, "search"), 60000);

    judge(setup.admin, setup.broker, ours);
    judge(setup.admin, other, theirs);
    expect_passed_over(setup.admin, main_relay, theirs);
    expect_passed_over(setup.admin, search, ours);
    cr_assert_eq(broker_partition_count(setup.broker, theirs), 0);
    cr_assert_eq(broker_partition_count(other, ours), 0);

    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", nobodys);
    COMMAND(main_relay, nobodys, "status");
    COMMAND(search, nobodys, "check");
    COMMAND(search, "search  leading", "relay", "list");
    cr_assert_eq(daemon_terminate(search), 0);
    cr_assert_eq(daemon_terminate(main_relay), 0);
    daemon_free(search);
    daemon_free(main_relay);
    broker_free(other);
    setup_end(&setup);
}
