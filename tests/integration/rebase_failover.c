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

static void
position(PGconn *admin, int64_t common_seq, int known)
{
    postgres_exec(
        admin,
        "create temporary table positioned as select * from outbox.rebase_position('main', (select"
        " outbox.rebase_seen(j) from outbox.journal j where relay = 'main' order by seq desc limit 1),"
        " %lld, 0, %d)",
        (long long)common_seq, known);
    cr_assert_eq(postgres_int(admin, "select done::int from positioned"), 1);
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
    cr_expect_eq(postgres_int(admin, "select passed_over from positioned"), 1);
    expect_ticks(&outbox, "main", REBASE_IDS(7));
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
        postgres_sqlstate(outbox.admin, "select outbox.rebase_position('main', '0:0', -1, 0, 0)"), "55006");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.journal where holder = 'rebase'"),
                 0);
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
