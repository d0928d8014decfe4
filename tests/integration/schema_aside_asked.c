/* schema_aside_asked.c: topics that wait, and what people ask for: replays and pauses. What waits is kept, whatever becomes of
 * its slot's age (P1), and what is asked for twice is there once. Dead letters: schema_aside.c. */
#include "schema_fixture.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

TestSuite(schema_aside_asked, .timeout = 60);

#define CAUGHT_UP "9223372036854775806"
#define JOINED "9223372036854775807"

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

/* ---- paused topics ---- */

/* An old event of topic t in slot 3, which a tick holds that is confirmed but for this topic; the number of its attempt. */
static int64_t
pause_t(void)
{
    postgres_exec(
        outbox.admin,
        "insert into outbox.event (topic, slot, created_at) values ('t', 3, now() - interval '2 d')");
    outbox_confirm_all(&outbox, "main"); /* seq 1 is the tick, seq 2 says that it is confirmed */
    postgres_exec(outbox.relay, "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"t\", \"from\": "
                                "0, \"to\": 1, \"after\": 0,"
                                " \"error\": \"UNKNOWN_TOPIC_OR_PART\", \"message\": \"no such topic\"}]}')");
    return postgres_int(outbox.relay, "select number from outbox.paused_topic");
}

static void
settle(int64_t number, const char *progress, const char *new_to, const char *error)
{
    postgres_exec(outbox.relay, "select outbox.topic_settle('main', %" PRId64 ", %s, %s, %s, %s)", number,
                  progress, new_to, error, error);
}

#define PLACE "select concat_ws(' ', from_seq, to_seq, after_id, error, attempts) from outbox.paused_topic"

Test(schema_aside_asked, a_slot_stays_while_a_topic_of_it_waits__P1, .init = open_all, .fini = close_all)
{
    int64_t number = pause_t();
    EXPECT_TEXT("unconfirmed", "select outbox.slot_empty(3)");
    settle(number, CAUGHT_UP, "2", "null");
    EXPECT_TEXT("ready",
                "select outbox.slot_state(3)"); /* it waits from a tick on that is behind this event */
    settle(number + 1, JOINED, "null", "null");
    EXPECT_TEXT("emptied", "select outbox.slot_empty(3)");
    EXPECT_TEXT("0", "select count(*) from outbox.paused_topic");
}

Test(schema_aside_asked, a_paused_topic_goes_forward_only, .init = open_all, .fini = close_all)
{
    int64_t number = pause_t();
    settle(number, "12", "null", "null");
    EXPECT_TEXT("0 1 12 UNKNOWN_TOPIC_OR_PART 1", PLACE);
    settle(number, "7", "null", "'NOT_ENOUGH_REPLICAS'"); /* what is published stays published */
    EXPECT_TEXT("0 1 12 NOT_ENOUGH_REPLICAS 2", PLACE);
    settle(number, CAUGHT_UP, "2", "null");
    EXPECT_TEXT("1 2 0 NOT_ENOUGH_REPLICAS 2", PLACE);
    settle(number, JOINED, "null", "null"); /* late news of an attempt that is over */
    settle(number, CAUGHT_UP, "9", "null");
    settle(number, "5", "null", "'E'");
    EXPECT_TEXT("1 2 0 NOT_ENOUGH_REPLICAS 2", PLACE);
}

/* Eleven rows of the journal, two hours between them; 9 is confirmed. */
static void
write_journal(void)
{
    for (int i = 0; i < 5; i++)
        outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.admin,
                  "update outbox.journal set written_at = now() - (100 - seq) * interval '2 h'");
}

/* Topic t<number> waits from row `from` on. */
static void
pause_from(int number, int from, int to)
{
    postgres_exec(outbox.relay,
                  "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"t%d\", \"from\": %d, "
                  "\"to\": %d, \"after\": 0, \"error\": \"E\", \"message\": \"m\"}]}')",
                  number, from, to);
}

