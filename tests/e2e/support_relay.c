/* support_relay.c: the handles on the real binary, and the whole apparatus in one run: hostile load, relay killed on the way,
 * checker over Kafka, and the control reader beside it, which must be caught. */
#include "support/checker.h"
#include "support/kafka.h"
#include "support/load.h"
#include "support/postgres.h"
#include "support/relay.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

TestSuite(support_relay, .timeout = 240);

Test(support_relay, runs_reads_kills_and_stops_the_real_binary)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const char *database = postgres_create_outbox(postgres);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(broker),
        .overrides = (const char *[]){"lease=1s", "log/format=json", "kafka/linger.ms=2", NULL},
    });
    daemon_wait_ready(daemon);
    cr_assert(daemon_running(daemon));
    cr_assert_eq(daemon_http(daemon, "/health/live", NULL), 200);
    cr_assert_eq(daemon_http(daemon, "/no/such/door", NULL), 404);
    wait_for(daemon_metric(daemon, "outbox_leader") == 1, 10000);
    cr_assert(isnan(daemon_metric(daemon, "outbox_no_such_thing")));
    cr_assert_gt(daemon_rss_kib(daemon), 1000);
    long rss_kib = daemon_rss_kib(daemon);
    cr_assert_geq(daemon_peak_rss_kib(daemon), rss_kib);
    cr_assert(daemon_log_contains(daemon, "{\""), "the override of log.format arrived");
    daemon_kill(daemon);
    cr_assert_not(daemon_running(daemon));
    cr_assert_eq(daemon_http(daemon, "/health/live", NULL), 0);
    daemon_again(daemon);
    daemon_wait_ready(daemon);
    cr_assert_eq(daemon_terminate(daemon), 0);
    daemon_free(daemon);
    broker_free(broker);
    postgres_free(postgres);
}

Test(support_relay, gives_the_exit_code_and_both_outputs_of_a_command)
{
    struct outboxd_result result = outboxd_run((const char *[]){"migrate", "--print", NULL});
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
    cr_assert(strstr(result.out, "create table outbox.event") != NULL);
    outboxd_result_free(&result);
    result = outboxd_run((const char *[]){"migrate", "--no-such-option", NULL});
    cr_assert_eq(result.exit_code, 64);
    cr_assert_str_eq(result.out, "");
    cr_assert_str_neq(result.err, "");
    outboxd_result_free(&result);
}

/* P1, P2 and P3 under the hostile load with two kills; the control reader on the same events loses some. */
Test(support_relay, judges_a_loaded_run_in_which_the_control_loses_events)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const char *database = postgres_create_outbox(postgres);
    const char *topics[] = {broker_topic_name(broker, "a"), broker_topic_name(broker, "b"), NULL};
    broker_create_topic(broker, topics[0], 1, NULL);
    broker_create_topic(broker, topics[1], 5, NULL);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    load_prepare(admin);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(broker),
        .overrides = (const char *[]){"lease=1s", NULL},
    });
    daemon_wait_ready(daemon);
    struct control *control =
        control_start(postgres_conninfo(postgres, database, POSTGRES_ADMIN), DAEMON_SOURCE);
    struct load *load =
        load_start(&(struct load_options){.admin = postgres_conninfo(postgres, database, POSTGRES_ADMIN),
                                          .writer = postgres_conninfo(postgres, database, POSTGRES_WRITER),
                                          .topics = topics});
    for (uint64_t kills = 1; kills <= 2; kills++) {
        wait_for(load_committed_events(load) > kills * 3000, 60000);
        daemon_kill(daemon);
        daemon_again(daemon);
        daemon_wait_ready(daemon);
    }
    wait_for(load_committed_events(load) > 9000, 60000);
    struct load_totals totals = load_stop(load);
    load_totals_print(&totals, stderr);
    struct records seen = {0};
    control_stop(control, &seen);
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, admin);
    wait_for(consumer_count(broker_bootstrap(broker), topics[0]) +
                         consumer_count(broker_bootstrap(broker), topics[1]) >=
                     (int64_t)ledger.count &&
                 daemon_metric(daemon, "outbox_lag_events") == 0,
             60000);
    cr_assert_eq(daemon_terminate(daemon), 0);
    struct verdict verdict = checker_compare(&ledger, broker_bootstrap(broker), topics, DAEMON_SOURCE);
    struct verdict naive = checker_judge(&ledger, &seen, DAEMON_SOURCE);
    fprintf(stderr, "relay: lost=%zu duplicates=%zu runs=%zu reordered=%zu; control: lost=%zu of %zu\n",
            verdict.lost, verdict.duplicates, verdict.duplicate_runs, verdict.reordered, naive.lost,
            naive.expected);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
    cr_assert_leq(verdict.duplicate_runs, 2 * 6, "two kills, six partitions");
    cr_assert_gt(naive.lost, 0);
    records_free(&seen);
    expected_free(&ledger);
    daemon_free(daemon);
    PQfinish(admin);
    broker_free(broker);
    postgres_free(postgres);
}
