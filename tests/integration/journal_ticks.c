/* journal_ticks.c: ticks lose nothing, repeat nothing and can be read again: the edges where a wrong bound loses events
 * (P1, P2). Each test names the mistake that it kills. */
#include "integration/journal_driver.h"

#include "base/clock.h"
#include "postgres/statements.h"
#include "support/postgres.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <unistd.h>

#define PAGE_EVENTS 10000
#define PAGE_BYTES (8 << 20)

static struct postgres *server;
static const char *database;
static struct driver *driver;
static PGconn *writer, *admin, *rewriter;

static void
open_all(void)
{
    server = postgres_start(NULL); /* our own: what is the latest completed xid depends on us alone */
    database = postgres_create_outbox(server);
    driver = driver_open(postgres_conninfo(server, database, POSTGRES_RELAY), "main");
    writer = postgres_open(server, database, POSTGRES_WRITER);
    admin = postgres_open(server, database, POSTGRES_ADMIN);
}

static void
close_all(void)
{
    PQfinish(admin);
    PQfinish(writer);
    driver_close(driver);
    postgres_free(server);
}

static int64_t
emit(PGconn *connection)
{
    return postgres_int(connection, "select outbox.emit('t', 'k', '{}')");
}

/* The ids of the next tick; fails when there is none. */
static struct ids
next_tick(void)
{
    struct ids ids;
    cr_assert(driver_step(driver, PAGE_EVENTS, PAGE_BYTES, &ids), "no tick was opened");
    return ids;
}

static void
expect_idle(void)
{
    struct ids ids;
    cr_assert(!driver_step(driver, PAGE_EVENTS, PAGE_BYTES, &ids));
}

TestSuite(journal_ticks, .init = open_all, .fini = close_all, .timeout = 60);

