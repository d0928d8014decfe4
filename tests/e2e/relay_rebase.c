/* relay_rebase.c: a relay in a database that is not the one in which it stood refuses, names `outboxd rebase`, and goes on behind
 * it as if nothing had happened (P1, P2, P3; rows 71 and 72). */
#include "relay_setup.h"

#include "support/load.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_rebase, .timeout = 240);

/* The scene goes on in another server or database. */
static void
move(struct setup *setup, struct postgres *to, const char *database)
{
    PQfinish(setup->admin);
    PQfinish(setup->app);
    setup->postgres = to;
    setup->database = database;
    setup->admin = postgres_open(to, database, POSTGRES_ADMIN);
    setup->app = postgres_open(to, database, POSTGRES_WRITER);
}

/* The witnesses of the order are transaction numbers: those of the new cluster must come after those of the old one. */
static void
pass_numbers_of(PGconn *old, PGconn *new)
{
    int64_t until = postgres_int(old, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    postgres_exec(new,
                  "do $$ begin while pg_current_xact_id()::text::bigint < %lld loop commit; end loop; end $$",
                  (long long)until);
}

static struct verdict
judge_ledger(struct setup *setup)
{
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, setup->admin);
    struct verdict verdict =
        checker_compare(&ledger, broker_bootstrap(setup->broker), setup->topics, DAEMON_SOURCE);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
    expected_free(&ledger);
    return verdict;
}

/* The relay is killed in the middle of its work and the dump is taken under load: what the journal in it says is confirmed
 * is a part of a tick, some events are in Kafka without a confirmation, and transactions are in flight. */
Test(relay_rebase, a_dump_taken_under_load_and_restored_elsewhere_loses_nothing__P1__P2__row_72)
{
    struct postgres *old = postgres_start(NULL), *other = postgres_start_other(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    setup_topic(&setup, "restored-a", 3, NULL);
    setup_topic(&setup, "restored-b", 3, NULL);
    load_prepare(setup.admin);
    setup_run(&setup, (const char *[]){"batch/events=50", NULL});
    struct load_options options = {.admin = postgres_conninfo(old, setup.database, POSTGRES_ADMIN),
                                   .writer = postgres_conninfo(old, setup.database, POSTGRES_WRITER),
                                   .topics = setup.topics};
    struct load *load = load_start(&options);
    wait_for(load_committed_events(load) > 3000 && setup_count(&setup) > 1000, 60000);
    daemon_kill(setup.relay);
    uint64_t behind = load_committed_events(load) + 500;
    wait_for(load_committed_events(load) > behind, 60000);
    char *path = must_format("%s/dump", postgres_directory(old));
    postgres_dump(old, setup.database, path);
    load_stop(load);
    int64_t published = setup_count(&setup);
    PGconn *fresh = postgres_open(other, "postgres", POSTGRES_ADMIN);
    pass_numbers_of(setup.admin, fresh);
    PQfinish(fresh);

    move(&setup, other, postgres_restore(other, path));
    setup_expect_refusal(&setup, NULL, 70, "another cluster or database", "outboxd rebase");
    cr_assert_eq(setup_count(&setup), published, "nothing is sent before somebody has decided");
    int64_t unconfirmed = postgres_int(
        setup.admin,
        "select coalesce(sum(e), 0)::bigint from outbox.rebase_plan(false) p, unnest(p.events) e");
    int64_t restored = postgres_int(setup.admin, "select count(*) from load.ledger");
    cr_assert(unconfirmed >= 500 && unconfirmed < restored);
    setup_rebase(&setup, NULL, "relay main goes on with");
    setup_run(&setup, NULL);
    options.admin = postgres_conninfo(other, setup.database, POSTGRES_ADMIN);
    options.writer = postgres_conninfo(other, setup.database, POSTGRES_WRITER);
    load = load_start(&options);
    wait_for(load_committed_events(load) > 1000, 60000);
    load_stop(load);
    setup_wait_confirmed(&setup, 60000);
    struct verdict verdict = judge_ledger(&setup);
    int64_t later = (int64_t)verdict.expected - restored;
    fprintf(stderr, "rebase: %lld events, %lld of them unconfirmed, %zu came twice\n", (long long)restored,
            (long long)unconfirmed, verdict.duplicates);
    cr_assert_eq(setup_count(&setup), published + unconfirmed + later, "what is confirmed is not sent again");
    postgres_free(old);
    free(path);
    setup_end(&setup);
}

/* Stopped cleanly, everything confirmed but the backlog that came after: nothing may come twice. */
static void
restore_after_a_clean_stop(bool exact, bool quiet)
{
    struct postgres *old = postgres_start(NULL), *other = postgres_start_other(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    const char *topic = setup_topic(&setup, "once", 3, NULL);
    const char *const *overrides = exact ? setup_exact(&setup, true) : NULL;
    setup_run(&setup, overrides);
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 300) i",
                  topic);
    setup_wait_confirmed(&setup, 10000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    if (quiet) /* for more than the hour that is kept */
        postgres_exec(setup.admin, "delete from outbox.journal where seq < (select confirmed_seq from "
                                   "outbox.journal order by seq desc limit 1)");
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 200) i",
                  topic);
    char *path = must_format("%s/dump", postgres_directory(old));
    postgres_dump(old, setup.database, path);
    move(&setup, other, postgres_restore(other, path));
    setup_rebase(&setup, NULL, "200 events are not confirmed: they will be published\n  300 are confirmed");
    setup_run(&setup, overrides);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"next\"')", topic);
    setup_expect_all_once(&setup, 20000);
    cr_assert(exact || setup_count(&setup) == 501);
    postgres_free(old);
    free(path);
    setup_end(&setup);
}