static void
settle_topic(int number, const char *progress, const char *new_to)
{
    settle(postgres_int(outbox.relay, "select number from outbox.paused_topic where topic = 't%d'", number),
           progress, new_to, "null");
}

/* Behind a dead letter of topic t0 an event of tick 5 is held, from before the pause; the attempt goes from row 2 to row 9. */
static void
hold_one(void)
{
    write_journal();
    postgres_exec(outbox.admin,
                  "insert into outbox.event (topic, key) select 't0', 'k' from generate_series(1, 2)");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', jsonb_build_object('dead', jsonb_build_array(jsonb_build_object("
        "'id', min(id), 'tick', 1, 'hold', min(id), 'error', 'E', 'message', 'm')),"
        " 'held', jsonb_build_array(jsonb_build_array(max(id), 5, min(id))))) from outbox.event");
    pause_from(0, 2, 9);
}

#define HELD "select count(*) from outbox.held_event"

Test(schema_aside_asked, what_was_held_before_a_pause_is_let_go_by_the_attempt_that_has_published_it__P1,
     .init = open_all, .fini = close_all)
{
    hold_one();
    settle_topic(0, CAUGHT_UP, "9");
    EXPECT_TEXT("0", HELD);
}

Test(schema_aside_asked, what_was_held_before_a_pause_stays_when_the_pause_ends_before_that__P1,
     .init = open_all, .fini = close_all)
{
    hold_one();
    settle_topic(0, JOINED, "null");
    EXPECT_TEXT("1", HELD);
}

#define ROWS "select string_agg(seq::text, ' ' order by seq) from outbox.journal"
#define KEPT postgres_int(outbox.admin, "select count(*) from outbox.journal_kept")

Test(schema_aside_asked, of_the_journal_the_rows_stay_that_a_topic_waits_for_and_no_others, .init = open_all,
     .fini = close_all)
{
    write_journal();
    pause_from(0, 6, 7);
    pause_from(1, 2, 4);
    EXPECT_TEXT("9", "select outbox.journal_trim('main')");
    EXPECT_TEXT("2 4 6 7 9 10", ROWS);
    EXPECT_TEXT("9", "select outbox.journal_trim('main', 9)");
    EXPECT_TEXT("2 4 6 7 9 10", ROWS);
    settle_topic(1, CAUGHT_UP, "9"); /* from 4 to 9 */
    EXPECT_TEXT("9", "select outbox.journal_trim('main', 9)");
    EXPECT_TEXT("4 6 7 9 10", ROWS);
    settle_topic(0, JOINED, "null");
    settle_topic(1, CAUGHT_UP, "10");
    EXPECT_TEXT("9", "select outbox.journal_trim('main', 9)");
    EXPECT_TEXT("9 10", ROWS);
    cr_expect_eq(KEPT, 0);
}

/* Another leader does not know how far the one before has trimmed. */
Test(schema_aside_asked, what_was_left_of_the_journal_goes_under_another_leader_too, .init = open_all,
     .fini = close_all)
{
    write_journal();
    pause_from(0, 2, 4);
    EXPECT_TEXT("9", "select outbox.journal_trim('main')");
    EXPECT_TEXT("9", "select outbox.journal_trim('main', 0)");
    EXPECT_TEXT("2 4 9 10", ROWS);
    settle_topic(0, JOINED, "null");
    EXPECT_TEXT("9", "select outbox.journal_trim('main', 0)");
    EXPECT_TEXT("9 10", ROWS);
    cr_expect_eq(KEPT, 0);
}

/* The journal was lost, and begins anew with lower numbers. */
Test(schema_aside_asked, what_was_left_of_a_lost_journal_costs_no_row_of_the_next__P1, .init = open_all,
     .fini = close_all)
{
    write_journal();
    postgres_exec(outbox.admin, "insert into outbox.journal_kept values ('main', 9), ('main', 10)");
    EXPECT_TEXT("9", "select outbox.journal_trim('main')");
    EXPECT_TEXT("1000", "select outbox.journal_trim('main', 1000)");
    EXPECT_TEXT("9 10", ROWS);
}

