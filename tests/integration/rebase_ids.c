/* rebase_ids.c: after a rebase of a database whose id sequence was set back, or whose journal is gone, nothing is lost, no id
 * means two events, and the order is that of the inserts (P1, P2; rows 70 and 71). */
#include "rebase_fixture.h"

#include "base/clock.h"
#include "command/command.h"
#include "support/load.h"

#include <stdlib.h>
#include <string.h>

TestSuite(rebase_ids, .timeout = 120);

static void
emit_named(PGconn *connection, const char *name)
{
    postgres_int(connection, "select outbox.emit('t', 'k', to_jsonb('%s'::text))", name);
}

/* What the events above id `above` say, in the order of their ids. */
static void
expect_order(const struct outbox *outbox, int64_t above, const char *want)
{
    char *got =
        postgres_text(outbox->admin,
                      "select string_agg(convert_from(payload, 'UTF8'), ' ' order by id) from outbox.event"
                      " where id > %lld",
                      (long long)above);
    cr_assert_str_eq(got, want);
    cr_assert_eq(postgres_int(outbox->admin, "select count(*) - count(distinct id) from outbox.event"), 0,
                 "an id means two events");
    free(got);
}

/* ---- the sequence ---- */

Test(rebase_ids,
     events_with_ids_of_a_sequence_that_was_set_back_get_new_ones_in_the_order_of_the_inserts__P1__P2__row_71)
{
    struct outbox outbox = rebase_open_own();
    PGconn *open_one = outbox_session(&outbox, POSTGRES_WRITER);
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(open_one, "begin");
    emit_named(open_one, "open"); /* 8 */
    postgres_exec(outbox.admin, "select setval('outbox.event_id_seq', 2)");
    emit_named(outbox.writer, "a"); /* 3 */
    emit_named(outbox.writer, "b"); /* 4 */
    postgres_exec(open_one, "commit");
    emit_named(outbox.writer, "c"); /* 5 */
    rebase_expect(&outbox, 0, "it will go on above 8, and 6 events that were never sent get new ids", "",
                  "--yes");
    rebase_expect(&outbox, 0, NOTHING_TO_DO, "", "--yes");
    expect_order(&outbox, 8, "{} {} \"open\" \"a\" \"b\" \"c\"");
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 9, 10, 11, 12, 13, 14));
    int64_t next = rebase_emit(outbox.writer);
    rebase_expect_tick(driver, REBASE_IDS(next));
    driver_close(driver);
    rebase_expect_emptied(&outbox, (const char *[]){"main", NULL});
    PQfinish(open_one);
    outbox_close(&outbox);
}

/* The leader has looked once more, found the sequence behind, and ended: its last row says so, and is the newest. Events that
 * were inserted before it are in the snapshot of that row, and all the same in no tick. */
Test(rebase_ids, a_step_that_found_the_sequence_set_back_hides_nothing__P1__row_71)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(6, 7)); /* sent, and not confirmed: they keep their ids */
    postgres_exec(outbox.admin, "select setval('outbox.event_id_seq', 2)");
    emit_named(outbox.writer, "a"); /* 3 */
    struct error error;
    struct journal_stepped stepped = {0};
    struct journal_step step = {
        .last = &driver->edge, .next_lo = driver->sequence, .confirmed = driver->confirmed, .dirty = true};
    journal_ask_step(driver->session, &driver->self, &step, clock_monotonic_us());
    driver_wait(driver);
    cr_assert_not(journal_read_step(driver->session, &driver->self, &step, &stepped, &error));
    journal_stepped_clear(&stepped);
    driver_close(driver);
    cr_assert_eq(
        postgres_int(outbox.admin,
                     "select count(*) from (select * from outbox.journal order by seq desc limit 1) n"
                     " where lo_id > hi_id"),
        1, "the step did not append its row");
    emit_named(outbox.writer, "b"); /* 4 */
    rebase_expect(&outbox, 0, "it will go on above 7, and 2 events that were never sent get new ids", "",
                  "--yes");
    driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 6, 7, 8, 9));
    expect_order(&outbox, 7, "\"a\" \"b\"");
    driver_close(driver);
    outbox_close(&outbox);
}

Test(rebase_ids, TRUNCATE_RESTART_IDENTITY_and_events_behind_it__P1__row_70)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(outbox.relay, "select outbox.relay_add('audit', 'shop', '{*}', '24 h', true)");
    postgres_exec(outbox.admin, "truncate outbox.event restart identity");
    for (int i = 0; i < 10; i++) /* past what was */
        emit_named(outbox.writer, "x");
    rebase_expect(&outbox, 0, "10 events that were never sent get new ids", "", "--yes");
    struct driver *driver = rebase_lead(&outbox, "main"), *audit = rebase_lead(&outbox, "audit");
    rebase_expect_tick(driver, REBASE_IDS(11, 12, 13, 14, 15, 16, 17, 18, 19, 20));
    rebase_expect_tick(audit, REBASE_IDS(11, 12, 13, 14, 15, 16, 17, 18, 19, 20));
    driver_close(audit);
    driver_close(driver);
    outbox_close(&outbox);
}

/* ---- the journal ---- */

