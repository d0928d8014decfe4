/* schema_aside.c: dead letters and what waits behind them, as the schema keeps them: what is put aside is whole and is lost by
 * nothing (P5), goes out in the order of the stream (I2), and is settled once. The test does the leader's part, as the role of
 * the relay. Paused topics and what else people ask for: schema_aside_asked.c. */
#include "schema_fixture.h"

#include "postgres/failure.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(schema_aside, .timeout = 60);

#define ALL "9223372036854775807"

static struct outbox outbox;

static void
open_all(void)
{
    outbox = outbox_open();
    outbox_register(&outbox);
}

static void
close_all(void)
{
    outbox_close(&outbox);
}

static void
emit(int count)
{
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, key, payload, headers) select 'orders', '\\x6b00ff', '\\x00ff',"
        " '{\"h\": \"1\"}' from generate_series(1, %d)",
        count);
}

/* Event 1 is dead, and 4, 2, 3 wait behind it: 4 is of an earlier tick. */
static void
hold_three(void)
{
    emit(4);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 5, \"hold\": 7, \"error\": "
        "\"MSG_SIZE_TOO_LARGE\", \"message\": \"too large\"}], \"held\": [[4, 5, 7], [2, 6, 7], [3, 6, "
        "7]]}')");
}

static int64_t
count(const char *from)
{
    return postgres_int(outbox.relay, "select count(*) from outbox.%s", from);
}

/* Those that wait, in the order in which they are to go out. */
#define HELD                                                                                                 \
    "select coalesce(string_agg(event_id::text, ' ' order by tick, event_id), '') from outbox.held_event"

static int64_t
ask(const char *function)
{
    return postgres_int(outbox.relay, "select outbox.%s", function);
}

static void
settle(int64_t number, const char *progress, int events, const char *outcome, const char *refused)
{
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", %s, %d, %s, %s)", number,
                  progress, events, outcome, refused);
}

Test(schema_aside, a_refused_event_is_kept_whole_and_outlives_its_slot__P5, .init = open_all,
     .fini = close_all)
{
    hold_three();
    postgres_exec(outbox.admin, "delete from outbox.event where id = 1");
    EXPECT_TEXT("1 5 7 orders \\x6b00ff \\x00ff {\"h\": \"1\"} MSG_SIZE_TOO_LARGE, too large, 1",
                "select format('%%s %%s %%s %%s %%s %%s %%s %%s, %%s, %%s', event_id, tick, hold, topic, "
                "key, payload, headers,"
                " error, message, attempts) from outbox.dead_letter");
    EXPECT_TEXT("4 2 3", HELD);
}

/* A leader that dies says it again, or its successor does. */
Test(schema_aside, what_is_put_aside_twice_is_there_once, .init = open_all, .fini = close_all)
{
    emit(3);
    for (int i = 0; i < 2; i++)
        postgres_exec(outbox.relay,
                      "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 5, \"hold\": 7, "
                      "\"error\": \"E%d\","
                      " \"message\": \"m\"}], \"held\": [[2, 5, 7], [1, 5, 7]], \"copy\": true, \"topics\": "
                      "[{\"topic\": \"t\","
                      " \"from\": 0, \"to\": 0, \"after\": %d, \"error\": \"e\", \"message\": \"m\"}]}')",
                      i, i);
    EXPECT_TEXT("E1 2 t",
                "select concat_ws(' ', error, attempts, first_at < last_at) from outbox.dead_letter");
    EXPECT_TEXT("2", HELD);
    EXPECT_TEXT("copy 1", "select concat_ws(' ', kind, event_id) from outbox.request");
    EXPECT_TEXT("t 1", "select concat_ws(' ', topic, after_id) from outbox.paused_topic");
}

/* The leader takes what it has said here for settled. Exit code 70, and the event's id. */
static void
expect_missing(int64_t id, const char *statement)
{
    char *names_it = must_format("event %" PRId64 " is to be put aside for relay \"main\"", id);
    const char *state = postgres_sqlstate(outbox.relay, "%s", statement);
    cr_expect_str_eq(state, "P0002");
    cr_expect_eq(failure_kind(state), ERROR_INTERNAL);
    cr_expect_not_null(strstr(PQerrorMessage(outbox.relay), names_it), "%s", PQerrorMessage(outbox.relay));
    free(names_it);
}

