/* rebase_failover.c: what the functions of schema/007_failover.sql make of what was found in Kafka (rows 59 and 72). Reading it there is in
 * tests/e2e/relay_failover.c. */
#include "rebase_fixture.h"

#include "journal_driver.h"

TestSuite(rebase_failover, .timeout = 60);

/* As `outboxd rebase` does. */
static void
stage(PGconn *admin)
{
    postgres_exec(admin, "create temporary table outboxd_record (id bigint not null, topic text not null,"
                         " partition integer not null, at bigint not null, created_at timestamptz not null,"
                         " appended boolean not null, key bytea, payload bytea)");
}

/* Kafka has these events. `appended`: the topic keeps the broker's time. */
static void
stage_events(PGconn *admin, const char *ids, bool appended)
{
    postgres_exec(admin,
                  "insert into pg_temp.outboxd_record select id, topic, 0, id,"
                  " case when %s then clock_timestamp() else date_trunc('milliseconds', created_at) end, %s,"
                  " case when %s then key end, case when %s then payload end"
                  " from outbox.event where id in (%s)",
                  appended ? "true" : "false", appended ? "true" : "false", appended ? "true" : "false",
                  appended ? "true" : "false", ids);
}

/* It has one that is not here. */
static void
stage_phantom(PGconn *admin, int id)
{
    postgres_exec(
        admin,
        "insert into pg_temp.outboxd_record values (%d, 't', 0, %d, clock_timestamp() - interval '1 "
        "minute', false)",
        id, id);
}

static int64_t
judged(PGconn *admin, const char *number)
{
    return postgres_int(admin, "select %s from pg_temp.judged", number);
}

static void
judge(PGconn *admin)
{
    postgres_exec(admin, "create temporary table judged as select * from outbox.rebase_judge()");
}

/* What is said before is what is done. */
static void
position_at(PGconn *admin, int64_t common_seq, int64_t common_id, int known)
{
    postgres_exec(admin,
                  "create temporary table planned as"
                  " select * from outbox.rebase_position_plan('main', %lld, %lld, %d)",
                  (long long)common_seq, (long long)common_id, known);
    postgres_exec(
        admin,
        "create temporary table positioned as select * from outbox.rebase_position('main', (select"
        " outbox.rebase_seen(j) from outbox.journal j where relay = 'main' order by seq desc limit 1),"
        " outbox.rebase_others('main'), %lld, %lld, %d)",
        (long long)common_seq, (long long)common_id, known);
    cr_assert_eq(postgres_int(admin, "select done::int from positioned"), 1);
    cr_expect_eq(postgres_int(admin, "select count(*) from planned natural join positioned"), 1);
}

static void
position(PGconn *admin, int64_t common_seq, int known)
{
    position_at(admin, common_seq, 0, known);
}

static void
expect_ticks(const struct outbox *outbox, const char *relay, const int64_t *ids, size_t count)
{
    struct driver *driver = rebase_lead(outbox, relay);
    rebase_expect_tick(driver, ids, count);
    driver_close(driver);
}

/* main has confirmed 1, 2, 3 of 7; Kafka has 4 and 6, too; and 8 and 12, which are lost. 8 was given again. */
static void
publish_what_is_found(bool appended)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(admin, "select outbox.relay_add('other', 'shop', '{*}', '1 h', false)");
    stage(admin);
    stage_events(admin, "1, 2, 3, 4, 6", appended);
    stage_phantom(admin, 8);
    stage_phantom(admin, 12);
    rebase_emit(outbox.writer); /* 8 */
    rebase_emit(outbox.writer); /* 9 */
    judge(admin);
    cr_expect_eq(judged(admin, "records"), 7);
    cr_expect_eq(judged(admin, "published"), 5);
    cr_expect_eq(judged(admin, "phantoms"), 2);
    cr_expect_eq(judged(admin, "reused"), 1);
    cr_expect_eq(judged(admin, "highest"), 12);
    position(admin, -1, 12);
    cr_expect_eq(postgres_int(admin, "select unconfirmed from planned"), 6);
    cr_expect_eq(postgres_int(admin, "select passed_over from positioned"), 2);
    cr_expect_eq(postgres_int(admin, "select renumbered from positioned"), 2);
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.published"), 0);
    expect_ticks(&outbox, "main", REBASE_IDS(5, 7, 13, 14));
    expect_ticks(&outbox, "other", REBASE_IDS(1, 2, 3, 4, 5, 6, 7, 13, 14));
    cr_expect_eq(rebase_emit(outbox.writer), 15);
    rebase_expect_emptied(&outbox, (const char *[]){"main", "other", NULL});
    outbox_close(&outbox);
}

