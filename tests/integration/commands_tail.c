/* commands_tail.c: `outboxd tail` prints what is in the outbox: in the order of the ids, what was asked for and no more, and
 * nothing of an event can steer a terminal or break a script. Following is in commands_tail_follow.c. */
#include "commands_fixture.h"

#include "command/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(commands_tail, .timeout = 120);

static struct outbox outbox;
static char *config;

static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY, NULL);
}

static void
close_all(void)
{
    free(config);
    outbox_close(&outbox);
}

static struct ran
run_tail(const char *const *arguments)
{
    const char *all[16] = {"tail", "--config", config};
    for (size_t i = 0; arguments[i] != NULL; i++)
        all[3 + i] = arguments[i];
    return run_command(command_tail, all);
}

/* `outboxd tail --json ARGUMENTS` must succeed: an array of what it printed, one object a line. */
static json_t *
tail_array(const char *const *arguments)
{
    const char *all[16] = {"--json"};
    for (size_t i = 0; arguments[i] != NULL; i++)
        all[1 + i] = arguments[i];
    struct ran ran = run_tail(all);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    json_t *array = json_array();
    for (char *line = ran.out, *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        cr_assert(end != NULL, "an unfinished line: %s", line);
        json_error_t error;
        json_t *object = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, &error);
        cr_assert(json_is_object(object), "%s in: %s", error.text, line);
        json_array_append_new(array, object);
    }
    ran_free(&ran);
    return array;
}

/* The ids that it printed must be these: "3 4 5". */
static void
expect_ids(const char *ids, const char *const *arguments)
{
    json_t *array = tail_array(arguments);
    char *printed = must_strdup("");
    for (size_t i = 0; i < json_array_size(array); i++) {
        char *more = must_format("%s%s%lld", printed, i > 0 ? " " : "",
                                 (long long)status_integer(json_array_get(array, i), "id"));
        free(printed);
        printed = more;
    }
    cr_expect_str_eq(printed, ids);
    free(printed);
    json_decref(array);
}

#define EXPECT_IDS(ids, ...) expect_ids(ids, (const char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void
expect_failure(int exit_code, const char *err, const char *const *arguments)
{
    struct ran ran = run_tail(arguments);
    cr_expect_eq(ran.exit_code, exit_code, "exit code %d: %s", ran.exit_code, ran.err);
    cr_expect(strstr(ran.err, err) != NULL, "\"%s\" is not in: %s", err, ran.err);
    cr_expect_str_empty(ran.out);
    ran_free(&ran);
}

