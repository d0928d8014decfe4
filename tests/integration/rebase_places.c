/* rebase_places.c: after a rebase in another cluster or database each relay publishes exactly what it had not confirmed, in
 * order, and then whatever is new (P1, P2; row 72). */
#include "rebase_fixture.h"

#include <stdlib.h>
#include <string.h>

TestSuite(rebase_places, .timeout = 120);

/* Transaction numbers that nobody needs. */
static void
burn_numbers(struct postgres *server, int count)
{
    PGconn *connection = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(connection,
                  "do $$ begin for i in 1 .. %d loop perform pg_current_xact_id(); commit; end loop; end $$",
                  count);
    PQfinish(connection);
}

/* A cluster in which numbers are higher than in those that nothing was burnt in. */
static struct outbox
open_high(void)
{
    struct outbox outbox = rebase_open_own();
    burn_numbers(outbox.server, 5000);
    return outbox;
}

/* pg_dump, and pg_restore into another cluster. */
static struct outbox
restore_in(struct postgres *other, const struct outbox *from)
{
    char *path = must_format("%s/dump", postgres_directory(from->server));
    postgres_dump(from->server, from->database, path);
    struct outbox copy = outbox_connect(other, postgres_restore(other, path));
    free(path);
    return copy;
}

static struct outbox
restore_elsewhere(const struct outbox *from)
{
    return restore_in(postgres_start_other(NULL), from);
}

/* ---- a restored dump ---- */

static void
restore_and_rebase(bool from_high)
{
    struct outbox old = from_high ? open_high() : rebase_open_own();
    struct postgres *other = postgres_start_other(NULL);
    rebase_three_of_seven(&old, "main");
    PGconn *in_flight = outbox_session(&old, POSTGRES_WRITER);
    postgres_exec(in_flight, "begin");
    rebase_emit(in_flight); /* 8: not in the dump */
    rebase_emit(old.writer);
    if (!from_high)
        burn_numbers(other, 5000);
    struct outbox copy = restore_in(other, &old);

    char *before = rebase_everything(&copy);
    rebase_expect(&copy, 0, "5 events are not confirmed: they will be published\n  3 are confirmed", "",
                  "--dry-run");
    rebase_expect(&copy, 64, "written in another cluster", "needs --yes", NULL);
    char *after = rebase_everything(&copy);
    cr_assert_str_eq(before, after, "nothing is changed before somebody agrees");
    rebase_expect(&copy, 0, "relay main goes on with 5 unconfirmed events\nrebased", "", "--yes");
    rebase_expect(&copy, 0, NOTHING_TO_DO, "", "--yes");

    struct driver *driver = rebase_lead(&copy, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 6, 7, 9));
    int64_t next = rebase_emit(copy.writer);
    cr_assert_geq(next, 10);
    rebase_expect_tick(driver, REBASE_IDS(next));
    /* transaction numbers here pass those of there: nothing comes a second time */
    postgres_exec(
        copy.admin,
        "do $$ begin for i in 1 .. 6000 loop perform pg_current_xact_id(); commit; end loop; end $$");
    next = rebase_emit(copy.writer);
    rebase_expect_tick(driver, REBASE_IDS(next));
    driver_close(driver);
    rebase_expect_emptied(&copy, (const char *[]){"main", NULL});
    free(after);
    free(before);
    PQfinish(in_flight);
    outbox_close(&copy);
    outbox_close(&old);
}

Test(rebase_places, a_dump_restored_into_a_cluster_with_higher_transaction_numbers__P1__row_72)
{
    restore_and_rebase(false);
}

/* The stream has passed them over, and where they wait is said in the old cluster's numbers. */
Test(rebase_places, events_of_a_paused_topic_are_published_in_a_restored_dump__P1__row_72)
{
    struct outbox old = rebase_open_own();
    rebase_three_of_seven(&old, "main");
    postgres_exec(old.admin,
                  "insert into outbox.paused_topic (relay, topic, from_seq, to_seq, after_id, error, message)"
                  " select 'main', topic, 0, 1, 0, 'E', 'm' from outbox.event where id = 1");
    struct outbox copy = restore_elsewhere(&old);
    rebase_expect(&copy, 0, "relay main goes on with 7 unconfirmed events\nrebased", "", "--yes");
    cr_expect_eq(postgres_int(copy.admin, "select count(*) from outbox.paused_topic"), 0);
    struct driver *driver = rebase_lead(&copy, "main");
    rebase_expect_tick(driver, REBASE_IDS(1, 2, 3, 4, 5, 6, 7));
    driver_close(driver);
    outbox_close(&copy);
    outbox_close(&old);
}