Test(rebase_failover,
     what_Kafka_has_is_passed_over_for_its_relay_alone_and_ids_are_given_once__P1__P3__row_59)
{
    publish_what_is_found(false);
}

Test(rebase_failover, where_a_topic_keeps_the_brokers_time_the_bytes_tell_an_event_from_another__P1__row_59)
{
    publish_what_is_found(true);
}

/* The same id, and another event: of another time, or with other bytes. */
Test(rebase_failover, an_id_alone_does_not_make_an_event_published__P1__row_59)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    stage(admin);
    stage_events(admin, "4, 5", false);
    stage_events(admin, "6, 7", true);
    postgres_exec(
        admin, "update pg_temp.outboxd_record set created_at = created_at - interval '1 ms', payload = '1'");
    judge(admin);
    cr_expect_eq(judged(admin, "published"), 0);
    cr_expect_eq(judged(admin, "reused"), 4);
    position(admin, -1, 7);
    cr_expect_eq(postgres_int(admin, "select passed_over from positioned"), 0);
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 8, 9)); /* 4 and 5 may have been sent: they stand in a tick */
    driver_close(driver);
    outbox_close(&outbox);
}

/* The journal has heard of less than the chain of the position: a tick that both know is in Kafka as a whole. */
Test(rebase_failover, ticks_that_both_know_are_confirmed_even_when_Kafka_has_deleted_their_records__P1__P3)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    stage(admin);
    stage_events(admin, "6", false);
    judge(admin);
    position(admin, postgres_int(admin, "select max(seq) from outbox.journal"), 6);
    cr_expect_eq(postgres_int(admin, "select unconfirmed from planned"), 2);
    cr_expect_eq(postgres_int(admin, "select passed_over from positioned"), 1);
    expect_ticks(&outbox, "main", REBASE_IDS(7));
    outbox_close(&outbox);
}

Test(rebase_failover, of_a_tick_that_both_know_in_part_that_part_is_confirmed__P1__P3)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    stage(admin);
    stage_events(admin, "6", false);
    judge(admin);
    position_at(admin, postgres_int(admin, "select max(confirmed_seq) from outbox.journal"), 4, 6);
    cr_expect_eq(postgres_int(admin, "select unconfirmed from planned"), 3);
    expect_ticks(&outbox, "main", REBASE_IDS(5, 7));
    outbox_close(&outbox);
}

Test(rebase_failover, what_is_older_than_the_retention_is_no_phantom_unless_its_id_was_never_given_out)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(admin, "select setval('outbox.event_id_seq', 20)");
    stage(admin);
    stage_phantom(admin, 10);
    stage_phantom(admin, 30);
    postgres_exec(admin, "update pg_temp.outboxd_record set created_at = created_at - interval '3 days'");
    judge(admin);
    cr_expect_eq(judged(admin, "phantoms"), 1);
    cr_expect_eq(judged(admin, "untold"), 1);
    outbox_close(&outbox);
}

Test(rebase_failover, a_relay_that_is_at_work_is_left_alone)
{
    struct outbox outbox = rebase_open_own();
    rebase_three_of_seven(&outbox, "main");
    stage(outbox.admin);
    judge(outbox.admin);
    cr_expect_str_eq(
        postgres_sqlstate(outbox.admin, "select outbox.rebase_position('main', '0:0', '', -1, 0, 0)"),
        "55006");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.journal where holder = 'rebase'"),
                 0);
    outbox_close(&outbox);
}