#define EXPECT_FAILURE(exit_code, err, ...)                                                                  \
    expect_failure(exit_code, err, (const char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

Test(commands_tail, prints_the_last_ten_or_as_many_as_asked_for_in_the_order_of_the_ids, .init = open_all,
     .fini = close_all)
{
    EXPECT_IDS("");
    emit_events(outbox.writer, "orders", 3);
    EXPECT_IDS("1 2 3");
    emit_events(outbox.writer, "orders", 12);
    EXPECT_IDS("6 7 8 9 10 11 12 13 14 15");
    EXPECT_IDS("14 15", "-n", "2");
    EXPECT_IDS("", "--lines=0");
    EXPECT_IDS("13 14 15", "--from", "13");
    EXPECT_IDS("15", "--from", "13", "-n1");
    EXPECT_IDS("", "--from", "16");
    EXPECT_IDS("", "--from", "9223372036854775807");
}

Test(commands_tail, what_is_not_committed_is_not_printed__P1, .init = open_all, .fini = close_all)
{
    emit_events(outbox.writer, "orders", 1);
    PGconn *open = outbox_session(&outbox, POSTGRES_WRITER);
    postgres_exec(open, "begin");
    emit_events(open, "orders", 2);
    postgres_exec(outbox.writer, "begin");
    emit_events(outbox.writer, "orders", 1);
    postgres_exec(outbox.writer, "prepare transaction 'undecided'");
    emit_events(outbox.writer, "orders", 1);
    EXPECT_IDS("1 5");
    postgres_exec(outbox.writer, "commit prepared 'undecided'");
    postgres_exec(open, "rollback");
    EXPECT_IDS("1 4 5");
    PQfinish(open);
}

Test(commands_tail, topics_are_shell_patterns_and_a_key_is_meant_exactly, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.writer, "insert into outbox.event (topic, key) values ('user.added', 'ada'),"
                                 " ('user.left', 'ada b'), ('users', null), ('order', 'ada'), ('order', ''),"
                                 " ('order', 'Ada'), ('NULL', convert_to('\xc3\xa4', 'UTF8'))");
    EXPECT_IDS("1 2", "--topic", "user.*");
    EXPECT_IDS("1 3", "--topic", "users", "--topic", "[t-v]ser.a????");
    EXPECT_IDS("4 5 6", "--topic=orde[!s]");
    EXPECT_IDS("1 2 3 4 5 6", "--topic=[!N]*");
    EXPECT_IDS("", "--topic", "rder");
    EXPECT_IDS("1 4", "--key", "ada");
    EXPECT_IDS("5", "--key", "");
    EXPECT_IDS("2", "--key", "ada b");
    EXPECT_IDS("7", "--key", "\xc3\xa4");
    EXPECT_IDS("", "--key", "' or true --");
    EXPECT_IDS("4", "--key", "ada", "--topic", "order");
    EXPECT_IDS("4", "--key", "ada", "-n", "1");
}

Test(commands_tail, since_is_a_moment_or_a_duration_back_from_the_clock_of_the_database, .init = open_all,
     .fini = close_all)
{
    emit_events(outbox.writer, "orders", 60);
    postgres_exec(outbox.admin, "update outbox.event set created_at = clock_timestamp()"
                                " - interval '1 minute' * (60 - id) - interval '30 s'");
    EXPECT_IDS("58 59 60", "--since", "3m");
    EXPECT_IDS("58 59 60", "--since", "180s");
    EXPECT_IDS("60", "--since", "3m", "-n", "1");
    EXPECT_IDS("", "--since", "10ms");
    postgres_exec(outbox.admin, "update outbox.event set created_at = '2026-01-31T12:00:00Z'::timestamptz"
                                " + interval '1 hour' * id");
    EXPECT_IDS("58 59 60", "--since", "2026-02-02T22:00:00Z");
    EXPECT_IDS("59 60", "--since", "2026-02-02t22:00:00.000001z");
    EXPECT_IDS("58 59 60", "--since", "2026-02-03T03:30:00+05:30");
    EXPECT_IDS("60", "--since", "2026-02-02T22:00:00.5-01:59");
    /* the clock was set back: what is out of order by less than a minute is found */
    postgres_exec(outbox.admin,
                  "update outbox.event set created_at = created_at + interval '59 min' where id < 60");
    EXPECT_IDS("59 60", "--since", "2026-02-02T23:58:30Z");
    EXPECT_IDS("58 59 60", "--from", "58", "--since", "2026-01-01T00:00:00Z");
}

Test(commands_tail, no_event_of_a_long_outbox_with_gaps_is_passed_over, .init = open_all, .fini = close_all)
{
    emit_events(outbox.writer, "rare", 3);
    emit_events(outbox.writer, "orders", 12500);
    postgres_exec(outbox.admin, "select setval('outbox.event_id_seq', 4000000000)");
    emit_events(outbox.writer, "orders", 12500);
    postgres_exec(outbox.writer, "begin");
    emit_events(outbox.writer, "orders", 5000);
    postgres_exec(outbox.writer, "rollback");
    emit_events(outbox.writer, "orders", 1);

    json_t *array = tail_array((const char *[]){"--from", "1", NULL});
    cr_assert_eq(json_array_size(array), 25004);
    int64_t last = 0;
    for (size_t i = 0; i < 25004; i++) {
        int64_t id = status_integer(json_array_get(array, i), "id");
        cr_assert_gt(id, last);
        last = id;
    }
    json_decref(array);
    EXPECT_IDS("2 3", "--topic", "rare", "-n", "2");
    EXPECT_IDS("1 2 3", "--topic", "rare", "-n", "5");
}

Test(commands_tail, what_an_event_holds_cannot_steer_a_terminal_or_forge_a_line, .init = open_all,
     .fini = close_all)
{
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, key, payload) values"
        " ('t', 'a  t  \"b\"', '\\x0a37202074202061'),"
        " ('t', null, '\\x1b5d303b6f776e656407ff00e280ae9b7fc3a4'), ('t', '', null), ('t', '-', '')");
    struct ran ran = run_tail((const char *[]){NULL});
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    cr_expect(strstr(ran.out, "Z  t  \"a  t  \\x22b\\x22\"  \\x0a7  t  a\n") != NULL, "%s", ran.out);
    cr_expect(strstr(ran.out, "Z  t  -  \\x1b]0;owned\\x07\\xff\\x00\\xe2\\x80\\xae\\x9b\\x7f\xc3\xa4\n") !=
                  NULL,
              "%s", ran.out);
    cr_expect(strstr(ran.out, "Z  t  \"\"  (null)\n") != NULL, "%s", ran.out);
    cr_expect(strstr(ran.out, "Z  t  \"-\"  \n") != NULL, "%s", ran.out);
    ran_free(&ran);
}

