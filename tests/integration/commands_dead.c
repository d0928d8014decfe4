/* commands_dead.c: `outboxd dead` shows every event that was refused, with what waits behind it (P5), and reports what came of
 * what was asked for. The leader's part is a stand-in's. */
#include "commands_leader.h"

#include "command/command.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_dead, .timeout = 60);

static struct outbox outbox;
static char *config;
static struct driver *driver;

static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY, "lease: 1h\n");
    driver = lead_outbox(&outbox);
}

static void
close_all(void)
{
    driver_close(driver);
    free(config);
    outbox_close(&outbox);
}

static struct ran
run_dead(const char *const *arguments)
{
    return run_with(command_dead, "dead", config, arguments);
}

#define EXPECT(exit_code, out, err, ...)                                                                     \
    expect_ran(run_dead((const char *[]){__VA_ARGS__, NULL}), exit_code, out, err)

static json_t *
dead_object(const char *const *arguments)
{
    struct ran ran = run_dead(arguments);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    json_error_t error;
    json_t *object = json_loads(ran.out, JSON_ALLOW_NUL, &error);
    cr_assert(json_is_object(object), "%s in: %s", error.text, ran.out);
    ran_free(&ran);
    return object;
}

#define OBJECT(...) dead_object((const char *[]){__VA_ARGS__, "--json", NULL})

static int64_t
count(const char *from)
{
    return postgres_int(outbox.relay, "select count(*) from outbox.%s", from);
}

/* ---- list ---- */

Test(commands_dead, list_shows_each_with_what_waits_behind_it, .init = open_all, .fini = close_all)
{
    EXPECT(0, "no dead letters\n", "", "list");
    leader_puts_aside(&outbox, 2);
    EXPECT(0, "1             orders  k  ", "", "list");
    EXPECT(0, "1 dead letter, the oldest refused ", "", "list");
    EXPECT(0, "; 2 events held behind it\n", "", "list");
    postgres_exec(outbox.relay, "select outbox.dead_retry('main', 1)");
    EXPECT(0, "2  retry 1 is under way\n", "", "list");
    json_t *object = OBJECT("list"), *letter = json_array_get(json_object_get(object, "list"), 0);
    cr_expect_eq(status_integer(object, "dead_letters"), 1);
    cr_expect_eq(status_integer(object, "held_events"), 2);
    cr_expect_eq(status_integer(letter, "id"), 1);
    cr_expect_eq(status_integer(letter, "held_events"), 2);
    cr_expect_eq(status_integer(letter, "attempts"), 1);
    cr_expect_str_eq(status_text(letter, "key"), "k");
    cr_expect_str_eq(status_text(letter, "error"), "MSG_SIZE_TOO_LARGE");
    cr_expect_str_eq(status_text(letter, "request_kind"), "retry");
    cr_expect_eq(strlen(status_text(letter, "first_at")), strlen("2026-11-28T12:00:00Z"));
    json_decref(object);
}

Test(commands_dead, list_of_a_topic_and_its_totals_leave_the_others_out, .init = open_all, .fini = close_all)
{
    leader_puts_aside(&outbox, 1);
    emit_events(outbox.writer, "mail.welcome", 2);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', jsonb_build_object('dead', (select jsonb_agg(jsonb_build_object("
        "'id', i, 'tick', 5, 'hold', null, 'error', 'E', 'message', 'm')) from generate_series(3, 4) i)))");
    EXPECT(0, "\n2 dead letters, ", "", "list", "--topic", "mail.*");
    EXPECT(0, "\n3 dead letters, ", "", "list", "--topic", "*", "--limit", "2");
    EXPECT(0, "the first 2 are shown; --limit N shows more\n", "", "list", "--limit", "2");
    EXPECT(0, "only the first is shown; --limit N shows more\n", "", "list", "--limit", "1");
    EXPECT(0, "no dead letters\n", "", "list", "--topic", "orders.*");
    json_t *object = OBJECT("list", "--topic", "orders");
    cr_expect_eq(json_array_size(json_object_get(object, "list")), 1);
    cr_expect_eq(status_integer(object, "held_events"), 1);
    json_decref(object);
}

/* Each of them holds an event; counting those of a topic ends behind the first 100,000, of all of them it does not. */
Test(commands_dead, what_very_many_of_a_topic_hold_is_counted_to_an_end__P5, .init = open_all,
     .fini = close_all)
{
    postgres_exec(
        outbox.admin,
        "with l as (insert into outbox.dead_letter (relay, event_id, tick, hold, topic, created_at, error, "
        "message)"
        " select 'main', i, 5, i, 'orders', now(), 'E', 'm' from generate_series(1, 100500) i returning hold)"
        " insert into outbox.held_event (relay, event_id, tick, hold, slot) select 'main', 200000 + hold, 5, "
        "hold, 0"
        " from l");
    EXPECT(0, "100500 dead letters, the oldest refused ", "", "list", "--limit", "1");
    EXPECT(0, " ago; 100500 events held behind them\n", "", "list", "--limit", "1");
    EXPECT(0, "100500 dead letters, the oldest refused ", "", "list", "--limit", "1", "--topic", "ord*");
    EXPECT(0, " ago; at least 100000 events held behind them\n", "", "list", "--limit", "1", "--topic",
           "ord*");
    json_t *object = OBJECT("list", "--limit", "1", "--topic", "ord*");
    cr_expect_eq(status_integer(object, "held_events"), 100000);
    cr_expect(json_is_false(json_object_get(object, "held_exact")));
    json_decref(object);
    object = OBJECT("list", "--limit", "1");
    cr_expect_eq(status_integer(object, "held_events"), 100500);
    cr_expect(json_is_true(json_object_get(object, "held_exact")));
    json_decref(object);
}