Test(relay_rebase, after_a_clean_stop_a_restored_dump_publishes_exactly_what_was_not_confirmed__P1__row_72)
{
    restore_after_a_clean_stop(false, false);
}

Test(relay_rebase, after_a_clean_stop_a_restored_dump_goes_on_exactly_once__P1__P3__row_72)
{
    restore_after_a_clean_stop(true, false);
}

Test(relay_rebase, after_an_hour_without_an_event_a_restored_dump_goes_on_exactly_once_too__P1__P3__row_72)
{
    restore_after_a_clean_stop(true, true);
}

Test(relay_rebase, after_pg_upgrade_with_same_xids_every_event_is_published_once__P1__row_72)
{
    struct postgres *old = postgres_start(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    const char *topic = setup_topic(&setup, "upgraded", 3, NULL);
    setup_run(&setup, NULL);
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 300) i",
                  topic);
    setup_wait_confirmed(&setup, 10000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 200) i",
                  topic);
    PQfinish(setup.admin);
    PQfinish(setup.app);
    setup.postgres = postgres_upgrade(old);
    setup.admin = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    setup.app = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
    setup_expect_refusal(&setup, NULL, 70, "another cluster or database", "outboxd rebase");
    setup_rebase(&setup, "--same-xids", "no event is changed");
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"next\"')", topic);
    setup_expect_all_once(&setup, 20000);
    cr_assert_eq(setup_count(&setup), 501);
    postgres_free(old);
    setup_end(&setup);
}

/* The relay is held still while it happens: its next step appends a row over events that are in no tick. */
Test(relay_rebase, events_between_a_setval_and_the_relays_next_look_are_not_passed_over__P1__row_71)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "between", 1, NULL);
    setup_run(&setup, (const char *[]){"lease=1s", NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 50) i",
                  topic);
    setup_expect_all_once(&setup, 10000);
    daemon_pause(setup.relay);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 10)");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 3) i",
                  topic);
    int64_t rows = postgres_int(setup.admin, "select max(seq) from outbox.journal");
    wait_for(postgres_int(setup.admin, "select (max(written_at) < clock_timestamp() - interval '1 s')::int"
                                       " from outbox.journal") == 1,
             10000); /* a heartbeat is due */
    daemon_continue(setup.relay);
    setup_expect_end(&setup, 70, "outbox.event_id_seq", "outboxd rebase");
    cr_assert_gt(postgres_int(setup.admin, "select max(seq) from outbox.journal"), rows,
                 "the row was not appended");
    daemon_again(setup.relay);
    setup_expect_end(&setup, 70, "outbox.event_id_seq", "outboxd rebase");
    setup_rebase(&setup, NULL, "3 events that were never sent get new ids");
    daemon_again(setup.relay);
    setup_expect_all_once(&setup, 10000);
    cr_assert_eq(setup_count(&setup), 53);
    setup_end(&setup);
}

/* ---- exactly once, and the relay was killed before its journal knew what Kafka has ---- */