static const char *
text_or_null(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

Test(commands_tail, json_has_every_byte, .init = open_all, .fini = close_all)
{
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, key, payload, headers) values"
        " ('t', '\xc3\xa4', '\\x220a00e282ac', '{\"a\": \"1\", \"b\": [\"2\", \"3\"], \"c\": null}'),"
        " ('t', '\\xfe', '\\xff00', null), ('t', '\\xfeffff', '\\xc0af', '{}'), ('t', null, null, null)");
    postgres_exec(outbox.admin,
                  "update outbox.event set created_at = '2026-01-31T12:00:00.000042Z' where id = 1");
    json_t *array = tail_array((const char *[]){NULL});
    json_t *first = json_array_get(array, 0), *second = json_array_get(array, 1),
           *third = json_array_get(array, 2), *last = json_array_get(array, 3);
    cr_expect_str_eq(status_text(first, "created_at"), "2026-01-31T12:00:00.000042Z");
    cr_expect_str_eq(status_text(first, "topic"), "t");
    cr_expect_str_eq(status_text(first, "key"), "\xc3\xa4");
    cr_expect_eq(json_string_length(json_object_get(first, "payload")), 6);
    cr_expect_eq(memcmp(status_text(first, "payload"), "\"\n\0\xe2\x82\xac", 6), 0);
    char *headers = json_dumps(json_object_get(first, "headers"), JSON_COMPACT | JSON_SORT_KEYS);
    cr_expect_str_eq(headers, "{\"a\":\"1\",\"b\":[\"2\",\"3\"],\"c\":null}");
    free(headers);
    cr_expect_str_eq(status_text(second, "key_base64"), "/g==");
    cr_expect_str_eq(status_text(second, "payload_base64"), "/wA=");
    cr_expect_null(text_or_null(second, "payload"));
    cr_expect_str_eq(status_text(third, "key_base64"), "/v//");
    cr_expect_str_eq(status_text(third, "payload_base64"), "wK8=", "an overlong form is no text");
    cr_expect(json_is_null(json_object_get(last, "key")) && json_is_null(json_object_get(last, "payload")) &&
              json_is_null(json_object_get(last, "headers")));
    json_decref(array);
}

Test(commands_tail, a_line_is_cut_to_the_width_of_the_terminal, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.writer, "insert into outbox.event (topic, key, payload) values"
                                 " ('topic', 'key', '{\"name\": \"fits\"}'),"
                                 " ('topic', 'key', repeat('x', 100000)::bytea),"
                                 " ('topic', repeat('k', 70)::bytea, repeat('\xe6\x97\xa5', 100)::bytea)");
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    cr_assert_eq(ioctl(terminal, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = 80}), 0);
    char *name = must_strdup(ptsname(terminal)), said[4096] = "";
    cr_assert(freopen(name, "w", stdout) != NULL);
    char *argv[] = {"tail", "--config", config, NULL};
    cr_assert_eq(command_tail(3, argv), 0);
    for (size_t size = 0, lines = 0; lines < 3;) {
        ssize_t more = read(terminal, said + size, sizeof said - 1 - size);
        cr_assert_gt(more, 0);
        size += (size_t)more;
        said[size] = '\0';
        lines = 0;
        for (const char *at = said; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
    }
    cr_assert(freopen("/dev/null", "w", stdout) != NULL);
    close(terminal);
    free(name);
    cr_expect(strstr(said, "  topic  key  {\"name\": \"fits\"}\r\n") != NULL, "%s", said);
    char *second = strstr(said, "\n2  ") + 1, *third = strstr(said, "\n3  ") + 1;
    cr_expect_eq(strcspn(second, "\r"), 80, "%s", said);
    cr_expect_eq(strncmp(second + 77, "...", 3), 0, "%s", said);
    cr_expect(strstr(third, "kkk...  \xe6\x97\xa5") != NULL, "%s", said);
    size_t bytes = strcspn(third, "\r"), wide = 0;
    for (const char *at = third; (at = strstr(at, "\xe6\x97\xa5")) != NULL; at += 3)
        wide++;
    cr_expect(bytes - wide <= 80 && bytes - wide >= 76, "%zu of 3 bytes in %zu: %s", wide, bytes, said);
}