Test(rebase_places, a_dump_restored_into_a_cluster_with_lower_transaction_numbers__P1__row_72)
{
    restore_and_rebase(true);
}

/* Each relay has a part of its own: main has confirmed 1 to 3, audit 1 to 10, and fresh, which has never run, nothing. */
Test(rebase_places, each_of_several_relays_goes_on_where_it_stood__P1__row_72)
{
    struct outbox old = open_high();
    rebase_three_of_seven(&old, "main");
    postgres_exec(old.relay, "select outbox.relay_add('audit', 'shop', '{*}', '24 h', false)");
    postgres_exec(old.relay, "select outbox.relay_add('fresh', 'shop', '{*}', '24 h', false)");
    postgres_exec(old.relay, "select outbox.relay_add('gone', 'shop', '{*}', '24 h', false)");
    postgres_exec(old.relay, "select outbox.relay_retire('gone')");
    for (int i = 8; i <= 10; i++)
        rebase_emit(old.writer);
    struct driver *audit = rebase_lead(&old, "audit");
    rebase_expect_tick(audit, REBASE_IDS(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    confirm_tick(audit, audit->self.seq, 0, true);
    driver_close(audit);
    rebase_emit(old.writer);
    struct outbox copy = restore_elsewhere(&old);
    rebase_expect(
        &copy, 0,
        "relay audit goes on with 1 unconfirmed events\nrelay fresh goes on with 11 unconfirmed events\n"
        "relay main goes on with 8 unconfirmed events\nrebased",
        "", "--yes");
    audit = rebase_lead(&copy, "audit");
    struct driver *fresh = rebase_lead(&copy, "fresh"), *main_relay = rebase_lead(&copy, "main");
    rebase_expect_tick(audit, REBASE_IDS(11));
    rebase_expect_tick(fresh, REBASE_IDS(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    rebase_expect_tick(main_relay, REBASE_IDS(4, 5, 6, 7, 8, 9, 10, 11));
    int64_t next = rebase_emit(copy.writer);
    rebase_expect_tick(audit, REBASE_IDS(next));
    rebase_expect_tick(fresh, REBASE_IDS(next));
    rebase_expect_tick(main_relay, REBASE_IDS(next));
    driver_close(audit);
    driver_close(fresh);
    driver_close(main_relay);
    rebase_expect_emptied(&copy, (const char *[]){"main", "audit", "fresh", NULL});
    outbox_close(&copy);
    outbox_close(&old);
}

/* They should have waited; what they wrote is published all the same, once, behind what was there. */
static void
restore_and_write_first(bool sequence_too)
{
    struct outbox old = open_high();
    rebase_three_of_seven(&old, "main");
    struct outbox copy = restore_elsewhere(&old); /* new transactions have numbers that look confirmed */
    if (!sequence_too)
        postgres_exec(
            copy.admin,
            "select setval('outbox.event_id_seq', 1, false)"); /* as logical replication leaves it */
    int64_t first = rebase_emit(copy.writer), second = rebase_emit(copy.writer);
    postgres_exec(copy.writer, "begin");
    postgres_exec(copy.writer,
                  "select 1 from outbox.event where id = 0"); /* no event yet: is not waited for */
    rebase_expect(&copy, 0,
                  sequence_too ? "relay main goes on with 6" : "4 events that were never sent get new ids",
                  "", "--yes");
    int64_t third = rebase_emit(copy.writer);
    postgres_exec(copy.writer, "commit");
    struct driver *driver = rebase_lead(&copy, "main");
    if (sequence_too)
        rebase_expect_tick(driver, REBASE_IDS(4, 5, 6, 7, first, second, third));
    else
        rebase_expect_tick(driver, REBASE_IDS(4, 5, 8, 9, 10, 11, 12));
    cr_assert_eq(postgres_int(copy.admin, "select count(distinct id) from outbox.event"), 10);
    driver_close(driver);
    outbox_close(&copy);
    outbox_close(&old);
}

Test(rebase_places, writers_that_were_let_in_before_lose_nothing__P1)
{
    restore_and_write_first(true);
}

Test(rebase_places, writers_that_were_let_in_before_with_a_fresh_sequence_lose_nothing__P1)
{
    restore_and_write_first(false);
}

/* The registry was left out of the dump: whoever comes first begins at the beginning. */
Test(rebase_places, events_of_another_cluster_without_a_relay_are_all_published__P1)
{
    struct outbox old = open_high();
    for (int i = 0; i < 3; i++)
        rebase_emit(old.writer);
    struct outbox copy = restore_elsewhere(&old);
    rebase_expect(&copy, 0, "no relay is registered", "", "--yes");
    rebase_expect(&copy, 0, NOTHING_TO_DO, "", "--yes");
    struct driver *driver = rebase_lead(&copy, "main");
    rebase_expect_tick(driver, REBASE_IDS(1, 2, 3));
    driver_close(driver);
    outbox_close(&copy);
    outbox_close(&old);
}

/* ---- the same transaction numbers ---- */

/* `name` must live as long as the clone. */
static struct outbox
clone(const struct outbox *from, const char *name)
{
    PGconn *server = postgres_open(from->server, "postgres", POSTGRES_ADMIN);
    postgres_exec(server, "create database %s template %s", name, from->database);
    PQfinish(server);
    return outbox_connect(from->server, name);
}

static void
disconnect(struct outbox *outbox)
{
    PQfinish(outbox->admin);
    PQfinish(outbox->writer);
    PQfinish(outbox->relay);
}

Test(rebase_places, a_clone_in_the_same_cluster_goes_on_without_touching_an_event__P1__row_72)
{
    struct outbox old = rebase_open_own();
    rebase_three_of_seven(&old, "main");
    disconnect(&old);
    char *name = must_format("%s_clone", old.database);
    struct outbox copy = clone(&old, name);
    char *events = postgres_text(copy.admin, "select json_agg(e order by id) from outbox.event e");
    rebase_expect(&copy, 0, "transaction numbers mean the same here: no event is changed", "", "--yes");
    char *after = postgres_text(copy.admin, "select json_agg(e order by id) from outbox.event e");
    cr_assert_str_eq(events, after);
    rebase_expect(&copy, 0, NOTHING_TO_DO, "", "--yes");
    cr_assert_eq(postgres_int(copy.admin,
                              "select count(*) from outbox.journal where holder = 'rebase' and released"
                              " and confirmed_id = 3 and confirmed_seq < seq - 1"),
                 1, "it goes on in the middle of the tick");
    struct driver *driver = rebase_lead(&copy, "main");
    rebase_expect_tick(
        driver, REBASE_IDS(6, 7)); /* the driver does not read ticks back; 4 and 5 are in the one before */
    driver_close(driver);
    free(after);
    free(events);
    outbox_close(&copy);
    free(name);
}

/* Row 72: pg_upgrade keeps the numbers and changes the identifier. */
Test(rebase_places, after_pg_upgrade_the_numbers_are_kept_when_it_is_said__P1__row_72)
{
    struct outbox old = rebase_open_own();
    rebase_three_of_seven(&old, "main");
    disconnect(&old);
    struct postgres *server = postgres_upgrade(old.server);
    struct outbox upgraded = outbox_connect(server, old.database);
    rebase_expect(&upgraded, 0, "4 events are not confirmed", "", "--dry-run");
    rebase_expect_as(&upgraded, POSTGRES_ADMIN, 0, "no event is changed", "", "--same-xids", "--yes");
    rebase_expect(&upgraded, 0, NOTHING_TO_DO, "", "--yes");
    struct driver *driver = rebase_lead(&upgraded, "main");
    rebase_expect_tick(driver, REBASE_IDS(6, 7));
    driver_close(driver);
    outbox_close(&upgraded);
    postgres_free(old.server);
}

Test(rebase_places, the_numbers_of_another_cluster_are_not_taken_for_the_same)
{
    struct outbox old = open_high();
    rebase_three_of_seven(&old, "main");
    struct outbox copy = restore_elsewhere(&old);
    rebase_expect_as(&copy, POSTGRES_ADMIN, 69, "", "leave out --same-xids", "--same-xids", "--yes");
    postgres_exec(copy.admin, "truncate outbox.event"); /* the journal alone gives it away */
    rebase_expect_as(&copy, POSTGRES_ADMIN, 69, "", "leave out --same-xids", "--same-xids", "--yes");
    outbox_close(&copy);
    outbox_close(&old);
}

/* ---- who may ---- */

Test(rebase_places, only_who_may_act_for_the_owner_may_rebase)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    rebase_expect_as(&outbox, POSTGRES_RELAY, 69, "", "grant \"outbox_owner\" to \"relay\"", "--yes", NULL);
    cr_assert_str_eq(postgres_sqlstate(outbox.relay, "select * from outbox.rebase_plan(false)"), "42501");
    cr_assert_str_eq(postgres_sqlstate(outbox.relay, "select * from outbox.rebase(false)"), "42501");
    postgres_exec(outbox.admin, "update outbox.schema_version set version = 1");
    rebase_expect(&outbox, 69, "", "run outboxd migrate first", "--yes");
    struct outbox empty = outbox_connect(outbox.server, postgres_create_database(outbox.server));
    rebase_expect(&empty, 69, "", "has no outbox; `outboxd migrate` makes it", "--yes");
    disconnect(&empty);
    outbox_close(&outbox);
}
