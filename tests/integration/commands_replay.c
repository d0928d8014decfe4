/* commands_replay.c: `outboxd replay` says beforehand what it would send, sends no more than that, and says what it cannot send any
 * more. The leader's part is a stand-in's. */
#include "commands_leader.h"

#include "command/command.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_replay, .timeout = 60);

static struct outbox outbox;
static char *config;
static struct driver *driver;

/* Topics orders and mail are selected, audit is not. Ids 1 to 3: orders, key k; 4: mail, without a key; 5: audit; created an hour
 * apart, 5 to 1 hours ago; 6 is not confirmed. */
static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY, "lease: 1h\ntopics: [\"orders\", \"mail\"]\n");
    driver = lead_outbox(&outbox);
    postgres_exec(outbox.admin, "update outbox.relay set topics = '{orders,mail}'");
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(outbox.writer,
                  "insert into outbox.event (topic, payload) values ('mail', '12345'), ('audit', 'x')");
    postgres_exec(outbox.admin, "update outbox.event set created_at = now() - (6 - id) * interval '1 h'");
    outbox_confirm_all(&outbox, "main");
    emit_events(outbox.writer, "orders", 1);
}

static void
close_all(void)
{
    driver_close(driver);
    free(config);
    outbox_close(&outbox);
}

static struct ran
run_replay(const char *const *arguments)
{
    return run_with(command_replay, "replay", config, arguments);
}

#define EXPECT(exit_code, out, err, ...)                                                                     \
    expect_ran(run_replay((const char *[]){__VA_ARGS__, NULL}), exit_code, out, err)

static int64_t
count(const char *from)
{
    return postgres_int(outbox.relay, "select count(*) from outbox.%s", from);
}

/* ---- what would be sent ---- */

Test(commands_replay, a_dry_run_counts_what_is_confirmed_and_selected_and_asks_for_nothing, .init = open_all,
     .fini = close_all)
{
    EXPECT(0, "to be sent again: 4 events, 29 B, with ids from 1 to 4, created from 20", "", "--from", "1",
           "--dry-run");
    EXPECT(0, "  orders: 3 events, 24 B\n  mail: 1 event, 5 B\n", "", "--from", "1", "--dry-run");
    EXPECT(0, "left out, of topics that are not selected by relay main:\n  audit: 1 event, 1 B\n", "",
           "--from", "1", "--dry-run");
    EXPECT(0, "sent again: 2 events, 16 B, with ids from 2 to 3,", "", "--from", "2", "--to", "3",
           "--dry-run");
    EXPECT(0, "sent again: 2 events, 16 B, with ids from 1 to 2,", "", "--from=1", "--until", "210m",
           "--dry-run");
    EXPECT(0, "sent again: 2 events, 13 B, with ids from 3 to 4,", "", "--since", "210m", "--dry-run");
    EXPECT(0, "sent again: 1 event, 8 B, with ids from 3 to 3,", "", "--since", "210m", "--until", "150m",
           "--dry-run");
    EXPECT(0, "sent again: 1 event, 5 B, with ids from 4 to 4,", "", "--since", "210m", "--from", "4",
           "--dry-run");
    EXPECT(0, "sent again: 1 event, 5 B,", "", "--from", "1", "--topic", "ma*", "--dry-run");
    EXPECT(0, "sent again: 3 events, 24 B,", "", "--from", "1", "--key", "k", "--dry-run");
    EXPECT(0, "sent again: 3 events, 24 B,", "", "--from", "1", "--key-hex", "6B", "--dry-run");
    EXPECT(0, "nothing is to be sent again\n", "", "--from", "1", "--key", "\\x6b", "--dry-run");
    EXPECT(0, "nothing is to be sent again\n", "", "--from", "6", "--dry-run"); /* it is not confirmed */
    EXPECT(0, "nothing is to be sent again\n", "", "--from", "9223372036854775807", "--dry-run");
    cr_expect_eq(count("request"), 0);
}