Test(commands_tail, twenty_events_of_16_mib_take_no_more_memory_than_a_few__I6, .init = open_all,
     .fini = close_all)
{
    for (int i = 0; i < 20; i++)
        postgres_exec(
            outbox.writer,
            "insert into outbox.event (topic, payload) values ('t', convert_to(repeat('%c', 16777216),"
            " 'UTF8'))",
            'a' + i);
    char *directory = scratch_directory("tail"), *out = must_format("%s/out", directory);
    const char *argv[] = {getenv("OUTBOXD_BIN"), "tail", "--config", config, "--from", "1", "--json", NULL};
    struct process_options options = {.argv = argv, .output_path = out};
    cr_assert_eq(process_run(&options, 60000), 0);
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_CHILDREN, &usage), 0);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    cr_expect_lt(usage.ru_maxrss, 200 * 1024, "%ld KiB", usage.ru_maxrss);
#endif
    char *text = scratch_read_file(out);
    cr_expect_gt(strlen(text), (size_t)20 * 16777216);
    free(text);
    free(out);
    free(directory);
}

Test(commands_tail, what_is_missing_is_named_with_its_cure, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.admin, "update outbox.schema_version set readable_since = %d, version = %d",
                  SCHEMA_VERSION + 1, SCHEMA_VERSION + 1);
    EXPECT_FAILURE(69, "install the newer outboxd");
    postgres_exec(outbox.admin, "update outbox.schema_version set readable_since = 1, version = %d",
                  SCHEMA_VERSION);
    postgres_exec(outbox.admin, "revoke select on outbox.event from outbox_relay");
    EXPECT_FAILURE(69, "may not read the outbox (missing: SELECT on table event)");
    postgres_exec(outbox.admin, "drop schema outbox cascade");
    EXPECT_FAILURE(69, "has no outbox; `outboxd migrate` makes it");
}

Test(commands_tail, postgres_away_is_69_also_for_f, .init = open_all, .fini = close_all)
{
    char *usual = config;
    config = command_config(&outbox, "nobody_of_this_name", NULL);
    EXPECT_FAILURE(69, "cannot connect to Postgres");
    EXPECT_FAILURE(69, "cannot connect to Postgres", "-f");
    free(config);
    config = usual;
}

Test(commands_tail, mistakes_on_the_command_line_exit_64, .init = open_all, .fini = close_all)
{
    static const char *const times[] = {"yesterday",
                                        "2026-01-31",
                                        "2026-01-31T12:00:00",
                                        "2026-02-30T00:00:00Z",
                                        "2026-01-31T25:00:00Z",
                                        "2026-01-31T12:00:00Zulu",
                                        "2026-01-31T12:00:00.Z",
                                        "2026-01-31T12:00:00+5",
                                        "10",
                                        "-10m",
                                        "0s",
                                        ""};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        EXPECT_FAILURE(64, "is neither a time with its zone", "--since", times[i]);
    EXPECT_FAILURE(64, "--topic: 'a b' matches no legal topic name", "--topic", "a b");
    EXPECT_FAILURE(64, "-n: 'ten' is no whole number", "-n", "ten");
    EXPECT_FAILURE(64, "-n: '-1' is no whole number", "-n", "-1");
    EXPECT_FAILURE(64, "--from: '1.5' is no whole number", "--from", "1.5");
    EXPECT_FAILURE(64, "-n needs a value", "-n");
    EXPECT_FAILURE(64, "unknown option -x", "-x");
    EXPECT_FAILURE(64, "unexpected argument orders", "orders");
}