Test(schema_aside, an_event_that_is_gone_is_not_settled_in_silence__P5, .init = open_all, .fini = close_all)
{
    hold_three();
    expect_missing(99,
                   "select outbox.put_aside('main', '{\"dead\": [{\"id\": 99, \"tick\": 5, \"hold\": null, "
                   "\"error\": \"E\", \"message\": \"m\"}]}')");
    expect_missing(98, "select outbox.put_aside('main', '{\"held\": [[2, 6, 7], [98, 6, 7]]}')");
    /* what is put aside may be said again, whatever became of the event */
    postgres_exec(outbox.admin, "delete from outbox.event where id in (1, 2)");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 5, \"hold\": 7, \"error\": "
        "\"E\", \"message\": \"m\"}], \"held\": [[1, 5, 7], [2, 6, 7]]}')");
    EXPECT_TEXT("4 2 3", HELD);
    cr_expect_eq(count("dead_letter"), 1);
}

Test(schema_aside, a_refused_event_that_is_gone_does_not_take_its_dead_letter_along__P5, .init = open_all,
     .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_discard('main', 1, 'why')");
    postgres_exec(outbox.admin, "delete from outbox.held_event where event_id = 4");
    char *statement =
        must_format("select outbox.request_settle('main', %" PRId64 ", 0, 0, 'refused', '{\"id\": "
                    "4, \"error\": \"E\", \"message\": \"m\"}')",
                    number);
    expect_missing(4, statement);
    cr_expect_eq(count("dead_letter"), 1);
    cr_expect_eq(count("discarded"), 0);
    free(statement);
}

Test(schema_aside, a_retry_that_is_done_frees_all_that_waited, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_retry('main', 1)");
    settle(number, ALL, 4, "'done'", "null");
    cr_expect_eq(count("dead_letter"), 0);
    cr_expect_eq(count("held_event"), 0);
    EXPECT_TEXT("done 4 t",
                "select concat_ws(' ', outcome, events, done_at is not null) from outbox.request");
}

Test(schema_aside, held_events_are_freed_in_the_order_of_the_stream__I2, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_retry('main', 1)");
    settle(number, "1", 1, "null", "null"); /* the dead letter itself */
    EXPECT_TEXT("4 2 3", HELD);
    settle(number, "4", 1, "null", "null"); /* ids do not tell: 4 stands before 2 */
    EXPECT_TEXT("2 3", HELD);
    settle(number, "2", 1, "null", "null");
    EXPECT_TEXT("3", HELD);
    cr_expect_eq(count("dead_letter where hold = 7"), 1, "it holds the others until all are out");
    EXPECT_TEXT("3", "select events from outbox.request where done_at is null");
    settle(number, ALL, 1, "'done'", "null");
    cr_expect_eq(count("dead_letter"), 0);
    EXPECT_TEXT("4 done", "select concat_ws(' ', events, outcome) from outbox.request");
}

Test(schema_aside, a_retry_that_is_refused_again_changes_nothing_but_the_error, .init = open_all,
     .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_retry('main', 1)");
    settle(number, "0", 0, "'refused'",
           "'{\"id\": 1, \"error\": \"INVALID_RECORD\", \"message\": \"again\"}'");
    EXPECT_TEXT(
        "2 INVALID_RECORD again t",
        "select concat_ws(' ', attempts, error, message, last_at > first_at) from outbox.dead_letter");
    EXPECT_TEXT("4 2 3", HELD);
    EXPECT_TEXT("refused 0", "select concat_ws(' ', outcome, events) from outbox.request");
    cr_expect_gt(ask("dead_retry('main', 1)"), number, "it may be asked for again");
}

Test(schema_aside, a_held_event_that_is_refused_holds_those_behind_it__I2, .init = open_all,
     .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_retry('main', 1)");
    settle(number, "4", 2, "'refused'", "'{\"id\": 2, \"error\": \"E2\", \"message\": \"m2\"}'");
    EXPECT_TEXT(
        "2 6 7 orders \\x6b00ff \\x00ff {\"h\": \"1\"} E2 m2 1",
        "select concat_ws(' ', event_id, tick, hold, topic, key, payload, headers, error, message, attempts)"
        " from outbox.dead_letter");
    EXPECT_TEXT("3", HELD);
    number = ask("dead_retry('main', 2)");
    settle(number, ALL, 2, "'done'", "null");
    cr_expect_eq(count("dead_letter"), 0);
    cr_expect_eq(count("held_event"), 0);
}

Test(schema_aside, what_is_discarded_stays_readable_with_its_reason, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_discard('main', 1, 'sent twice by mistake')");
    settle(number, "4", 1, "null", "null");
    cr_expect_eq(count("discarded"), 0, "not before all behind it are out");
    settle(number, ALL, 2, "'done'", "null");
    EXPECT_TEXT(
        "1 orders \\x6b00ff \\x00ff {\"h\": \"1\"} MSG_SIZE_TOO_LARGE too large 1 sent twice by mistake "
        "relay t",
        "select concat_ws(' ', event_id, topic, key, payload, headers, error, message, attempts, reason,"
        " discarded_by, refused_at < discarded_at) from outbox.discarded");
    cr_expect_eq(count("dead_letter"), 0);
    cr_expect_eq(count("held_event"), 0);
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.event"), 4, "no event is deleted");
}

