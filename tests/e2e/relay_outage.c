/* relay_outage.c: P1 and P4 in long outages, of which a long one differs from a short one by what has gathered meanwhile: the journal
 * does not grow with the backlog, memory stays bounded, a transaction that holds back vacuum for the whole time changes nothing,
 * and when all is healed the backlog is published once. */
#include "relay_setup.h"

#include "base/clock.h"

#include <inttypes.h>

TestSuite(relay_outage, .timeout = 240);

#define MEMORY_KIB (16L * 1024)
static const char *const overrides[] = {"memory=16MiB", "lease=1s", NULL};

/* Like an application that goes on: a transaction of 1,000 events after the other. */
static void
commit_events(struct setup *setup, const char *topic, int events)
{
    for (int i = 0; i < events; i += 1000)
        postgres_exec(setup->app,
                      "insert into outbox.event (topic, key, payload)"
                      " select '%s', int8send(g %% 97), convert_to(repeat('x', 100) || g, 'UTF8')"
                      " from generate_series(%d, %d) g",
                      topic, i, i + 999);
}

static int64_t
journal_rows(struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from outbox.journal");
}

/* Vacuum has nothing to do: no row of an event was ever updated or deleted. */
static void
expect_no_dead_rows(struct setup *setup)
{
    PGconn *fresh = postgres_open(setup->postgres, setup->database, POSTGRES_ADMIN);
    cr_expect_eq(postgres_int(fresh, "select sum(n_dead_tup + n_tup_upd + n_tup_del) from pg_stat_all_tables"
                                     " where schemaname = 'outbox' and relname like 'event\\_%%'"),
                 0);
    PQfinish(fresh);
}

/* A reader that has forgotten to end its transaction. */
static PGconn *
hold_back_vacuum(struct setup *setup)
{
    PGconn *reader = postgres_open(setup->postgres, setup->database, POSTGRES_ADMIN);
    postgres_exec(reader, "begin isolation level repeatable read");
    cr_assert_eq(postgres_int(reader, "select count(*) from outbox.event"), 0);
    return reader;
}

Test(relay_outage,
     a_million_events_behind_a_broker_that_is_away_are_published_once_and_leave_no_dead_row__P1_P4)
{
    enum { EVENTS = 1000000 };
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "patient", 4, NULL);
    setup_run(&setup, overrides);
    PGconn *reader = hold_back_vacuum(&setup);
    commit_events(&setup, topic, 1000);
    setup_wait_confirmed(&setup, 20000);
    int64_t rows = journal_rows(&setup);
    broker_stop(setup.broker);
    int64_t away_us = clock_monotonic_us();
    commit_events(&setup, topic, EVENTS - 1000);
    int64_t heartbeats = (clock_monotonic_us() - away_us) / 250000;
    /* a tick for each page in flight at most, and heartbeats */
    cr_expect_leq(journal_rows(&setup) - rows, 100 + 2 * heartbeats, "%" PRId64 " rows of the journal",
                  journal_rows(&setup));
    setup_expect_memory(&setup, MEMORY_KIB, 1);
    broker_up(setup.broker);
    int64_t back_us = clock_monotonic_us();
    setup_wait_confirmed(&setup, 60000);
    fprintf(stderr, "outage: %d events in %.1f s after it\n", EVENTS,
            (double)(clock_monotonic_us() - back_us) / 1e6);
    cr_expect_eq(setup_count(&setup), EVENTS);
    setup_expect_memory(&setup, MEMORY_KIB, 1);
    PQfinish(reader);
    expect_no_dead_rows(&setup);
    setup_end(&setup);
}

Test(relay_outage, broker_and_postgres_away_at_once_and_back_in_either_order_lose_nothing__P1_P2)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_start(NULL));
    const char *topic = setup_topic(&setup, "both", 4, NULL);
    setup_run(&setup, overrides);
    for (int i = 0; i < 2; i++) {
        commit_events(&setup, topic, 20000);
        broker_kill(setup.broker);
        commit_events(&setup, topic, 20000);
        PQfinish(setup.app);
        PQfinish(setup.admin);
        postgres_stop_immediate(setup.postgres);
        wait_for(daemon_log_contains(setup.relay, "Postgres is away"), 10000);
        if (i == 0)
            broker_up(setup.broker);
        postgres_up(setup.postgres);
        if (i > 0)
            broker_up(setup.broker);
        setup.admin = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
        setup.app = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
        commit_events(&setup, topic, 1000);
        setup_wait_confirmed(&setup, 60000);
    }
    setup_judge(&setup);
    setup_expect_memory(&setup, MEMORY_KIB, 1);
    setup_end(&setup);
}

/* Sessions of a relay that are within a transaction and do nothing in it, or that have a snapshot for longer than any of its statements. */
static int64_t
idle_transactions(struct setup *setup)
{
    return postgres_int(setup->admin,
                        "select count(*) from pg_stat_activity where datname = current_database()"
                        " and application_name like 'outboxd %%' and (state like 'idle in%%'"
                        " or clock_timestamp() - xact_start > interval '2 s')");
}

/* The look finds one where there is one. */
static void
expect_to_see_one(struct setup *setup)
{
    PGconn *idle = postgres_open(setup->postgres, setup->database, POSTGRES_ADMIN);
    postgres_exec(idle, "set application_name = 'outboxd control'");
    postgres_exec(idle, "begin");
    cr_assert_eq(idle_transactions(setup), 1);
    PQfinish(idle);
}

static void
expect_no_transaction_over_a_wait(bool exact)
{
    struct setup setup = setup_begin_on(postgres_shared(), broker_start(NULL));
    const char *topic = setup_topic(&setup, "awaited", 4, NULL);
    setup_run(&setup, exact ? setup_exact(&setup, true) : NULL);
    commit_events(&setup, topic, 10000);
    setup_wait_confirmed(&setup, 60000);
    broker_pause(setup.broker);
    commit_events(&setup, topic, 10000);
    /* exactly once, no more than comes within transaction.time is handed over */
    wait_for(daemon_metric(setup.relay, "outbox_in_flight_events") >= (exact ? 1 : 10000), 20000);
    for (int64_t end_us = clock_monotonic_us() + 4000000; clock_monotonic_us() < end_us;)
        cr_assert_eq(idle_transactions(&setup), 0);
    expect_to_see_one(&setup);
    broker_continue(setup.broker);
    setup_wait_confirmed(&setup, 60000);
    setup_end(&setup);
}

Test(relay_outage, no_transaction_of_Postgres_is_open_while_a_broker_is_waited_for__I5)
{
    expect_no_transaction_over_a_wait(false);
}

Test(relay_outage, exactly_once_no_transaction_of_Postgres_is_open_while_a_broker_is_waited_for__I5)
{
    expect_no_transaction_over_a_wait(true);
}
