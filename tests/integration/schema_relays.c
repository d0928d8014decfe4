/* schema_relays.c: relays that are added and retired. "From now" is exact: what was committed before the moment of the add is
 * left out, and everything else is published, whoever was in the middle of what (P1). A retired relay holds nothing back and
 * can append nothing. */
#include "journal_driver.h"
#include "schema_fixture.h"
#include "support/load.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

TestSuite(schema_relays, .timeout = 120);

#define ADD(from_now) "select outbox.relay_add('search', 'shop', '{*}', '24 h', " from_now ")"

static void
expect_outcome(PGconn *connection, const char *sql, const char *want)
{
    char *got = postgres_text(connection, "%s", sql);
    cr_assert_str_eq(got, want, "%s: %s instead of %s", sql, got, want);
    free(got);
}

static int64_t
emit(PGconn *connection)
{
    return postgres_int(connection, "select outbox.emit('t', 'k', '{}')");
}

/* Everything that a relay would publish, in its order. */
static struct ids
published_by(const struct outbox *outbox, const char *relay)
{
    struct driver *driver =
        driver_open(postgres_conninfo(outbox->server, outbox->database, POSTGRES_RELAY), relay);
    struct ids all = {0}, ids;
    while (driver_step(driver, 1000, 1 << 23, &ids)) {
        all.list = must_realloc(all.list, all.count + ids.count, sizeof *all.list);
        memcpy(all.list + all.count, ids.list, ids.count * sizeof *all.list);
        all.count += ids.count;
        driver_ids_free(&ids);
    }
    driver_close(driver);
    return all;
}

static void
expect_published(const struct outbox *outbox, const char *relay, const int64_t *list, size_t count)
{
    struct ids ids = published_by(outbox, relay), want = {.list = (int64_t *)(uintptr_t)list, .count = count};
    cr_assert(driver_ids_equal(&ids, &want), "%zu ids instead of %zu", ids.count, count);
    driver_ids_free(&ids);
}

/* ---- from now, from the beginning ---- */

Test(schema_relays, from_now_is_all_that_commits_later_and_nothing_that_committed_before__P1)
{
    struct outbox outbox = outbox_open();
    PGconn *emitted = outbox_session(&outbox, POSTGRES_WRITER),
           *begun = outbox_session(&outbox, POSTGRES_ADMIN), *lost = outbox_session(&outbox, POSTGRES_WRITER),
           *prepared = outbox_session(&outbox, POSTGRES_WRITER);
    outbox_register(&outbox);
    emit(outbox.writer); /* before */
    postgres_exec(emitted, "begin");
    int64_t early = emit(emitted);                              /* in flight at the moment of the add */
    postgres_exec(begun, "begin; select pg_current_xact_id()"); /* has its number, but no event yet */
    postgres_exec(lost, "begin");
    emit(lost);
    postgres_exec(prepared, "begin");
    int64_t two_phase = emit(prepared);
    postgres_exec(prepared, "prepare transaction 'add_%s'", outbox.database);
    emit(outbox.writer); /* before, with an id and a number above those in flight */

    expect_outcome(outbox.relay, ADD("true"), "added");

    int64_t late = emit(emitted);
    int64_t after = emit(outbox.writer);
    int64_t begun_before = emit(begun);
    postgres_exec(emitted, "commit");
    postgres_exec(begun, "commit");
    postgres_exec(lost, "rollback");
    postgres_exec(prepared, "commit prepared 'add_%s'", outbox.database);
    expect_published(&outbox, "search", (int64_t[]){early, two_phase, late, after, begun_before}, 5);
    PQfinish(emitted);
    PQfinish(begun);
    PQfinish(lost);
    PQfinish(prepared);
    outbox_close(&outbox);
}

/* Kills the mutant whose lo_id is the sequence's value as read in the statement of the snapshot: an event commits after the
 * snapshot and before the value is read. */
Test(schema_relays, from_now_has_an_event_that_commits_within_the_statement_of_the_add__P1)
{
    struct outbox outbox = outbox_open();
    driver_close_gate(outbox.admin, "pg_current_xact_id_if_assigned() is not null");
    cr_assert(PQsendQuery(outbox.relay, ADD("true")));
    driver_await_gate(outbox.admin);
    int64_t between = emit(outbox.writer);
    driver_open_gate(outbox.admin);
    for (PGresult *result; (result = PQgetResult(outbox.relay)) != NULL; PQclear(result))
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQresultErrorMessage(result));
    cr_assert_geq(postgres_int(outbox.admin, "select hi_id from outbox.journal"), between);
    expect_published(&outbox, "search", &between, 1);
    outbox_close(&outbox);
}