/* A rebase without a journal publishes it again, and it is refused again. */
Test(schema_aside, each_discard_of_an_event_leaves_its_reason__P5, .init = open_all, .fini = close_all)
{
    hold_three();
    settle(ask("dead_discard('main', 1, 'first')"), ALL, 3, "'done'", "null");
    postgres_exec(outbox.relay, "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 9, "
                                "\"hold\": null, \"error\": \"E2\", \"message\": \"m\"}]}')");
    settle(ask("dead_discard('main', 1, 'second')"), ALL, 0, "'done'", "null");
    EXPECT_TEXT("first MSG_SIZE_TOO_LARGE t, second E2 t",
                "select string_agg(concat_ws(' ', d.reason, d.error, r.reason = d.reason), ', ' order by"
                " d.request) from outbox.discarded d join outbox.request r on r.number = d.request");
    cr_expect_eq(count("dead_letter"), 0);
}

/* The next one of its key becomes the dead letter; the discarded one is gone all the same. */
Test(schema_aside, a_discard_whose_next_event_is_refused_is_done, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_discard('main', 1, 'why')");
    settle(number, "0", 0, "'refused'", "'{\"id\": 4, \"error\": \"E\", \"message\": \"m\"}'");
    EXPECT_TEXT("1", "select event_id from outbox.discarded");
    EXPECT_TEXT("4 7", "select concat_ws(' ', event_id, hold) from outbox.dead_letter");
    EXPECT_TEXT("2 3", HELD);
}

Test(schema_aside, what_becomes_a_dead_letter_by_a_retry_is_copied_like_any_other__P5, .init = open_all,
     .fini = close_all)
{
    hold_three();
    settle(ask("dead_retry('main', 1)"), "1", 1, "'refused'",
           "'{\"id\": 4, \"error\": \"E\", \"message\": \"m\", \"copy\": true}'");
    EXPECT_TEXT("copy 4", "select concat_ws(' ', kind, event_id) from outbox.request where done_at is null");
    settle(ask("dead_retry('main', 4)"), "0", 0, "'refused'",
           "'{\"id\": 4, \"error\": \"E\", \"message\": \"again\", \"copy\": true}'");
    cr_expect_eq(count("request where kind = 'copy'"), 1, "it is dead already");
    settle(ask("dead_retry('main', 4)"), "4", 1, "'refused'",
           "'{\"id\": 2, \"error\": \"E\", \"message\": \"m\", \"copy\": false}'");
    EXPECT_TEXT("2", "select event_id from outbox.dead_letter");
    cr_expect_eq(count("request where kind = 'copy'"), 1, "nobody wants copies");
}

Test(schema_aside, what_is_settled_twice_counts_once, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_discard('main', 1, 'why')");
    for (int i = 0; i < 2; i++)
        settle(number, ALL, 3, "'done'", "null");
    EXPECT_TEXT("3", "select events from outbox.request");
    cr_expect_eq(count("discarded"), 1);
    /* late news of a request that has ended must not touch a dead letter of the same event */
    emit(1);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 5, \"hold\": 7, \"error\": \"E\","
        " \"message\": \"m\"}], \"held\": [[5, 6, 7]]}')");
    settle(number, ALL, 3, "'done'", "null");
    EXPECT_TEXT("5", HELD);
    cr_expect_eq(count("dead_letter"), 1);
}

Test(schema_aside, one_hold_of_one_relay_frees_no_other, .init = open_all, .fini = close_all)
{
    hold_three();
    postgres_exec(outbox.relay, "select outbox.relay_add('second', 'shop', '{*}', '24 h', false)");
    emit(2);
    for (int i = 0; i < 2; i++)
        postgres_exec(outbox.relay,
                      "select outbox.put_aside('%s', '{\"dead\": [{\"id\": %d, \"tick\": 5, \"hold\": %d, "
                      "\"error\": \"E\","
                      " \"message\": \"m\"}], \"held\": [[6, 5, %d]]}')",
                      i == 0 ? "second" : "main", i == 0 ? 1 : 5, i == 0 ? 7 : 8, i == 0 ? 7 : 8);
    settle(ask("dead_retry('main', 1)"), ALL, 4, "'done'", "null");
    EXPECT_TEXT("main 6 8,second 6 7", "select string_agg(concat_ws(' ', relay, event_id, hold), ',' order "
                                       "by relay) from outbox.held_event");
    EXPECT_TEXT(
        "main 5,second 1",
        "select string_agg(concat_ws(' ', relay, event_id), ',' order by relay) from outbox.dead_letter");
}