Test(commands_replay, what_waits_is_left_out_and_what_is_paused_is_waited_for, .init = open_all,
     .fini = close_all)
{
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 1, \"hold\": 7, \"error\":"
        " \"E\", \"message\": \"m\"}], \"held\": [[2, 1, 7]]}'); select outbox.pause('main', 'mail')");
    EXPECT(0, "sent again: 2 events, 13 B, with ids from 3 to 4,", "", "--from", "1", "--dry-run");
    EXPECT(0,
           "  orders: 1 event, 8 B\nit will wait for topics that are paused for relay main:\n  mail: 1 event",
           "", "--from", "1", "--dry-run");
}

Test(commands_replay, what_was_discarded_is_never_sent, .init = open_all, .fini = close_all)
{
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 2, \"tick\": 1, \"hold\": null, \"error\":"
        " \"E\", \"message\": \"m\"}]}'); select outbox.dead_discard('main', 2, 'x'); " LEADER_SETTLES(
            LEADER_ALL, "0", "'done'", "null"));
    EXPECT(0, "sent again: 3 events, 21 B, with ids from 1 to 4,", "", "--from", "1", "--dry-run");
    EXPECT(0, "nothing is to be sent again\n", "", "--from", "2", "--to", "2", "--dry-run");
}

Test(commands_replay, what_is_no_longer_retained_is_said, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.admin, "delete from outbox.event where id <= 2"); /* as an emptied slot */
    EXPECT(0, "1 event, 8 B", "events before id 3, created 20", "--from", "2", "--to", "3", "--dry-run");
    EXPECT(0, NULL, "are no longer retained and cannot be sent (retention 1d)\n", "--since", "4h",
           "--dry-run");
    struct ran ran = run_replay((const char *[]){"--since", "150m", "--dry-run", NULL});
    cr_expect_str_empty(ran.err);
    ran_free(&ran);
    postgres_exec(outbox.admin, "delete from outbox.event");
    EXPECT(0, "nothing is to be sent again\n", "no event is retained", "--since", "4h", "--dry-run");
}

/* ---- having it sent ---- */

Test(commands_replay, it_asks_for_exactly_what_it_has_counted_and_waits, .init = open_all, .fini = close_all)
{
    struct leader *leader = leader_begin(
        &outbox, LEADER_SETTLES("case when r.events = 3 then " LEADER_ALL " else r.events + 1 end", "1",
                                "case when r.events = 3 then 'done' end", "null"));
    EXPECT(0, "replay 1: done, 4 events sent again\n", "", "--from", "1", "--until", "1m", "--yes", "--rate",
           "100");
    leader_end(leader);
    cr_expect_eq(
        count("request where kind = 'replay' and first_id = 1 and last_id between 4 and 6 and rate = 100"
              " and until < now() and since is null and topic is null and key is null"),
        1);
    EXPECT(0, "replay 1: done, 4 sent; asked for ", "", "--list");
}

/* Its end moves its progress no more. */
Test(commands_replay, up_to_which_id_it_came_is_said_unless_all_of_it_is_done, .init = open_all,
     .fini = close_all)
{
    EXPECT(0, "asked for: replay 1\n", "", "--from", "1", "--to", "4", "--yes", "--no-wait");
    postgres_exec(outbox.relay, LEADER_SETTLES("2", "2", "null", "null"));
    EXPECT(0, "replay 1: under way, 2 sent, up to id 2; asked for ", "", "--list");
    EXPECT(0, "\"progress_id\": 2,", "", "--list", "--json");
    postgres_exec(outbox.relay, LEADER_SETTLES(LEADER_ALL, "2", "'done'", "null"));
    EXPECT(0, "replay 1: done, 4 sent; asked for ", "", "--list");
    EXPECT(0, "\"progress_id\": 4,", "", "--list", "--json");
    postgres_exec(outbox.relay, "select outbox.replay('main', 1, null, null, null, null, null, null)");
    postgres_exec(outbox.relay, LEADER_SETTLES("3", "3", "'it ended'", "null"));
    EXPECT(0, "replay 2: it ended, 3 sent, up to id 3; asked for ", "", "--list");
}