/* Keys and payloads are anybody's. */
Test(commands_dead, bytes_of_events_steer_no_terminal, .init = open_all, .fini = close_all)
{
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, key, payload, headers) values"
        " ('t', '\\x1b5b324a00ff0a', '\\x1b5b324aff', '{\"h\": \"\\u001b[2J\"}'), ('t', '', null, null),"
        " ('t', convert_to(repeat('ключ', 200), 'UTF8'), '', null), ('t', null, 'p', null)");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', jsonb_build_object('dead', (select jsonb_agg(jsonb_build_object("
        "'id', i, 'tick', 5, 'hold', null, 'error', 'E', 'message', E'm\\x1b[2J')) from generate_series(1, "
        "4) "
        "i)))");
    struct ran ran = run_dead((const char *[]){"list", NULL});
    cr_expect_eq(ran.exit_code, 0, "%s", ran.err);
    cr_expect(strchr(ran.out, 27) == NULL && strstr(ran.out, "\\x1b[2J\\x00\\xff\\x0a") != NULL, "%s",
              ran.out);
    cr_expect(strstr(ran.out, "t      \"\"  ") != NULL && strstr(ran.out, "t      -  ") != NULL, "%s",
              ran.out);
    cr_expect(strstr(ran.out, "ключ") != NULL && strlen(ran.out) < 1000, "%s", ran.out);
    ran_free(&ran);
    ran = run_dead((const char *[]){"show", "1", NULL});
    cr_expect(strchr(ran.out, 27) == NULL && strstr(ran.out, "payload     \\x1b[2J\\xff\n") != NULL, "%s",
              ran.out);
    ran_free(&ran);
    json_t *object = OBJECT("show", "1");
    cr_expect_str_eq(status_text(object, "key_base64"), "G1sySgD/Cg==");
    cr_expect_str_eq(status_text(object, "payload_base64"), "G1sySv8=");
    json_decref(object);
    EXPECT(0, "payload     (null)\n", "", "show", "2");
    EXPECT(0, "payload     \n", "", "show", "3");
    EXPECT(0, "nothing: later events of its topic and key do not wait", "", "show", "4");
}

/* ---- show ---- */

Test(commands_dead, show_tells_everything_of_one__P5, .init = open_all, .fini = close_all)
{
    leader_puts_aside(&outbox, 12);
    postgres_exec(outbox.relay, "select outbox.dead_retry('main', 1)");
    postgres_exec(outbox.admin, "delete from outbox.event where id = 1");
    EXPECT(0, "dead letter 1\ntopic       orders\nkey         k\n", "", "show", "1");
    EXPECT(0,
           "payload     payload\nerror       MSG_SIZE_TOO_LARGE: larger than the topic takes\nrefused     1 "
           "time, first ",
           "", "show", "1");
    EXPECT(0, "held        12 events behind it: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 ..\n", "", "show", "1");
    EXPECT(0, "asked for   retry 1, by relay, ", "", "show", "1");
    json_t *object = OBJECT("show", "1");
    cr_expect_str_eq(status_text(object, "state"), "dead");
    cr_expect_str_eq(status_text(object, "payload"), "payload");
    cr_expect_eq(status_integer(object, "held_events"), 12);
    cr_expect_eq(json_array_size(json_object_get(object, "held_first")), 10);
    cr_expect_eq(json_array_size(json_object_get(object, "requests")), 1);
    json_decref(object);
    EXPECT(64, "", "event 2 is held behind dead letter 1", "show", "2");
    EXPECT(64, "", "relay \"main\" has no dead letter 99", "show", "99");
}

Test(commands_dead, show_finds_what_was_discarded, .init = open_all, .fini = close_all)
{
    leader_puts_aside(&outbox, 0);
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "0", "'done'", "null"));
    EXPECT(0, "1  discarded\n", "", "discard", "1", "--yes", "--reason", "two\nlines \x1b[2J");
    leader_end(leader);
    EXPECT(0, "discarded dead letter 1\n", "", "show", "1");
    EXPECT(0, "reason      two\\x0alines \\x1b[2J\n", "", "show", "1");
    json_t *object = OBJECT("show", "1");
    cr_expect_str_eq(status_text(object, "state"), "discarded");
    cr_expect_str_eq(status_text(object, "reason"), "two\nlines \x1b[2J");
    cr_expect_str_eq(status_text(object, "discarded_by"), "relay");
    json_decref(object);
    EXPECT(0, "no dead letters\n", "", "list");
    postgres_exec(outbox.admin, "insert into outbox.discarded select (jsonb_populate_record(d,"
                                " '{\"request\": 1000, \"reason\": \"again\"}')).* from outbox.discarded d");
    EXPECT(0, "reason      again\n", "", "show", "1");
    EXPECT(64, "1  no dead letter any more: it was discarded, 20", "", "retry", "1");
}