Test(journal_ticks, P1_an_event_is_in_exactly_one_tick_and_an_idle_step_writes_nothing)
{
    int64_t id = emit(writer);
    struct ids ids = next_tick();
    cr_assert(ids.count == 1 && ids.list[0] == id);
    driver_ids_free(&ids);
    int64_t rows = postgres_int(admin, "select count(*) from outbox.journal");
    int64_t xid = postgres_int(admin, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    for (int i = 0; i < 20; i++)
        expect_idle();
    cr_assert(rows == postgres_int(admin, "select count(*) from outbox.journal"));
    cr_assert(xid == postgres_int(admin, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"));
}

Test(journal_ticks, P1_a_rolled_back_event_is_in_no_tick)
{
    postgres_exec(writer, "begin");
    emit(writer);
    postgres_exec(writer, "savepoint s");
    emit(writer);
    postgres_exec(writer, "rollback to s");
    postgres_exec(writer, "rollback");
    expect_idle();
}

/* Kills the bound mutant (xmax of the snapshot in place of w): the transaction has its xid and its id before the tick, no
 * later xid has completed, so it is at or above xmax and in no xip list, and its id is below the tick's lo. */
Test(journal_ticks, P1_a_transaction_above_xmax_of_the_tick_with_an_id_below_lo_is_not_lost)
{
    postgres_exec(writer, "begin");
    int64_t id = emit(writer);
    expect_idle();
    expect_idle(); /* now lo is the value that includes the id */
    cr_assert(driver->edge.lo_id >= id);
    postgres_exec(writer, "commit");
    struct ids ids = next_tick();
    cr_assert(driver_has_id(&ids, id));
    driver_ids_free(&ids);
}

/* The same where the tick is a row of the journal, and read back. */
Test(journal_ticks, P1_a_transaction_above_xmax_of_a_journalled_tick_is_read_back_whole)
{
    PGconn *other = postgres_open(server, database, POSTGRES_WRITER);
    int64_t first = emit(other);
    postgres_exec(writer, "begin");
    int64_t open_id = emit(writer);
    struct ids ids = next_tick();
    cr_assert(ids.count == 1 && ids.list[0] == first);
    driver_ids_free(&ids);
    postgres_exec(writer, "commit");
    ids = next_tick();
    cr_assert(ids.count == 1 && ids.list[0] == open_id);
    struct ids again;
    driver_read_back(driver, driver->self.seq, PAGE_EVENTS, &again);
    cr_assert(driver_ids_equal(&ids, &again));
    driver_ids_free(&ids);
    driver_ids_free(&again);
    PQfinish(other);
}

/* Kills the virtual-tick mutant (lo = the sequence value that the same step has read): an event commits after the snapshot and
 * before the value is read. */
Test(journal_ticks,
     P1_an_event_committed_between_the_snapshot_and_the_sequence_value_of_a_virtual_tick_is_not_lost)
{
    expect_idle();
    driver_close_gate(admin, "true");
    driver_ask_step(driver);
    driver_await_gate(admin);
    int64_t id = emit(writer);
    driver_open_gate(admin);
    struct ids ids;
    bool found = driver_finish_step(driver, PAGE_EVENTS, PAGE_BYTES, &ids);
    cr_assert(!found, "the event was committed after the snapshot");
    ids = next_tick();
    cr_assert(driver_has_id(&ids, id));
    driver_ids_free(&ids);
}

/* Kills the plain select of last_value: it takes no lock, and while nextval() writes its log it shows more, and less again. */
Test(journal_ticks, P1_the_sequence_value_is_never_ahead_of_the_ids_that_were_given_out)
{
    PGconn *drawing = postgres_open(server, database, POSTGRES_ADMIN);
    cr_assert(PQsendQuery(drawing, "do 'begin loop perform nextval(''outbox.event_id_seq'');"
                                   " perform count(*) from generate_series(1, 5); end loop; end'"));
    postgres_exec(admin, "%s",
                  "do $$ declare before bigint := 0; now bigint; begin for i in 1..200000 loop"
                  " now := (select " SQL_SEQUENCE "); if now < before then"
                  " raise exception '% was seen before %', before, now; end if; before := now;"
                  " end loop; end $$");
    postgres_exec(admin, "select pg_terminate_backend(%d)", PQbackendPID(drawing));
    PQfinish(drawing);
}

/* The events that were inserted before its row are in that row's snapshot, and in no tick: unless the row gave it away, the
 * next leader would go on behind them. */
Test(journal_ticks, P1_a_step_that_finds_the_sequence_set_back_leaves_a_row_that_says_so__row_71)
{
    for (int i = 0; i < 20; i++)
        emit(writer);
    struct ids ids = next_tick();
    driver_ids_free(&ids);
    expect_idle();
    postgres_exec(admin, "select setval('outbox.event_id_seq', 10)");
    emit(writer);
    struct error error;
    struct journal_stepped stepped = {0};
    struct journal_step step = {
        .last = &driver->edge, .next_lo = driver->sequence, .confirmed = driver->confirmed, .dirty = true};
    journal_ask_step(driver->session, &driver->self, &step, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(!journal_read_step(driver->session, &driver->self, &step, &stepped, &error));
    cr_assert(error.kind == ERROR_INTERNAL);
    journal_stepped_clear(&stepped);
    bool set_back = false, numbers_back = false;
    journal_ask_set_back(driver->session, "main", clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_set_back(driver->session, &set_back, &numbers_back, &error), "%s", error.message);
    cr_assert(set_back, "the next leader would go on, and the event would never be published");
}

Test(journal_ticks, P2_late_and_new_transactions_of_one_tick_are_merged_by_id)
{
    PGconn *other = postgres_open(server, database, POSTGRES_WRITER);
    postgres_exec(writer, "begin");
    emit(writer);
    emit(other);
    struct ids ids = next_tick(); /* the open transaction is late from here on */
    driver_ids_free(&ids);
    emit(other);
    emit(writer);
    emit(other);
    postgres_exec(writer, "commit");
    ids = next_tick();
    cr_assert(ids.count == 4);
    for (size_t i = 1; i < ids.count; i++)
        cr_assert(ids.list[i - 1] < ids.list[i]);
    driver_ids_free(&ids);
    PQfinish(other);
}

/* The transaction that ends last has the lower xid: in the order of xids its second event would come too early, and behind a page that ends
 * there the other one's would be passed over. */
Test(journal_ticks, P2_new_transactions_of_one_tick_come_in_the_order_of_ids_and_not_of_xids)
{
    PGconn *other = postgres_open(server, database, POSTGRES_WRITER);
    postgres_exec(writer, "begin");
    int64_t expected[] = {emit(writer), emit(other), emit(writer)};
    postgres_exec(writer, "commit");
    struct ids whole = next_tick(), pages;
    driver_read_back(driver, driver->self.seq, 1, &pages);
    cr_assert(whole.count == 3 && driver_ids_equal(&whole, &pages));
    for (size_t i = 0; i < whole.count; i++)
        cr_assert(whole.list[i] == expected[i]);
    driver_ids_free(&whole);
    driver_ids_free(&pages);
    PQfinish(other);
}

Test(journal_ticks, P1_overflowed_subtransactions_come_once_and_after_commit)
{
    postgres_exec(writer, "begin");
    for (int i = 0; i < 300; i++) {
        postgres_exec(writer, "savepoint s");
        emit(writer);
        postgres_exec(writer, i % 3 ? "release s" : "rollback to s");
    }
    expect_idle();
    postgres_exec(writer, "commit");
    struct ids ids = next_tick();
    cr_assert(ids.count == 200);
    struct ids again;
    driver_read_back(driver, driver->self.seq, 7, &again);
    cr_assert(driver_ids_equal(&ids, &again));
    driver_ids_free(&ids);
    driver_ids_free(&again);
}

Test(journal_ticks, P1_a_prepared_transaction_comes_after_commit_prepared_and_never_after_rollback)
{
    postgres_exec(writer, "begin");
    int64_t id = emit(writer);
    postgres_exec(writer, "prepare transaction 'journal_ticks_%d_a'", (int)getpid());
    postgres_exec(writer, "begin");
    emit(writer);
    postgres_exec(writer, "prepare transaction 'journal_ticks_%d_b'", (int)getpid());
    expect_idle();
    postgres_exec(writer, "rollback prepared 'journal_ticks_%d_b'", (int)getpid());
    expect_idle();
    postgres_exec(writer, "commit prepared 'journal_ticks_%d_a'", (int)getpid());
    struct ids ids = next_tick();
    cr_assert(ids.count == 1 && ids.list[0] == id);
    driver_ids_free(&ids);
}

/* Pages by rows, by bytes and by windows of ids must give the same set in the same order. */
Test(journal_ticks, P2_pages_of_any_size_give_the_whole_tick_in_id_order)
{
    enum { OPEN = 12, ROUNDS = 30 };
    PGconn *open[OPEN];
    struct ids whole, pages;
    for (int i = 0; i < OPEN; i++) {
        open[i] = postgres_open(server, database, POSTGRES_WRITER);
        postgres_exec(open[i], "begin");
    }
    for (int i = 0; i < OPEN; i++)
        emit(open[i]);
    emit(writer);
    struct ids ids = next_tick(); /* all twelve are late from here on */
    driver_ids_free(&ids);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < OPEN; i++) {
            postgres_exec(
                open[i],
                "insert into outbox.event (topic, payload) select 't', convert_to(repeat('x', %d), 'UTF8')"
                " from generate_series(1, 3)",
                (round * 131) % 3000);
            emit(writer);
        }
    for (int i = 0; i < OPEN; i++) {
        postgres_exec(open[i], "commit");
        PQfinish(open[i]);
    }
    postgres_exec(writer, "insert into outbox.event (topic) select 't' from generate_series(1, 500)");
    whole = next_tick();
    cr_assert(whole.count == OPEN * (ROUNDS * 4 + 1) + 500);
    int64_t seq = driver->self.seq;
    static const int64_t sizes[] = {1000, 100, 17, 5};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        driver_read_back(driver, seq, sizes[i], &pages);
        cr_assert(driver_ids_equal(&whole, &pages), "pages of %d differ", (int)sizes[i]);
        cr_assert(pages.pages > 1);
        driver_ids_free(&pages);
    }
    driver_ids_free(&whole);
}

Test(journal_ticks, I6_a_page_is_cut_by_bytes_and_a_large_event_comes_alone)
{
    postgres_exec(writer,
                  "insert into outbox.event (topic, payload) select 't', convert_to(repeat('s', 100), 'UTF8')"
                  " from generate_series(1, 3000)");
    postgres_exec(
        writer,
        "insert into outbox.event (topic, payload) select 't', convert_to(repeat('l', 3000000), 'UTF8')"
        " from generate_series(1, 5)");
    postgres_exec(writer,
                  "insert into outbox.event (topic, payload) select 't', convert_to(repeat('s', 100), 'UTF8')"
                  " from generate_series(1, 3000)");
    struct ids ids;
    cr_assert(driver_step(driver, PAGE_EVENTS, 2 << 20, &ids));
    cr_assert(ids.count == 6005);
    cr_assert(ids.pages >= 6);
    for (size_t i = 1; i < ids.count; i++)
        cr_assert(ids.list[i - 1] < ids.list[i]);
    driver_ids_free(&ids);
}

/* ---- a table that is written anew: whoever took his snapshot before, and then waited for its lock, sees it empty ---- */

/* Commits when somebody waits for the table. */
static void
end_rewrite(void)
{
    driver->asked = NULL;
    wait_for(postgres_int(admin, "select count(*) from pg_locks where not granted"
                                 " and relation::regclass::text like 'outbox.event%%'") > 0,
             10000);
    postgres_exec(rewriter, "commit");
}

static void
begin_rewrite(void)
{
    rewriter = postgres_open(server, database, POSTGRES_ADMIN);
    postgres_exec(rewriter, "begin; alter table outbox.event add column note int default random()::int");
}

/* The rewrite begins behind the step, and ends in the midst of the first page. */
static void
expect_all_over_a_rewrite(int events)
{
    postgres_exec(writer, "select outbox.emit('t', 'k', to_jsonb(i)) from generate_series(1, %d) i", events);
    driver_ask_step(driver);
    driver_wait(driver);
    begin_rewrite();
    driver->asked = end_rewrite;
    struct ids ids;
    cr_assert(driver_finish_step(driver, PAGE_EVENTS, PAGE_BYTES, &ids));
    cr_expect_eq(ids.count, (size_t)events);
    driver_ids_free(&ids);
    PQfinish(rewriter);
}

Test(journal_ticks, P1_a_page_read_by_copy_that_waited_for_a_rewrite_has_every_event__row_70)
{
    expect_all_over_a_rewrite(2000);
}

Test(journal_ticks, P1_a_small_page_that_waited_for_a_rewrite_has_every_event__row_70)
{
    expect_all_over_a_rewrite(20);
}

/* The late transaction is looked up by the step itself. */
Test(journal_ticks, P1_a_step_that_waited_for_a_rewrite_has_every_late_event__row_70)
{
    PGconn *late = postgres_open(server, database, POSTGRES_WRITER);
    postgres_exec(late, "begin");
    int64_t late_id = emit(late), id = emit(writer);
    struct ids ids = next_tick();
    cr_expect(driver_has_id(&ids, id) && !driver_has_id(&ids, late_id));
    driver_ids_free(&ids);
    postgres_exec(late, "commit");
    begin_rewrite();
    driver_ask_step(driver);
    end_rewrite();
    cr_assert(driver_finish_step(driver, PAGE_EVENTS, PAGE_BYTES, &ids), "the late event is in no tick");
    cr_expect(driver_has_id(&ids, late_id));
    driver_ids_free(&ids);
    PQfinish(late);
    PQfinish(rewriter);
}