/* 300 events are confirmed, HELD more are in Kafka, and the relay is killed. Returns its overrides. */
#define HELD 100
static const char *const *
kill_before_the_confirmation(struct setup *setup)
{
    const char *topic = setup_topic(setup, "held", 3, NULL);
    const char *const *exact = setup_exact(setup, true);
    setup_run(setup, exact);
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 300) i",
                  topic);
    setup_expect_all_once(setup, 20000);
    setup_hold_confirmations(setup);
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, %d) i", topic,
                  HELD);
    char *published = must_format("outbox_published_total{topic=\"%s\"}", topic);
    wait_for(daemon_metric(setup->relay, published) >= 300 + HELD, 20000);
    free(published);
    setup_kill_unconfirmed(setup);
    return exact;
}

Test(relay_rebase, after_pg_upgrade_with_same_xids_exactly_once_goes_on_where_Kafka_is__P1__P3__row_72)
{
    struct postgres *old = postgres_start(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    const char *const *exact = kill_before_the_confirmation(&setup);
    PQfinish(setup.admin);
    PQfinish(setup.app);
    setup.postgres = postgres_upgrade(old);
    setup.admin = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    setup.app = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
    setup_expect_refusal(&setup, exact, 70, "another cluster or database", "outboxd rebase");
    setup_rebase(&setup, "--same-xids", "no event is changed");
    setup_run(&setup, exact);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"next\"')", setup.topics[0]);
    setup_expect_all_once(&setup, 20000);
    postgres_free(old);
    setup_end(&setup);
}

/* A rebase knows the journal only; what Kafka knows beyond it is asked for, and not sent again. */
Test(relay_rebase,
     exactly_once_a_dump_of_a_killed_relay_repeats_nothing_behind_rebase_position__P1__P3__row_72)
{
    struct postgres *old = postgres_start(NULL), *other = postgres_start_other(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    const char *const *exact = kill_before_the_confirmation(&setup);
    int64_t records = setup_count(&setup);
    char *path = must_format("%s/dump", postgres_directory(old));
    postgres_dump(old, setup.database, path);
    move(&setup, other, postgres_restore(other, path));
    setup_rebase(&setup, NULL, "was not stopped with SIGTERM");
    setup_expect_refusal(&setup, exact, 70, "the journal was rebased while Kafka had events",
                         "outboxd rebase --position main");
    cr_assert_eq(setup_count(&setup), records, "published although it is not known what is");
    setup_rebase(&setup, "--position=main", "\n100 events are in Kafka although the journal did not know it");
    setup_run(&setup, exact);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"next\"')", setup.topics[0]);
    setup_expect_all_once(&setup, 20000);
    postgres_free(old);
    free(path);
    setup_end(&setup);
}

/* A backup of last night: Kafka has ticks that are in no dump. Writers are let in at once, and get ids that consumers know. */
Test(relay_rebase, exactly_once_a_dump_older_than_what_was_published_stops_until_rebase_position__P1__row_72)
{
    struct postgres *old = postgres_start(NULL), *other = postgres_start_other(NULL);
    struct setup setup = setup_begin_on(old, broker_shared());
    const char *topic = setup_topic(&setup, "night", 3, NULL);
    const char *const *exact = setup_exact(&setup, true);
    setup_run(&setup, exact);
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 300) i",
                  topic);
    setup_expect_all_once(&setup, 20000);
    char *path = must_format("%s/dump", postgres_directory(old));
    postgres_dump(old, setup.database, path);
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 50) i",
                  topic);
    setup_expect_all_once(&setup, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    move(&setup, other, postgres_restore(other, path));
    setup_rebase(&setup, NULL, "relay main goes on with 0 unconfirmed events");
    setup_expect_refusal(&setup, exact, 78, "of another database", "outboxd rebase --position main");
    postgres_exec(setup.app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, 20) i",
                  topic);
    setup_rebase(&setup, "--position=main", "this database has lost: 50\n");
    setup_run(&setup, exact);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"next\"')", topic);
    setup_wait_confirmed(&setup, 20000);
    struct expected_events events = {0};
    expected_read_outbox(&events, setup.admin);
    struct verdict verdict =
        checker_compare(&events, broker_bootstrap(setup.broker), setup.topics, setup.source);
    cr_expect(verdict.expected == 321 && verdict.lost == 0 && verdict.duplicates == 0 &&
                  verdict.changed == 0 && verdict.reordered == 0,
              "%s", verdict.examples);
    cr_expect_eq(verdict.phantom, 50, "what the dump lacks");
    expected_free(&events);
    postgres_free(old);
    free(path);
    setup_end(&setup);
}