#define HALF "outboxd replay: [#######-------] 50 %, "

/* Half of it at once, the rest when that was said. */
Test(commands_replay, who_waits_sees_how_far_it_is, .init = open_all, .fini = close_all)
{
    struct leader *leader = leader_begin_when_said(
        &outbox, LEADER_SETTLES("2", "case when r.events = 0 then 2 else 0 end", "null", "null"), HALF,
        LEADER_SETTLES(LEADER_ALL, "2", "'done'", "null"));
    EXPECT(0, "replay 1: done, 4 events sent again\n", HALF, "--from", "1", "--yes");
    leader_end(leader);
}

/* What is emitted later is published by itself, and is not sent twice. */
Test(commands_replay, the_newest_id_of_the_moment_ends_it, .init = open_all, .fini = close_all)
{
    EXPECT(0, "asked for: replay 1\n", "", "--since", "210m", "--yes", "--no-wait");
    cr_expect_eq(count("request where last_id = 6 and since between now() - interval '211 min' and now() - "
                       "interval '209 min'"),
                 1);
}

Test(commands_replay, a_script_must_say_yes, .init = open_all, .fini = close_all)
{
    EXPECT(64, "to be sent again: 4 events", "replay needs --yes", "--from", "1");
    cr_expect_eq(count("request"), 0);
}

Test(commands_replay, events_that_are_refused_make_it_exit_69, .init = open_all, .fini = close_all)
{
    struct leader *leader =
        leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "3", "'done'", "'{\"id\": 2, \"error\": \"E\"}'"));
    EXPECT(69, "replay 1: done, 3 events sent again, 1 refused\n", "Kafka refused 1 of the events", "--from",
           "1", "--yes");
    leader_end(leader);
}

Test(commands_replay, one_that_sends_less_than_was_counted_exits_69, .init = open_all, .fini = close_all)
{
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "3", "'done'", "null"));
    EXPECT(69, "replay 1: done, 3 events sent again\n", "1 of the events that were counted were not sent",
           "--from", "1", "--yes");
    leader_end(leader);
}

/* What the leader tells while the replay is in front of an event whose topic takes nothing. */
#define WAITS                                                                                                \
    "{\"waits\": [{\"number\": 7, \"event_id\": 1, \"topic\": \"other\"}, {\"number\": 1, \"event_id\": 4,"  \
    " \"topic\": \"mail\", \"error\": \"UNKNOWN_TOPIC\", \"message\": \"it is not there\"}]}"

Test(commands_replay, one_that_waits_for_a_topic_says_which_and_why__P5, .init = open_all, .fini = close_all)
{
    EXPECT(0, "asked for: replay 1\n", "", "--from", "1", "--yes", "--no-wait");
    EXPECT(0, "replay 1: under way, 0 sent", "", "--list");
    EXPECT(0, "\"waits\": null", "", "--list", "--json");
    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', '" WAITS "')");
    EXPECT(0, "replay 1: waits, 0 sent", "", "--list");
    EXPECT(0, "\n  waits, at event 4 of topic mail: UNKNOWN_TOPIC: it is not there\n", "", "--list");
    struct ran ran = run_replay((const char *[]){"--list", "--json", NULL});
    json_t *object = json_loads(ran.out, 0, NULL);
    const json_t *wait = json_object_get(json_array_get(json_object_get(object, "replays"), 0), "waits");
    cr_assert(json_is_object(wait), "%s", ran.out);
    cr_expect_eq(status_integer(wait, "event_id"), 4);
    cr_expect_str_eq(status_text(wait, "topic"), "mail");
    cr_expect_str_eq(status_text(wait, "error"), "UNKNOWN_TOPIC");
    json_decref(object);
    ran_free(&ran);
    expect_ran(run_status(config, false), 0,
               "waits, at event 4 of topic mail: UNKNOWN_TOPIC: it is not there", "");
    object = status_object(&outbox);
    const json_t *relay = status_relay_of(object);
    cr_expect(json_is_null(json_object_get(relay, "stuck"))); /* others flow */
    cr_expect_str_eq(
        status_text(json_object_get(json_array_get(json_object_get(relay, "requests"), 0), "waits"), "topic"),
        "mail");
    json_decref(object);
    postgres_exec(outbox.relay, "select outbox.request_cancel('main', 1)");
    EXPECT(0, "replay 1: cancelled, 0 sent", "", "--list");
    EXPECT(0, "\"waits\": null", "", "--list", "--json");
}