/* Events get new numbers, so every relay goes on from a new row; what another one has committed in Kafka since we looked would be ahead of it. */
Test(rebase_failover, another_relay_that_is_at_work_exactly_once_is_left_alone__P3)
{
    static const char decide[] = "select outbox.rebase_position('main', (select outbox.rebase_seen(j) from "
                                 "outbox.journal j where relay = 'main'"
                                 " order by seq desc limit 1), %s, -1, 0, 0)";
    static const char beat[] = "insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, "
                               "hi_id, confirmed_seq, sysid, timeline,"
                               " dbid, nonce, exact_seq, exact_id, exact_nonce) select relay, seq + 1, "
                               "epoch, 'x', snapshot, w, lo_id, hi_id, %s,"
                               " sysid, timeline, dbid, 7, %s, 0, 7 from outbox.journal where relay = "
                               "'other' order by seq desc limit 1";
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(admin, "select outbox.relay_add('other', 'shop', '{*}', '1 h', true)");
    stage(admin);
    stage_events(admin, "1, 2, 3, 4, 6", false);
    judge(admin);
    postgres_exec(admin, beat, "confirmed_seq", "confirmed_seq");
    char *looked = postgres_text(admin, "select quote_literal(outbox.rebase_others('main'))");
    postgres_exec(admin, beat, "confirmed_seq", "confirmed_seq");
    char *sql = must_format(decide, looked);
    postgres_exec(admin, beat, "seq", "seq"); /* it has published */
    cr_expect_str_eq(postgres_sqlstate(admin, "%s", sql), "55006");
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.journal where holder = 'rebase'"), 0);
    free(sql);
    sql = must_format(decide, "outbox.rebase_others('main')");
    postgres_exec(admin, "%s", sql);
    cr_expect_eq(
        postgres_int(admin,
                     "select count(*) from outbox.journal where relay = 'other' and holder = 'rebase'"),
        1);
    free(sql);
    free(looked);
    outbox_close(&outbox);
}

/* ---- retries that this database has lost ---- */

/* Events 2 to 7 are of one key: 2 is a dead letter, the others wait behind it, and so do those behind `other` (0: there is none). */
static struct outbox
hold_behind_letters(int other)
{
    struct outbox outbox = rebase_open_own();
    PGconn *admin = outbox.admin;
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(
        admin,
        "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, created_at, error, message)"
        " select 'main', id, 1, 2, topic, created_at, 'MSG_SIZE_TOO_LARGE', 'm' from outbox.event where id "
        "in (2, %d)",
        other);
    postgres_exec(admin,
                  "insert into outbox.held_event (relay, event_id, tick, hold, slot)"
                  " select 'main', id, 1, 2, slot from outbox.event where id > 2 and id <> %d",
                  other);
    stage(admin);
    return outbox;
}

static char *
letters(PGconn *admin)
{
    return postgres_text(admin, "select coalesce((select string_agg(event_id::text, ' ' order by event_id) "
                                "from outbox.dead_letter), '')"
                                " || ' | ' || coalesce((select string_agg(event_id::text, ' ' order by "
                                "event_id) from outbox.held_event), '')");
}

static void
expect_letters(PGconn *admin, const char *expected)
{
    char *found = letters(admin);
    cr_expect_str_eq(found, expected);
    free(found);
}

Test(rebase_failover, a_retry_that_Kafka_has_as_a_whole_is_done__P3__row_59)
{
    struct outbox outbox = hold_behind_letters(0);
    postgres_exec(outbox.admin,
                  "insert into outbox.request (relay, kind, event_id) values ('main', 'retry', 2)");
    stage_events(outbox.admin, "2, 3, 4, 5, 6, 7", false);
    judge(outbox.admin);
    position(outbox.admin, -1, 7);
    cr_expect_eq(postgres_int(outbox.admin, "select retried from positioned"), 6);
    expect_letters(outbox.admin, " | ");
    cr_expect_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.request where outcome = 'done' and uncounted"),
                 1);
    outbox_close(&outbox);
}

/* .. it was asked for in what is lost, or not; it goes on where it was. */
Test(rebase_failover, a_retry_that_Kafka_has_a_part_of_goes_on_behind_that__P1__P3__row_59)
{
    struct outbox outbox = hold_behind_letters(0);
    stage_events(outbox.admin, "2, 3, 4", false);
    judge(outbox.admin);
    position(outbox.admin, -1, 7);
    cr_expect_eq(postgres_int(outbox.admin, "select retried from positioned"), 3);
    expect_letters(outbox.admin, "2 | 5 6 7");
    cr_expect_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.request where kind = 'retry' and event_id = 2"
                              " and done_at is null and progress = 2"),
                 1);
    outbox_close(&outbox);
}

