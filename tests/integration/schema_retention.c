/* schema_retention.c: a slot is emptied when its events are old and confirmed by every living relay, and never before: no
 * event is lost by it (P1), and no writer waits for it (P4). Likewise the journal. */
#include "schema_fixture.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define OLD_EVENT "insert into outbox.event (topic, slot, created_at) values ('t', 3, now() - interval '2 d')"

static void
expect_empty(const struct outbox *outbox, int slot, const char *want)
{
    char *got = postgres_text(outbox->relay, "select outbox.slot_empty(%d)", slot);
    cr_assert_str_eq(got, want, "slot_empty(%d): %s instead of %s", slot, got, want);
    free(got);
}

static int64_t
events(const struct outbox *outbox)
{
    return postgres_int(outbox->admin, "select count(*) from outbox.event");
}

Test(schema_retention, a_slot_goes_when_its_events_are_old_and_confirmed)
{
    struct outbox outbox = outbox_open();
    expect_empty(&outbox, 3, "empty");
    postgres_exec(outbox.admin, OLD_EVENT);
    expect_empty(&outbox, 3, "unconfirmed"); /* no relay at all */
    outbox_register(&outbox);
    expect_empty(&outbox, 3, "unconfirmed"); /* the first row of a journal has seen nothing */
    outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.admin, "insert into outbox.event (topic, slot) values ('t', 3)");
    expect_empty(&outbox, 3, "young");
    postgres_exec(outbox.admin, "update outbox.event set created_at = now() - interval '25 h'");
    expect_empty(&outbox, 3, "unconfirmed"); /* the second event */
    postgres_exec(outbox.admin, "insert into outbox.event (topic, slot) values ('t', 4)");
    outbox_confirm_all(&outbox, "main");
    expect_empty(&outbox, 3, "emptied");
    expect_empty(&outbox, 3, "empty");
    cr_assert_eq(events(&outbox), 1, "the other slot is untouched");
    cr_assert_str_eq(postgres_sqlstate(outbox.relay, "select outbox.slot_empty(12)"), "22023");
    cr_assert_str_eq(postgres_sqlstate(outbox.relay, "select outbox.slot_empty(null)"), "22023");
    outbox_close(&outbox);
}

Test(schema_retention, only_what_is_confirmed_counts_not_what_is_seen)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, OLD_EVENT);
    outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.admin,
                  "delete from outbox.journal where seq = 2"); /* what remains: tick 1 is open, 0 confirmed */
    expect_empty(&outbox, 3, "unconfirmed");
    outbox_close(&outbox);
}

Test(schema_retention, the_largest_retention_and_the_slowest_living_relay_count)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(
        outbox.admin,
        "insert into outbox.relay (name, source, topics, retention) values ('slow', 's', '{*}', '60 h')");
    postgres_exec(
        outbox.admin,
        "insert into outbox.journal (relay, seq, epoch, snapshot, w, lo_id, hi_id, confirmed_seq, sysid,"
        " timeline, dbid, nonce) select 'slow', seq, epoch, snapshot, w, lo_id, hi_id, confirmed_seq,"
        " sysid, timeline, dbid, nonce from outbox.journal");
    postgres_exec(outbox.admin, OLD_EVENT);
    outbox_confirm_all(&outbox, "main");
    expect_empty(&outbox, 3, "young"); /* 48 h are less than 60 */
    postgres_exec(outbox.admin, "update outbox.relay set retention = '1 h'");
    expect_empty(&outbox, 3, "unconfirmed");
    postgres_exec(outbox.admin, "update outbox.relay set retired_at = now() where name = 'slow'");
    expect_empty(&outbox, 3, "emptied");
    outbox_close(&outbox);
}

Test(schema_retention, a_late_transaction_holds_its_slot_until_it_is_confirmed)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    PGconn *late = outbox_session(&outbox, POSTGRES_ADMIN);
    postgres_exec(late, "begin");
    postgres_exec(late, OLD_EVENT);
    postgres_exec(outbox.admin,
                  OLD_EVENT); /* a younger transaction, so that the late one is within the snapshot's list */
    outbox_confirm_all(&outbox, "main");
    expect_empty(&outbox, 3, "busy");
    postgres_exec(late, "prepare transaction 'late_%s'", outbox.database);
    expect_empty(&outbox, 3,
                 "busy"); /* a prepared transaction has no session, and holds its lock all the same */
    postgres_exec(late, "commit prepared 'late_%s'", outbox.database);
    expect_empty(&outbox, 3, "unconfirmed");
    outbox_confirm_all(&outbox, "main");
    expect_empty(&outbox, 3, "emptied");
    PQfinish(late);
    outbox_close(&outbox);
}

Test(schema_retention, a_journal_of_another_database_confirms_nothing)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, OLD_EVENT);
    outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.admin, "update outbox.journal set sysid = sysid + 1");
    expect_empty(&outbox, 3, "unconfirmed");
    postgres_exec(outbox.admin, "update outbox.journal set sysid = sysid - 1, dbid = 1");
    expect_empty(&outbox, 3, "unconfirmed");
    outbox_close(&outbox);
}

/* In repeatable read the second look would not see what was committed before the lock was given. */
Test(schema_retention, only_read_committed_will_do)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.relay, "begin isolation level repeatable read");
    cr_assert_str_eq(postgres_sqlstate(outbox.relay, "select outbox.slot_empty(3)"), "25000");
    outbox_close(&outbox);
}