#define WAITS_SAID "outboxd replay: waiting for topic mail, at event 4: UNKNOWN_TOPIC .."

Test(commands_replay, who_waits_is_told_which_topic_it_waits_for__P5, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', '" WAITS "')");
    struct leader *leader =
        leader_begin_when_said(&outbox, NULL, WAITS_SAID, LEADER_SETTLES(LEADER_ALL, "4", "'done'", "null"));
    EXPECT(0, "replay 1: done, 4 events sent again\n", WAITS_SAID, "--from", "1", "--yes");
    leader_end(leader);
}

/* .. whose leader died before it had counted: nothing says that the others were not sent. */
Test(commands_replay, one_that_nobody_has_counted_is_done_all_the_same, .init = open_all, .fini = close_all)
{
    struct leader *leader = leader_begin(
        &outbox,
        "select outbox.side_apply(relay, number, 2), outbox.request_settle(relay, number, " LEADER_ALL
        ", 1, 'done', null) from outbox.request where done_at is null");
    EXPECT(0, "replay 1: done, at least 1 event sent again\n", "", "--from", "1", "--yes");
    leader_end(leader);
    EXPECT(0, "replay 1: done, at least 1 sent", "", "--list");
    EXPECT(0, "\"uncounted\": true", "", "--list", "--json");
}

Test(commands_replay, who_interrupts_the_wait_is_told_how_to_end_it, .init = open_all, .fini = close_all)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    cr_assert_eq(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    cr_assert_eq(raise(SIGINT), 0); /* pending: it comes with the first look */
    EXPECT(69, "", "no longer waiting: what was asked for goes on; `outboxd replay --cancel 1` ends it\n",
           "--from", "1", "--yes");
    EXPECT(0, "replay 1: under way, 0 sent; asked for ", "", "--list");
    EXPECT(0, "replay 1 is ended", "", "--cancel", "1");
    EXPECT(64, "", "has no replay 1 that goes on", "--cancel", "1");
    EXPECT(0, "replay 1: cancelled, 0 sent", "", "--list");
}

Test(commands_replay, one_that_is_cancelled_meanwhile_exits_69, .init = open_all, .fini = close_all)
{
    struct leader *leader = leader_begin(
        &outbox, "select outbox.request_cancel(relay, number) from outbox.request where done_at is null");
    EXPECT(69, "replay 1: cancelled, 0 events sent again\n", "replay 1 ended before it was done", "--from",
           "1", "--yes");
    leader_end(leader);
}

/* ---- the list ---- */

