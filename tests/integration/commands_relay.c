/* commands_relay.c: `outboxd relay` says what it does, does it once, and asks before it takes something away. */
#include "commands_fixture.h"

#include "command/command.h"
#include "support/scratch.h"
#include "support/terminal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_relay, .timeout = 60);

static struct outbox outbox;
static char *config;

static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY,
                            "relay: search\ntopics: [\"user.*\", \"order\"]\nretention: 2h\nlease: 1m\n");
}

static void
close_all(void)
{
    free(config);
    outbox_close(&outbox);
}

#define EXPECT(exit_code, out, err, ...)                                                                     \
    expect_ran(run_with(command_relay, "relay", config, (const char *[]){__VA_ARGS__, NULL}), exit_code,     \
               out, err)

static int64_t
count(const char *where)
{
    return postgres_int(outbox.admin, "select count(*) from outbox.relay where %s", where);
}

Test(commands_relay, add_takes_from_the_configuration_what_is_not_given, .init = open_all, .fini = close_all)
{
    outbox_register(&outbox);
    EXPECT(0, "will publish what commits from now on", "", "add", "search", "--from", "now");
    cr_assert_eq(
        count("name = 'search' and source = 'shop' and topics = '{user.*,order}' and retention = '2 h'"), 1);
    EXPECT(64, "", "relay \"search\" is registered already", "add", "search", "--from", "now");
    EXPECT(0, "from the beginning", "", "add", "audit", "--from=beginning", "--topic", "*", "--source",
           "store", "--retention", "30m", "--topic", "a?");
    cr_assert_eq(count("name = 'audit' and source = 'store' and topics = '{*,a?}' and retention = '30 min'"),
                 1);
    EXPECT(64, "", "would never empty a slot", "add", "long", "--from", "now", "--retention", "31h");
    cr_assert_eq(count("true"), 3);
}

Test(commands_relay, list_shows_the_living_and_the_retired, .init = open_all, .fini = close_all)
{
    EXPECT(0, "no relay is registered", "", "list");
    struct driver *driver = lead_outbox(&outbox);
    EXPECT(0, NULL, "", "add", "search", "--from", "now");
    EXPECT(0, NULL, "", "add", "old", "--from", "now");
    EXPECT(0, "is retired", "", "retire", "old", "--yes");
    EXPECT(0, "main    leading     shop    1d         *\n", "", "list");
    EXPECT(0, "search  never led   shop    2h         user.* order\n", "", "list");
    EXPECT(0, "old     retired     shop", "", "list");

    struct ran ran =
        run_command(command_relay, (const char *[]){"relay", "list", "-c", config, "--json", NULL});
    json_error_t error;
    json_t *object = json_loads(ran.out, 0, &error), *relays = json_object_get(object, "relays");
    cr_assert_eq(json_array_size(relays), 3, "%s", ran.out);
    json_t *living = json_array_get(relays, 0), *retired = json_array_get(relays, 2);
    cr_assert_str_eq(status_text(living, "relay"), "main");
    cr_assert_str_eq(status_text(living, "leadership"), "leading");
    cr_assert_eq(status_integer(living, "epoch"), 1);
    cr_assert(status_real(living, "retention_seconds") == 86400);
    cr_assert(json_is_null(json_object_get(living, "retired_at")));
    cr_assert_str_eq(status_text(retired, "leadership"), "retired");
    cr_assert_eq(strlen(status_text(retired, "retired_at")), strlen("2026-11-28T12:00:00Z"));
    json_decref(object);
    ran_free(&ran);
    driver_close(driver);
}

Test(commands_relay, retire_in_a_script_wants_yes_and_says_what_is_given_up, .init = open_all,
     .fini = close_all)
{
    outbox_register(&outbox);
    emit_events(outbox.writer, "orders", 3);
    EXPECT(64, "never published by it once it is retired: 3 events", "needs --yes", "retire", "main");
    cr_assert_eq(count("retired_at is null"), 1);
    EXPECT(0, "no other relay is left", "", "retire", "main", "--yes");
    cr_assert_eq(count("retired_at is not null"), 1);
    EXPECT(64, "", "relay \"main\" is retired already", "retire", "main", "--yes");
    EXPECT(64, "", "relay \"nobody\" is not registered", "retire", "nobody", "--yes");
    EXPECT(0, "", "", "add", "main", "--from", "beginning");
    cr_assert_eq(count("retired_at is null"), 1);
}

/* `outboxd relay retire main` on a terminal on which a person types `answer`. */
static int
retire_on_terminal(const char *answer)
{
    char said[TERMINAL_SAID];
    return terminal_run(command_relay, (const char *[]){"relay", "retire", "main", "--config", config, NULL},
                        answer, NULL, "Retire it? Type \"yes\"", said);
}

Test(commands_relay, retire_on_a_terminal_asks, .init = open_all, .fini = close_all)
{
    outbox_register(&outbox);
    cr_assert_eq(retire_on_terminal("y\n"), 64);
    cr_assert_eq(count("retired_at is null"), 1);
    cr_assert_eq(retire_on_terminal("yes\n"), 0);
    cr_assert_eq(count("retired_at is null"), 0);
}

Test(commands_relay, mistakes_on_the_command_line_exit_64, .init = open_all, .fini = close_all)
{
    EXPECT(64, "", "list, add or retire?", "--config", config);
    EXPECT(64, "", "'remove' is none of list, add and retire", "remove");
    EXPECT(64, "", "add needs the name of a relay", "add", "--from", "now");
    EXPECT(64, "", "add needs --from", "add", "search");
    EXPECT(64, "", "neither beginning nor now", "add", "search", "--from", "yesterday");
    EXPECT(64, "", "'a b' is not a name", "add", "a b", "--from", "now");
    EXPECT(64, "", "--source: ''", "add", "search", "--from", "now", "--source", "");
    EXPECT(64, "", "matches no legal topic name", "add", "search", "--from", "now", "--topic", "a b");
    EXPECT(64, "", "--retention: '5'", "add", "search", "--from", "now", "--retention", "5");
    EXPECT(64, "", "list takes no --yes", "list", "--yes");
    EXPECT(64, "", "retire takes no --from", "retire", "main", "--from", "now");
    EXPECT(64, "", "unexpected argument 'more'", "retire", "main", "more");
    EXPECT(64, "", "--from needs a value", "add", "search", "--from");
    EXPECT(64, "", "unknown option --frobnicate", "list", "--frobnicate");
    EXPECT(0, "Usage: outboxd relay list", "", "--help");
    cr_assert_eq(count("true"), 0);
}

Test(commands_relay, what_the_database_does_not_have_exits_69, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.admin, "update outbox.schema_version set version = 1");
    EXPECT(69, "", "the schema is at version 1, this outboxd needs", "list");
    postgres_exec(outbox.admin, "update outbox.schema_version set version = %d", SCHEMA_VERSION);
    postgres_exec(outbox.admin, "revoke execute on function outbox.relay_retire(text) from outbox_relay");
    outbox_register(&outbox);
    EXPECT(69, NULL, "permission denied", "retire", "main", "--yes");
    postgres_exec(outbox.admin, "revoke select on outbox.relay from outbox_relay");
    EXPECT(69, "", "`outboxd check` says more", "list");
}