Test(rebase_ids, a_relay_whose_journal_is_gone_begins_again_and_the_others_go_on__P1)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(outbox.relay, "select outbox.relay_add('audit', 'shop', '{*}', '24 h', false)");
    struct driver *audit = rebase_lead(&outbox, "audit");
    rebase_expect_tick(audit, REBASE_IDS(1, 2, 3, 4, 5, 6, 7));
    confirm_tick(audit, audit->self.seq, 0, true);
    driver_close(audit);
    rebase_emit(outbox.writer);
    postgres_exec(outbox.admin, "delete from outbox.journal where relay = 'main'");
    rebase_expect(&outbox, 0, "relay main (its journal is gone: what it published is not known):\n  8 events",
                  "", "--yes");
    rebase_expect(&outbox, 0, NOTHING_TO_DO, "", "--yes");
    struct driver *driver = rebase_lead(&outbox, "main");
    audit = rebase_lead(&outbox, "audit");
    rebase_expect_tick(driver, REBASE_IDS(1, 2, 3, 4, 5, 6, 7, 8));
    rebase_expect_tick(audit, REBASE_IDS(8));
    driver_close(audit);
    driver_close(driver);
    outbox_close(&outbox);
}

/* A dead letter is kept whole, and holds what comes of its key: the ticks of the journal that is lost are not those of the next one. Neither it nor what it
 * holds is among their events: behind its retry it would come again. */
Test(rebase_ids, a_journal_that_is_gone_begins_again_behind_all_that_was_put_aside__P2)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(outbox.relay,
                  "select outbox.put_aside('main', '{\"dead\": [{\"id\": 2, \"tick\": 1000000, \"hold\": 2, "
                  "\"error\": \"E\", \"message\": \"m\"}], \"held\": [[5, 1000007, 2]]}')");
    postgres_exec(outbox.admin, "delete from outbox.journal");
    rebase_expect(&outbox, 0, "relay main (its journal is gone: what it published is not known):\n  5 events",
                  "", "--yes");
    cr_expect_eq(postgres_int(outbox.admin, "select min(seq) from outbox.journal"), 1000008);
    cr_expect_eq(postgres_int(outbox.admin, "select confirmed_seq from outbox.journal"), 1000008);
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(1, 3, 4, 6, 7));
    cr_expect_eq(postgres_int(outbox.admin, "select event_id from outbox.held_event"), 5);
    driver_close(driver);
    outbox_close(&outbox);
}

Test(rebase_ids, a_journal_without_the_row_that_says_what_is_confirmed_is_gone__P1)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    int64_t epoch = postgres_int(outbox.admin, "select max(epoch) from outbox.journal");
    postgres_exec(outbox.admin,
                  "delete from outbox.journal where seq = (select confirmed_seq from outbox.journal"
                  " order by seq desc limit 1)");
    rebase_expect(&outbox, 0, "its journal is gone", "", "--yes");
    cr_assert_eq(postgres_int(outbox.admin, "select max(epoch) from outbox.journal"), epoch + 1);
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 6, 7)); /* what is known of the tick after it still counts */
    driver_close(driver);
    outbox_close(&outbox);
}

/* ---- when nothing is wrong ---- */

Test(rebase_ids, under_a_hostile_load_a_healthy_database_has_nothing_to_rebase)
{
    static const char *const topics[] = {"a", "b", NULL};
    struct outbox outbox = rebase_open_own();
    struct load_options options = {.admin = postgres_conninfo(outbox.server, outbox.database, POSTGRES_ADMIN),
                                   .writer =
                                       postgres_conninfo(outbox.server, outbox.database, POSTGRES_WRITER),
                                   .topics = topics};
    struct driver *driver = rebase_lead(&outbox, "main");
    load_prepare(outbox.admin);
    struct load *load = load_start(&options);
    while (load_committed_events(load) < 3000) {
        struct ids ids;
        if (driver_step(driver, 1000, 1 << 23, &ids))
            driver_ids_free(&ids);
        rebase_expect(&outbox, 0, NOTHING_TO_DO, "", "--dry-run");
    }
    load_stop(load);
    rebase_expect(&outbox, 0, NOTHING_TO_DO, "", "--yes");
    driver_close(driver);
    outbox_close(&outbox);
}

Test(rebase_ids, mistakes_on_the_command_line_exit_64)
{
    /* what may hold a password is overwritten */
    char any[] = "dbname=x", nonsense[] = "nonsense=1", nobody[] = "host=127.0.0.1 port=1";
    char *none[] = {"rebase", NULL}, *unknown[] = {"rebase", "--frobnicate", NULL},
         *extra[] = {"rebase", "--conninfo", any, "more", NULL},
         *incomplete[] = {"rebase", "--conninfo", NULL},
         *conninfo[] = {"rebase", "--conninfo", nonsense, NULL},
         *both[] = {"rebase", "--conninfo", any, "--phantoms", "--position", "main", NULL},
         *same[] = {"rebase", "--conninfo", any, "--same-xids", "--position", "main", NULL},
         *idle[] = {"rebase", "--conninfo", any, "--since", "1h", NULL},
         *when[] = {"rebase", "--conninfo", any, "--phantoms", "--since", "noon", NULL},
         *pattern[] = {"rebase", "--conninfo", any, "--phantoms", "--topic", "a b", NULL},
         *unread[] = {"rebase", "--conninfo", any, "--phantoms", "--config", "/nonexistent", NULL},
         *away[] = {"rebase", "--conninfo", nobody, NULL};
    cr_assert_eq(command_rebase(1, none), 64);
    cr_assert_eq(command_rebase(2, unknown), 64);
    cr_assert_eq(command_rebase(4, extra), 64);
    cr_assert_eq(command_rebase(2, incomplete), 64);
    cr_assert_eq(command_rebase(3, conninfo), 64);
    cr_assert_eq(command_rebase(6, both), 64);
    cr_assert_eq(command_rebase(6, same), 64);
    cr_assert_eq(command_rebase(5, idle), 64);
    cr_assert_eq(command_rebase(6, when), 64);
    cr_assert_eq(command_rebase(6, pattern), 64);
    cr_assert_eq(command_rebase(6, unread), 78);
    cr_assert_eq(command_rebase(3, away), 69);
}