Test(schema_aside, a_dead_letter_is_asked_for_once_at_a_time, .init = open_all, .fini = close_all)
{
    hold_three();
    int64_t number = ask("dead_retry('main', 1)");
    EXPECT_TEXT("(null)", "select outbox.dead_retry('main', 1)");
    EXPECT_TEXT("(null)", "select outbox.dead_discard('main', 1, 'why')");
    EXPECT_TEXT("(null)", "select outbox.dead_retry('main', 2)"); /* it is held, not dead */
    EXPECT_TEXT("(null)", "select outbox.dead_retry('other', 1)");
    EXPECT_TEXT("f", "select outbox.request_cancel('main', %" PRId64 ")", number); /* only replays can be */
    cr_expect_eq(count("request"), 1);
    settle(number, "0", 0, "'refused'", "'{\"id\": 1, \"error\": \"E\", \"message\": \"m\"}'");
    cr_expect_str_eq(postgres_sqlstate(outbox.relay, "select outbox.dead_discard('main', 1, '')"), "23514");
    cr_expect_gt(ask("dead_discard('main', 1, E'two\\nlines')"), number);
}

Test(schema_aside, a_copy_ends_alone_and_touches_no_dead_letter, .init = open_all, .fini = close_all)
{
    emit(2);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 5, \"hold\": 7, \"error\": \"E\","
        " \"message\": \"m\"}], \"held\": [[2, 5, 7]], \"copy\": true}')");
    settle(postgres_int(outbox.relay, "select number from outbox.request"), ALL, 1, "'done'", "null");
    cr_expect_eq(count("dead_letter"), 1);
    EXPECT_TEXT("2", HELD);
    cr_expect_gt(ask("dead_retry('main', 1)"), 0, "a copy does not stand in its way");
}

/* ---- slots ---- */

/* Event 1 is dead and 2 is held, in slot 3, and both are old and confirmed. */
static void
hold_in_slot(void)
{
    postgres_exec(outbox.admin,
                  "insert into outbox.event (topic, slot, created_at) select 't', 3, now() - interval '2 d'"
                  " from generate_series(1, 2)");
    outbox_confirm_all(&outbox, "main");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 1, \"hold\": 7, \"error\": \"E\","
        " \"message\": \"m\"}], \"held\": [[2, 1, 7]]}')");
}

Test(schema_aside, a_slot_stays_while_an_event_of_it_is_held, .init = open_all, .fini = close_all)
{
    hold_in_slot();
    EXPECT_TEXT("held", "select outbox.slot_state(3)");
    EXPECT_TEXT("held", "select outbox.slot_empty(3)");
    EXPECT_TEXT("empty", "select outbox.slot_empty(4)");
    settle(ask("dead_retry('main', 1)"), "0", 0, "'refused'",
           "'{\"id\": 1, \"error\": \"INVALID_RECORD\", \"message\": \"again\"}'");
    EXPECT_TEXT("held", "select outbox.slot_empty(3)");
    settle(ask("dead_discard('main', 1, 'why')"), "0", 0, "'refused'",
           "'{\"id\": 2, \"error\": \"E\", \"message\": \"m\"}'");
    EXPECT_TEXT("emptied", "select outbox.slot_empty(3)"); /* 2 is dead now, and so it is kept whole */
    EXPECT_TEXT("2", "select event_id from outbox.dead_letter");
    settle(ask("dead_retry('main', 2)"), ALL, 1, "'done'", "null");
    cr_expect_eq(count("dead_letter"), 0);
}

Test(schema_aside, a_retired_relay_holds_nothing_and_keeps_its_dead_letters, .init = open_all,
     .fini = close_all)
{
    hold_in_slot();
    postgres_exec(outbox.relay, "select outbox.relay_add('second', 'shop', '{*}', '24 h', true)");
    postgres_exec(outbox.relay, "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"t\", \"from\": "
                                "0, \"to\": 1, \"after\": 0,"
                                " \"error\": \"E\", \"message\": \"m\"}]}')");
    int64_t number = ask("dead_retry('main', 1)");
    postgres_exec(outbox.relay, "select outbox.pause('main', 't'); select outbox.pause('main', null)");
    EXPECT_TEXT("retired", "select outbox.relay_retire('main')");
    EXPECT_TEXT("ready", "select outbox.slot_state(3)");
    EXPECT_TEXT("1", "select event_id from outbox.dead_letter where hold is null");
    cr_expect_eq(count("held_event") + count("paused_topic") + count("pause"), 0);
    EXPECT_TEXT(
        "the relay was retired t",
        "select concat_ws(' ', outcome, done_at is not null) from outbox.request where number = %" PRId64,
        number);
    EXPECT_TEXT("f", "select paused from outbox.relay where name = 'main'");
}