Test(rebase_failover, a_retry_ends_at_the_next_dead_letter_of_the_key__P1__row_59)
{
    struct outbox outbox = hold_behind_letters(5);
    stage_events(outbox.admin, "2, 3, 4", false);
    judge(outbox.admin);
    position(outbox.admin, -1, 7);
    expect_letters(outbox.admin, "5 | 6 7");
    outbox_close(&outbox);
}

/* Its slot was emptied long ago. Its record has the time of the event, and so have those of what was held behind it: read from there. */
Test(rebase_failover, a_retry_of_an_event_whose_slot_was_emptied_is_found_too__P3__row_59)
{
    struct outbox outbox = hold_behind_letters(0);
    PGconn *admin = outbox.admin;
    stage_events(admin, "2, 3, 4, 5, 6, 7", false);
    postgres_exec(admin, "update outbox.event set created_at = created_at - interval '2 d' where id = 4");
    postgres_exec(admin, "update outbox.dead_letter set created_at = created_at - interval '1 d'");
    postgres_exec(admin,
                  "update pg_temp.outboxd_record set created_at = created_at - interval '1 d' where id = 2");
    postgres_exec(admin,
                  "update pg_temp.outboxd_record set created_at = created_at - interval '2 d' where id = 4");
    postgres_exec(admin, "delete from outbox.event where id = 2");
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.rebase_topics('main') t, outbox.event e"
                                     " where e.id = 4 and t.since = e.created_at"),
                 1);
    cr_expect_eq(
        postgres_int(admin, "select count(*) from outbox.rebase_topics(null) t where t.since is null"), 1);
    judge(admin);
    cr_expect_eq(judged(admin, "phantoms") + judged(admin, "untold"), 0);
    position(admin, -1, 7);
    cr_expect_eq(postgres_int(admin, "select retried from positioned"), 6);
    expect_letters(admin, " | ");
    outbox_close(&outbox);
}

/* Of a compacted topic, say, the last record of the key is left. */
Test(rebase_failover, what_was_held_before_an_event_that_is_in_Kafka_was_published_before_it__P2__P3__row_59)
{
    struct outbox outbox = hold_behind_letters(0);
    stage_events(outbox.admin, "5", false);
    judge(outbox.admin);
    position(outbox.admin, -1, 7);
    cr_expect_eq(postgres_int(outbox.admin, "select retried from positioned"), 3);
    expect_letters(outbox.admin, "2 | 6 7");
    outbox_close(&outbox);
}

/* Its dead letter was given up in what is lost. */
Test(rebase_failover, what_was_held_and_is_in_Kafka_waits_no_more_behind_a_dead_letter_that_stays__P3__row_59)
{
    struct outbox outbox = hold_behind_letters(0);
    stage_events(outbox.admin, "3, 4", false);
    judge(outbox.admin);
    position(outbox.admin, -1, 7);
    expect_letters(outbox.admin, "2 | 5 6 7");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.request"), 0);
    outbox_close(&outbox);
}

/* Writers go on drawing ids meanwhile. */
Test(rebase_failover, the_id_sequence_is_moved_forward_and_never_back)
{
    struct outbox outbox = rebase_open_own();
    rebase_emit(outbox.writer);
    cr_expect_eq(postgres_int(outbox.relay, "select outbox.sequence_pass(100)"), 100);
    cr_expect_eq(rebase_emit(outbox.writer), 101);
    cr_expect_eq(postgres_int(outbox.relay, "select outbox.sequence_pass(50)"), 101);
    cr_expect_eq(rebase_emit(outbox.writer), 102);
    cr_expect_str_eq(postgres_sqlstate(outbox.relay, "select outbox.sequence_pass(20000000)"), "55000");
    cr_expect_eq(rebase_emit(outbox.writer), 103);
    outbox_close(&outbox);
}