Test(schema_relays, from_the_beginning_is_all_that_is_in_the_outbox)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    int64_t first = emit(outbox.writer), second = emit(outbox.writer);
    expect_outcome(outbox.relay, ADD("false"), "added");
    int64_t third = emit(outbox.writer);
    expect_published(&outbox, "search", (int64_t[]){first, second, third}, 3);
    outbox_close(&outbox);
}

Test(schema_relays, from_now_under_a_hostile_load_is_exactly_what_its_snapshot_does_not_show__P1)
{
    static const char *const topics[] = {"a", "b", NULL};
    struct outbox outbox = outbox_open();
    struct load_options options = {.admin = postgres_conninfo(outbox.server, outbox.database, POSTGRES_ADMIN),
                                   .writer =
                                       postgres_conninfo(outbox.server, outbox.database, POSTGRES_WRITER),
                                   .topics = topics};
    load_prepare(outbox.admin);
    struct load *load = load_start(&options);
    for (int i = 0; i < 5; i++) {
        uint64_t until = load_committed_events(load) + 300;
        wait_for(load_committed_events(load) >= until, 30000);
        postgres_exec(outbox.relay, "select outbox.relay_add('r%d', 'shop', '{*}', '24 h', true)", i);
    }
    /* the newest one's; not what the load has counted, which may be older than its snapshot */
    wait_for(postgres_int(outbox.admin, "select count(*) from load.ledger l, outbox.journal j"
                                        " where j.relay = 'r4' and j.holder = 'boot'"
                                        " and not pg_visible_in_snapshot(l.xid, j.snapshot)") >= 300,
             30000);
    load_stop(load);
    for (int i = 0; i < 5; i++) {
        char *name = must_format("r%d", i);
        struct ids ids = published_by(&outbox, name);
        for (size_t k = 0; k < ids.count; k++)
            postgres_exec(outbox.admin,
                          k == 0 ? "create temp table seen as select %lld::bigint id"
                                 : "insert into seen values (%lld)",
                          (long long)ids.list[k]);
        cr_assert_geq(ids.count, 300);
        cr_assert_eq(postgres_int(outbox.admin, "select count(distinct id) from seen"), (int64_t)ids.count);
        cr_assert_eq(
            postgres_int(outbox.admin,
                         "select count(*) from (select l.id from load.ledger l, outbox.journal j"
                         " where j.relay = '%s' and j.holder = 'boot'"
                         " and not pg_visible_in_snapshot(l.xid, j.snapshot)) e full join seen using (id)"
                         " where e.id is null or seen.id is null",
                         name),
            0);
        postgres_exec(outbox.admin, "drop table seen");
        driver_ids_free(&ids);
        free(name);
    }
    outbox_close(&outbox);
}

Test(schema_relays, what_cannot_work_is_refused)
{
    static const char *const refused[][2] = {
        {"select outbox.relay_add('search', 'shop', '{*}', '31 h', true)", "22023"},
        {"select outbox.relay_add('search', 'shop', '{}', '1 h', true)", "23514"},
        {"select outbox.relay_add('a b', 'shop', '{*}', '1 h', true)", "23514"},
        {"begin isolation level repeatable read; " ADD("true"), "25000"},
        {"begin; select pg_current_xact_id(); " ADD("true"),
         "25000"}, /* its number is older than its snapshot */
    };
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *sqlstate = postgres_sqlstate(outbox.relay, "%s", refused[i][0]);
        cr_expect_str_eq(sqlstate, refused[i][1], "%s: %s", refused[i][0], sqlstate);
        postgres_exec(outbox.relay, "rollback");
    }
    expect_outcome(outbox.relay, "select outbox.relay_add('main', 'shop', '{*}', '1 h', true)", "known");
    postgres_exec(outbox.admin, "update outbox.journal set sysid = sysid + 1");
    cr_expect_str_eq(postgres_sqlstate(outbox.relay, ADD("true")), "55000", "first rebase what is there");
    cr_assert_eq(postgres_int(outbox.admin, "select count(*) from outbox.relay"), 1);
    outbox_close(&outbox);
}

/* Its dead letters stay, with the ticks that they had. */
Test(schema_relays, a_name_that_is_added_again_without_its_journal_begins_behind_its_dead_letters__P2)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    expect_outcome(outbox.relay, ADD("false"), "added");
    emit(outbox.writer);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('search', '{\"dead\": [{\"id\": 1, \"tick\": 1000000, \"hold\": null, "
        "\"error\": \"E\", \"message\": \"m\"}]}')");
    expect_outcome(outbox.relay, "select outbox.relay_retire('search')", "retired");
    postgres_exec(outbox.admin, "delete from outbox.journal where relay = 'search'");
    expect_outcome(outbox.relay, ADD("true"), "added");
    expect_outcome(outbox.relay,
                   "select concat_ws(' ', seq, confirmed_seq) from outbox.journal where relay = 'search'",
                   "1000001 1000001");
    int64_t id = emit(outbox.writer);
    expect_published(&outbox, "search", &id, 1);
    outbox_close(&outbox);
}