/* Events may be committed between the look and the lock: what counts is the look behind the lock. */
Test(schema_retention, a_slot_is_looked_at_again_under_the_lock)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.admin, OLD_EVENT);
    postgres_exec(outbox.admin,
                  "create sequence outbox.looks; alter sequence outbox.looks owner to outbox_owner");
    postgres_exec(outbox.admin,
                  "create or replace function outbox.slot_state(slot integer) returns text security definer "
                  "language sql as"
                  " $$ select case nextval('outbox.looks') when 1 then 'ready' else 'unconfirmed' end $$");
    expect_empty(&outbox, 3, "unconfirmed");
    cr_assert_eq(postgres_int(outbox.admin, "select last_value from outbox.looks"), 2);
    cr_assert_eq(events(&outbox), 1);
    outbox_close(&outbox);
}

/* ---- the stress: writers, a relay and an emptier at once ---- */

#define WRITERS 3

struct stress {
    const struct outbox *outbox;
    atomic_bool stop;
    atomic_int committed, emptied;
    int64_t deadline_us;
};

static void *
write_events(void *context)
{
    struct stress *stress = context;
    PGconn *connection = outbox_session(stress->outbox, POSTGRES_ADMIN);
    postgres_exec(connection, "set synchronous_commit = off");
    while (!atomic_load(&stress->stop)) {
        for (int i = 0; i < 5; i++)
            postgres_exec(connection, "begin; " OLD_EVENT "; commit");
        atomic_fetch_add(&stress->committed, 5);
        /* makes room for a tick without news, after which the slot can go; some do not wait that long */
        int seen = atomic_load(&stress->emptied);
        int64_t patience_us = clock_monotonic_us() + random() % 200000;
        while (clock_monotonic_us() < patience_us && atomic_load(&stress->emptied) == seen)
            wait_turn(stress->deadline_us);
    }
    PQfinish(connection);
    return NULL;
}

static void *
empty_slot(void *context)
{
    struct stress *stress = context;
    PGconn *connection = outbox_session(stress->outbox, POSTGRES_RELAY);
    while (!atomic_load(&stress->stop)) {
        char *state = postgres_text(connection, "select outbox.slot_empty(3)");
        atomic_fetch_add(&stress->emptied, strcmp(state, "emptied") == 0);
        free(state);
    }
    PQfinish(connection);
    return NULL;
}

/* A relay in three statements: opens a tick, counts ("publishes") its events, and confirms it with the next tick. */
static int64_t
relay_turn(PGconn *connection)
{
    postgres_exec(
        connection,
        "insert into outbox.journal (relay, seq, epoch, snapshot, lo_id, hi_id, confirmed_seq, sysid, "
        "timeline,"
        " dbid, nonce) select relay, seq + 1, epoch, pg_current_snapshot(), 0, 0, seq, sysid, timeline,"
        " dbid, 7 from outbox.journal order by seq desc limit 1");
    return postgres_int(
        connection,
        "select count(*) from outbox.event e, (select * from outbox.journal order by seq desc limit 1) cur"
        " join outbox.journal prev on prev.seq = cur.seq - 1"
        " where pg_visible_in_snapshot(e.xid, cur.snapshot)"
        " and not pg_visible_in_snapshot(e.xid, prev.snapshot)");
}

Test(schema_retention, no_event_is_lost_while_slots_are_emptied_under_load)
{
    struct outbox outbox = outbox_open();
    struct stress stress = {.outbox = &outbox, .deadline_us = wait_deadline_us(60000)};
    pthread_t threads[WRITERS + 1];
    outbox_register(&outbox);
    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_events, &stress), 0);
    cr_assert_eq(pthread_create(&threads[WRITERS], NULL, empty_slot, &stress), 0);
    int64_t published = 0;
    postgres_exec(outbox.relay, "set synchronous_commit = off");
    while (clock_monotonic_us() < stress.deadline_us && atomic_load(&stress.emptied) < 30)
        published += relay_turn(outbox.relay);
    atomic_store(&stress.stop, true);
    for (int i = 0; i <= WRITERS; i++)
        pthread_join(threads[i], NULL);
    published += relay_turn(outbox.relay);
    cr_assert_geq(atomic_load(&stress.emptied), 30, "the stress did not happen");
    cr_assert_eq(published, atomic_load(&stress.committed));
    outbox_close(&outbox);
}

/* ---- the journal ---- */

Test(schema_retention, the_journal_keeps_the_confirmed_row_and_an_hour_before_it)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    /* a row a second, 25,000 of them; the newest says that 24,000 is confirmed */
    postgres_exec(
        outbox.admin,
        "insert into outbox.journal (relay, seq, epoch, snapshot, lo_id, hi_id, confirmed_seq, sysid,"
        " timeline, dbid, nonce, written_at) select 'main', i, 0, '3:3:', 0, 0, least(i - 1, 24000), 1, 1, "
        "1, 7,"
        " timestamptz '2026-01-01' + i * interval '1 s' from generate_series(1, 25000) i");
    postgres_exec(outbox.admin, "update outbox.journal set written_at = '2026-01-01' where seq = 0");
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.journal_trim('main')"), 10000,
                 "a bounded number a call");
    cr_assert_eq(postgres_int(outbox.relay, "select min(seq) from outbox.journal"), 10000);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.journal_trim('main', 10000)"), 20000);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.journal_trim('main', 20000)"), 20400);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.journal_trim('main', 20400)"), 20400);
    cr_assert_eq(postgres_int(outbox.relay, "select min(seq) from outbox.journal"), 20400);
    cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.journal"), 4601,
                 "nothing in between is gone");
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.journal_trim('unknown')"), 0);
    outbox_close(&outbox);
}