Test(schema_aside_asked, a_journal_with_gaps_for_a_topic_is_sound__P1, .init = open_all, .fini = close_all)
{
    write_journal();
    pause_from(0, 2, 4);
    char *whole = postgres_text(outbox.admin, "select (p, outbox.rebase_oldest(false, 'main'))::text"
                                              " from outbox.rebase_plan(false) p");
    EXPECT_TEXT("9", "select outbox.journal_trim('main')");
    char *trimmed = postgres_text(outbox.admin, "select (p, outbox.rebase_oldest(false, 'main'))::text"
                                                " from outbox.rebase_plan(false) p");
    cr_expect_str_eq(trimmed, whole);
    cr_expect_eq(
        postgres_int(outbox.admin, "select count(*) from outbox.rebase_look(false) where wrong is null"), 1);
    free(trimmed);
    free(whole);
}

/* A binary made for version 7 names the last tick that had events, however old. */
Test(schema_aside_asked, a_round_does_not_end_at_a_row_that_is_trimmed__P1, .init = open_all,
     .fini = close_all)
{
    write_journal();
    pause_from(0, 2, 4);
    EXPECT_TEXT("9", "select outbox.journal_trim('main')");
    settle_topic(0, CAUGHT_UP, "7");
    EXPECT_TEXT("4 9 0 E 1", PLACE);
}

/* ---- replays ---- */

#define REPLAY(relay)                                                                                        \
    "select outbox.replay('" relay "', 1, 9, now() - interval '1 h', now(), 'or*', '\\x6b', 100)"

Test(schema_aside_asked, a_replay_keeps_what_was_asked_by_whom_and_can_be_ended, .init = open_all,
     .fini = close_all)
{
    int64_t number = postgres_int(outbox.relay, REPLAY("main"));
    EXPECT_TEXT("replay 1 9 t or* \\x6b 100 relay 0 0",
                "select concat_ws(' ', kind, event_id, first_id, last_id, since < until, topic, key, rate, "
                "asked_by, events,"
                " progress) from outbox.request where done_at is null");
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", 5, 3, null, null)",
                  number);
    postgres_exec(outbox.relay,
                  "select outbox.request_settle('main', %" PRId64
                  ", 6, 0, null, '{\"id\": 6, \"error\": \"E\"}')",
                  number);
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", 4, 0, null, null)",
                  number);
    EXPECT_TEXT("6 3 1", "select concat_ws(' ', progress, events, refused) from outbox.request");
    EXPECT_TEXT("t", "select outbox.request_cancel('main', %" PRId64 ")", number);
    EXPECT_TEXT("f", "select outbox.request_cancel('main', %" PRId64 ")", number);
    EXPECT_TEXT("relay", "select asked_by from outbox.cancelled");
}

/* A leader died between Kafka's commit and ours: how far it was is known, how many it were is not. */
Test(schema_aside_asked, what_Kafka_says_of_a_replay_is_not_taken_for_a_count, .init = open_all,
     .fini = close_all)
{
    int64_t number = postgres_int(outbox.relay, REPLAY("main"));
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", 5, 3, null, null)",
                  number);
    postgres_exec(outbox.relay, "select outbox.side_apply('main', %" PRId64 ", 5)", number);
    EXPECT_TEXT("5 3 f", "select concat_ws(' ', progress, events, uncounted) from outbox.request");
    postgres_exec(outbox.relay, "select outbox.side_apply('main', %" PRId64 ", 6)", number);
    EXPECT_TEXT("6 3 t", "select concat_ws(' ', progress, events, uncounted) from outbox.request");
    number = postgres_int(outbox.relay, REPLAY("main"));
    postgres_exec(outbox.relay, "select outbox.side_apply('main', %" PRId64 ", 9223372036854775807)", number);
    EXPECT_TEXT("done t",
                "select concat_ws(' ', outcome, uncounted) from outbox.request where number = %" PRId64,
                number);
}