/* What is given up with a relay is said before; a retired relay's dead letters are still there to be looked at. */
Test(commands_dead, dead_letters_of_a_retired_relay_are_shown_and_not_retried, .init = open_all,
     .fini = close_all)
{
    leader_puts_aside(&outbox, 1);
    postgres_exec(outbox.admin,
                  "insert into outbox.paused_topic (relay, topic, from_seq, to_seq, after_id, error, message)"
                  " values ('main', 'lost', 1, 1, 0, 'UNKNOWN_TOPIC_OR_PART', '')");
    struct ran ran = run_command(
        command_relay, (const char *[]){"relay", "retire", "main", "--config", config, "--yes", NULL});
    cr_expect_eq(ran.exit_code, 0, "%s%s", ran.out, ran.err);
    cr_expect_not_null(strstr(ran.out, "nor are its 1 dead letter and the 1 event held behind them\n"
                                       "nor is what waits because topic lost is paused\n"),
                       "%s", ran.out);
    ran_free(&ran);
    EXPECT(0, "1 dead letter, ", "", "list");
    EXPECT(0, "dead letter 1\n", "", "show", "1");
    EXPECT(78, "", "relay \"main\" was retired; `outboxd relay add main --from now`", "retry", "1");
    postgres_exec(outbox.admin, "update outbox.relay set name = 'other'");
    EXPECT(78, "", "relay \"main\" is not registered; `outboxd relay list` shows", "list");
    postgres_exec(outbox.admin, "delete from outbox.relay");
    EXPECT(78, "", "relay \"main\" is not registered; the first `outboxd run` registers it", "list");
}

/* ---- mistakes ---- */

Test(commands_dead, mistakes_on_the_command_line_exit_64, .init = open_all, .fini = close_all)
{
    char long_reason[1002];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = '\0';
    leader_puts_aside(&outbox, 0);
    EXPECT(64, "", "list, show, retry or discard?", "--json");
    EXPECT(64, "", "'remove' is none of list, show, retry and discard", "remove");
    EXPECT(64, "", "'one' is no event id", "retry", "one");
    EXPECT(64, "", "'0' is no event id", "retry", "0");
    EXPECT(64, "", "'-1' is no event id", "show", "--", "-1");
    EXPECT(64, "", "'01' is no event id", "show", "01");
    EXPECT(64, "", "'9223372036854775808' is no event id", "retry", "9223372036854775808");
    EXPECT(64, "", "has no dead letter 9223372036854775807", "show", "9223372036854775807");
    EXPECT(64, "", "'1;drop' is no event id", "discard", "1;drop", "--reason", "x");
    EXPECT(64, "", "'' is no event id", "show", "");
    EXPECT(64, "", "show needs one id", "show");
    EXPECT(64, "", "show needs one id", "show", "1", "2");
    EXPECT(64, "", "list takes no id", "list", "1");
    EXPECT(64, "", "retry needs ids, or --all", "retry");
    EXPECT(64, "", "ids, or --all?", "retry", "--all", "1");
    EXPECT(64, "", "--topic goes with --all", "retry", "1", "--topic", "t");
    EXPECT(64, "", "discard takes no --all", "discard", "--all", "--reason", "x");
    EXPECT(64, "", "discard needs ids", "discard", "--reason", "x");
    EXPECT(64, "", "discard needs --reason", "discard", "1", "--yes");
    EXPECT(64, "", "--reason: it is empty", "discard", "1", "--reason", " \n");
    EXPECT(64, "", "1001 bytes are too many: 1000 at most", "discard", "1", "--reason", long_reason);
    EXPECT(64, "", "--reason: it is not UTF-8", "discard", "1", "--reason", "a\xff");
    EXPECT(64, "", "'a\"b' matches no legal topic name", "list", "--topic", "a\"b");
    EXPECT(64, "", "'a' or true --' matches no legal topic name", "list", "--topic", "a' or true --");
    EXPECT(64, "", "--limit: '0' is no whole number above 0", "list", "--limit", "0");
    EXPECT(64, "", "list takes no --yes", "list", "--yes");
    EXPECT(64, "", "show takes no --no-wait", "show", "1", "--no-wait");
    EXPECT(64, "1 event will never be published; 0 that are held behind it", "without a terminal", "discard",
           "1", "--reason", "x");
    EXPECT(0, "Usage: outboxd dead list", "", "--help");
    cr_expect_eq(count("request"), 0);
}