/* ---- retired ---- */

Test(schema_relays, a_retired_relay_holds_no_slot_back)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.relay, ADD("false"));
    postgres_exec(
        outbox.admin,
        "insert into outbox.event (topic, slot, created_at) values ('t', 3, now() - interval '2 d')");
    outbox_confirm_all(&outbox, "main");
    expect_outcome(outbox.relay, "select outbox.slot_empty(3)", "unconfirmed");
    expect_outcome(outbox.relay, "select outbox.relay_retire('nobody')", "unknown");
    expect_outcome(outbox.relay, "select outbox.relay_retire('search')", "retired");
    expect_outcome(outbox.relay, "select outbox.relay_retire('search')", "known");
    expect_outcome(outbox.relay, "select outbox.slot_empty(3)", "emptied");
    cr_assert_eq(postgres_int(outbox.admin, "select count(*) from outbox.journal where relay = 'search'"), 1);
    outbox_close(&outbox);
}

/* No slot is emptied between the snapshot of a relay that is added and the moment when everybody sees it. */
Test(schema_relays, no_slot_is_emptied_under_an_add)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(
        outbox.admin,
        "insert into outbox.event (topic, slot, created_at) values ('t', 3, now() - interval '2 d')");
    outbox_confirm_all(&outbox, "main");
    PGconn *adding = outbox_session(&outbox, POSTGRES_RELAY);
    postgres_exec(adding, "begin; " ADD("false"));
    expect_outcome(outbox.relay, "select outbox.slot_empty(3)", "busy");
    postgres_exec(adding, "commit");
    expect_outcome(outbox.relay, "select outbox.slot_empty(3)", "unconfirmed");
    PQfinish(adding);
    outbox_close(&outbox);
}

Test(schema_relays, a_retired_name_added_again_starts_above_all_that_it_was)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', '{}')");
    int64_t epoch = postgres_int(outbox.relay, "select max(epoch) from outbox.journal");
    int64_t seq = postgres_int(outbox.relay, "select max(seq) from outbox.journal");
    emit(outbox.writer);
    expect_outcome(outbox.relay, "select outbox.relay_retire('main')", "retired");
    expect_outcome(outbox.relay, "select outbox.relay_add('main', 'store', '{a}', '2 h', true)", "added");
    cr_assert_eq(postgres_int(outbox.relay,
                              "select count(*) from outbox.relay where source = 'store' and topics = '{a}'"
                              " and retention = '2 h' and retired_at is null and trouble is null"),
                 1);
    cr_assert_eq(postgres_int(outbox.relay,
                              "select count(*) from outbox.journal where epoch > %lld and seq > %lld"
                              " and seq = confirmed_seq and holder = 'boot' and released and sysid <> 0",
                              (long long)epoch, (long long)seq),
                 1);
    postgres_exec(outbox.admin, "update outbox.relay set source = 'shop'"); /* as who leads it here has it */
    int64_t id = emit(outbox.writer);
    expect_published(&outbox, "main", &id, 1);
    outbox_close(&outbox);
}

struct leader {
    PGconn *connection;
    int64_t rows;
};

/* Appends as fast as it can for as long as it is the leader: epoch 0 of the first row. */
static void *
append(void *context)
{
    struct leader *leader = context;
    postgres_exec(leader->connection, "set synchronous_commit = off");
    while (postgres_int(leader->connection,
                        "with n as (insert into outbox.journal (relay, seq, epoch, snapshot, lo_id, hi_id,"
                        " confirmed_seq, sysid, timeline, dbid, nonce) select relay, seq + 1, epoch,"
                        " pg_current_snapshot(), 0, 0, seq, sysid, timeline, dbid, 7 from (select * from"
                        " outbox.journal where relay = 'main' order by seq desc limit 1) l where epoch = 0"
                        " on conflict do nothing returning seq) select count(*) from n") == 1)
        leader->rows++;
    return NULL;
}

Test(schema_relays, a_leader_at_work_is_fenced_by_the_retirement)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    struct leader leader = {.connection = outbox_session(&outbox, POSTGRES_RELAY)};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, append, &leader), 0);
    wait_for(postgres_int(outbox.admin, "select max(seq) from outbox.journal") > 100, 20000);
    expect_outcome(outbox.relay, "select outbox.relay_retire('main')", "retired");
    pthread_join(thread, NULL);
    cr_assert_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.journal where holder = 'retired' and epoch = 1"
                              " and sysid = 0 and seq = %lld",
                              (long long)leader.rows + 1),
                 1, "its row stands above the leader's last one, and alone");
    cr_assert_eq(postgres_int(outbox.admin, "select count(*) from outbox.journal"), 1);
    PQfinish(leader.connection);
    outbox_close(&outbox);
}