/* What was sent meanwhile is told. */
Test(schema_aside_asked, whoever_cancels_a_replay_and_does_not_commit_keeps_no_leader_waiting,
     .init = open_all, .fini = close_all)
{
    int64_t number = postgres_int(outbox.relay, REPLAY("main"));
    PGconn *person = outbox_session(&outbox, POSTGRES_RELAY);
    postgres_exec(person, "begin");
    cr_assert_eq(postgres_int(person, "select outbox.request_cancel('main', %" PRId64 ")::int", number), 1);
    postgres_exec(outbox.relay,
                  "set lock_timeout = '100ms'; select outbox.request_settle('main', %" PRId64
                  ", 5, 3, null, null)",
                  number);
    postgres_exec(person, "commit");
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", 6, 1, null, null)",
                  number);
    EXPECT_TEXT("6 4", "select concat_ws(' ', outcome, progress, events) from outbox.request");
    PQfinish(person);
}

Test(schema_aside_asked, only_a_living_relay_replays, .init = open_all, .fini = close_all)
{
    EXPECT_TEXT("(null)", REPLAY("nobody"));
    postgres_exec(outbox.relay, "select outbox.relay_retire('main')");
    EXPECT_TEXT("(null)", REPLAY("main"));
    EXPECT_TEXT("f", "select outbox.request_cancel('main', 1)");
}

/* ---- pauses ---- */

Test(schema_aside_asked, a_pause_is_there_once_and_says_by_whom, .init = open_all, .fini = close_all)
{
    EXPECT_TEXT("t", "select outbox.pause('main', 'orders')");
    EXPECT_TEXT("f", "select outbox.pause('main', 'orders')");
    EXPECT_TEXT("orders relay", "select concat_ws(' ', topic, asked_by) from outbox.pause");
    EXPECT_TEXT("f", "select outbox.resume('main', 'other')");
    EXPECT_TEXT("t", "select outbox.resume('main', 'orders')");
    EXPECT_TEXT("f", "select outbox.resume('main', 'orders')");
    EXPECT_TEXT("t", "select outbox.pause('main', null)");
    EXPECT_TEXT("f", "select outbox.pause('main', null)");
    EXPECT_TEXT("t", "select outbox.resume('main', null)");
    EXPECT_TEXT("f", "select outbox.resume('main', null)");
    EXPECT_TEXT("f", "select outbox.pause('nobody', 'orders')");
    EXPECT_TEXT("f", "select outbox.pause('nobody', null)");
}

/* ---- privileges ---- */

Test(schema_aside_asked, only_the_relays_role_asks_and_it_changes_nothing_else, .init = open_all,
     .fini = close_all)
{
    static const char *const functions[] = {"dead_retry('main', 1)",
                                            "dead_discard('main', 1, 'why')",
                                            "replay('main', 1, 2, null, null, null, null, null)",
                                            "request_cancel('main', 1)",
                                            "pause('main', 't')",
                                            "resume('main', 't')",
                                            "put_aside('main', '{}')",
                                            "request_settle('main', 1, 1, 1, null, null)",
                                            "topic_settle('main', 1, 1, null, null, null)"};
    static const char *const tables[] = {"dead_letter", "held_event",   "discarded",
                                         "request",     "paused_topic", "pause"};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        cr_expect_str_eq(postgres_sqlstate(outbox.writer, "select outbox.%s", functions[i]), "42501");
        cr_expect_str_eq(postgres_sqlstate(outbox.relay, "select outbox.%s", functions[i]), "00000");
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        cr_expect_str_eq(postgres_sqlstate(outbox.writer, "select from outbox.%s", tables[i]), "42501");
        cr_expect_str_eq(postgres_sqlstate(outbox.relay, "delete from outbox.%s", tables[i]), "42501");
        cr_expect_str_eq(postgres_sqlstate(outbox.relay, "select from outbox.%s", tables[i]), "00000");
    }
}