Test(commands_replay, the_list_shows_all_that_go_on_and_the_last_ones, .init = open_all, .fini = close_all)
{
    EXPECT(0, "no replays\n", "", "--list");
    EXPECT(0, NULL, "", "--from", "1", "--to", "3", "--topic", "ord*", "--key-hex", "6b", "--rate", "7",
           "--yes", "--no-wait");
    EXPECT(0, "\n  events from id 1 to id 3 of topic ord* with key k, 7 a second at most\n", "", "--list");
    postgres_exec(
        outbox.relay,
        "select outbox.replay('main', 1, 2, null, null, null, '\\x1bff', null) from generate_series(1, 150)");
    struct ran ran = run_replay((const char *[]){"--list", "--json", NULL});
    json_t *object = json_loads(ran.out, 0, NULL), *list = json_object_get(object, "replays");
    cr_assert_eq(json_array_size(list), 151, "%s", ran.err);
    cr_expect_eq(status_integer(json_array_get(list, 0), "number"), 151);
    cr_expect_str_eq(status_text(json_array_get(list, 0), "key_base64"), "G/8=");
    cr_expect_str_eq(status_text(json_array_get(list, 150), "key"), "k");
    json_decref(object);
    ran_free(&ran);
    postgres_exec(outbox.relay, LEADER_SETTLES(LEADER_ALL, "1", "'done'", "null"));
    ran = run_replay((const char *[]){"--list", "--json", NULL});
    object = json_loads(ran.out, 0, NULL);
    cr_assert_eq(json_array_size(json_object_get(object, "replays")), 100, "%s", ran.err);
    json_decref(object);
    ran_free(&ran);
}

/* ---- mistakes ---- */

Test(commands_replay, mistakes_on_the_command_line_exit_64, .init = open_all, .fini = close_all)
{
    EXPECT(64, "", "which events? --since TIME or --from ID", "--topic", "t");
    EXPECT(64, "", "which events? --since TIME or --from ID", "--to", "5", "--until", "1m");
    EXPECT(64, "", "--from: 'x' is no whole number from 1", "--from", "x");
    EXPECT(64, "", "--from: '0' is no", "--from", "0");
    EXPECT(64, "", "--to: '9223372036854775808' is no", "--from", "1", "--to", "9223372036854775808");
    EXPECT(64, "", "--to is before --from", "--from", "3", "--to", "2");
    EXPECT(64, "", "--since: 'yesterday' is neither a time", "--since", "yesterday");
    EXPECT(64, "", "--until: '5' is neither a time", "--since", "1h", "--until", "5");
    EXPECT(64, "", "--until is not after --since", "--since", "1h", "--until", "2h", "--yes");
    EXPECT(64, "", "--topic: 'a\"b' matches no legal topic name", "--from", "1", "--topic", "a\"b");
    EXPECT(64, "", "--key-hex: '6' is not pairs", "--from", "1", "--key-hex", "6");
    EXPECT(64, "", "--key-hex: '6x' is not pairs", "--from", "1", "--key-hex", "6x");
    EXPECT(64, "", "one key only", "--from", "1", "--key-hex", "6b", "--key", "k");
    EXPECT(64, "", "--rate: '0' is no whole number from 1 to 2147483647", "--from", "1", "--rate", "0");
    EXPECT(64, "", "--rate: '2147483648' is no", "--from", "1", "--rate", "2147483648");
    EXPECT(64, "", "--cancel: 'all' is no", "--cancel", "all");
    EXPECT(64, "", "--list takes no --from", "--list", "--from", "1");
    EXPECT(64, "", "--cancel takes no --json", "--cancel", "1", "--json");
    EXPECT(64, "", "--json goes with --list", "--from", "1", "--json");
    EXPECT(64, "", "--dry-run takes no --yes", "--from", "1", "--dry-run", "--yes");
    EXPECT(64, "", "unexpected argument 7", "--from", "1", "7");
    EXPECT(0, "Usage: outboxd replay [--since TIME]", "", "--help");
    EXPECT(64, "", "has no replay 9223372036854775807 that goes on", "--cancel", "9223372036854775807");
    postgres_exec(outbox.relay, "select outbox.relay_retire('main')");
    EXPECT(78, "", "relay \"main\" was retired", "--from", "1");
    EXPECT(0, "no replays\n", "", "--list");
    cr_expect_eq(count("request"), 0);
}
