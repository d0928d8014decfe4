/* rebase_asks.c: `outboxd rebase --position` says what it would do before it does it, asks a person, and does what was said (P1, P3;
 * row 59). */
#include "relay_setup.h"

#include "command/command.h"
#include "support/scratch.h"
#include "support/terminal.h"

#include <stdlib.h>
#include <string.h>

TestSuite(rebase_asks, .timeout = 180);

/* Of these events the journal knows, these are in Kafka without its knowledge, and these came when the relay was gone. */
enum { KNOWN = 30, HELD = 20, NEW = 5 };

#define SAID                                                                                                 \
    "not confirmed: 25 events; Kafka has 20 of them, which are passed over, and 5 will be published\n"
#define ASKED "Is the journal right? Type \"yes\": "

static void
emit(const struct setup *setup, int events)
{
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, %d) i",
                  setup->topics[0], events);
}

static struct setup
begin(void)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "asked", 1, NULL);
    setup_run(&setup, NULL);
    emit(&setup, KNOWN);
    setup_expect_all_once(&setup, 20000);
    setup_hold_confirmations(&setup);
    emit(&setup, HELD);
    char *published = must_format("outbox_published_total{topic=\"%s\"}", topic);
    wait_for(daemon_metric(setup.relay, published) >= KNOWN + HELD, 20000);
    free(published);
    setup_kill_unconfirmed(&setup);
    emit(&setup, NEW);
    return setup;
}

/* All that it could change. */
static char *
everything(const struct setup *setup)
{
    return postgres_text(
        setup->admin, "select jsonb_build_object('e', (select jsonb_agg(e order by id) from outbox.event e),"
                      " 'j', (select jsonb_agg(j order by seq) from outbox.journal j),"
                      " 's', (select last_value from outbox.event_id_seq))::text");
}

static void
expect_unchanged(const struct setup *setup, char *before)
{
    char *after = everything(setup);
    cr_expect_str_eq(after, before);
    free(after);
    free(before);
}

/* With this option. */
static struct outboxd_result
rebase(const struct setup *setup, const char *option, const char *other)
{
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    return outboxd_run((const char *[]){"rebase", "--conninfo", admin, "--config",
                                        daemon_config_path(setup->relay), "--position", DAEMON_RELAY, option,
                                        option != NULL ? other : NULL, NULL});
}

static void
expect_rebase(const struct setup *setup, const char *option, const char *other, int exit_code,
              const char *out, const char *err)
{
    char *before = everything(setup);
    struct outboxd_result result = rebase(setup, option, other);
    cr_expect(result.exit_code == exit_code && strstr(result.out, out) != NULL &&
                  strstr(result.err, err) != NULL,
              "%d: %s%s", result.exit_code, result.out, result.err);
    outboxd_result_free(&result);
    expect_unchanged(setup, before);
}

Test(rebase_asks, a_dry_run_and_who_cannot_ask_say_what_would_be_published_and_change_nothing__P1__P3)
{
    struct setup setup = begin();
    expect_rebase(&setup, "--dry-run", NULL, 0, SAID, "");
    expect_rebase(&setup, "--dry-run", "--json", 0,
                  "\"unconfirmed\":25,\"passed_over\":20,\"renumbered\":0,\"retried\":0,\"done\":false}\n",
                  "");
    expect_rebase(&setup, NULL, NULL, 64, SAID, "without a terminal to ask on, rebase needs --yes");
    expect_rebase(&setup, "--json", NULL, 64, "", "without a terminal to ask on, rebase needs --yes");
    setup_end(&setup);
}

/* On a terminal on which a person types `answer`. json: the file that takes standard output; NULL: it is for people. */
static int
answer(const struct setup *setup, const char *text, const char *json)
{
    char said[TERMINAL_SAID];
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    const char *arguments[] = {
        "rebase",     "--conninfo", admin, "--config", daemon_config_path(setup->relay),
        "--position", DAEMON_RELAY, NULL,  NULL};
    if (json != NULL)
        arguments[7] = "--json";
    int exit_code = terminal_run(command_rebase, arguments, text, json, ASKED, said);
    cr_expect_not_null(strstr(said, "25 events; Kafka has 20 of them, which are passed over, and 5 will be"),
                       "%s", said);
    return exit_code;
}

Test(rebase_asks, on_a_terminal_no_changes_nothing_and_yes_does_what_was_said__P1__P3)
{
    struct setup setup = begin();
    char *before = everything(&setup), *directory = scratch_directory("asked");
    char *json = must_format("%s/out", directory);
    cr_expect_eq(answer(&setup, "no\n", NULL), 64);
    cr_expect_eq(answer(&setup, "y\n", json), 64);
    expect_unchanged(&setup, before);
    cr_expect_eq(answer(&setup, "yes\n", json), 0);
    char *out = scratch_read_file(json);
    cr_expect(strncmp(out, "{\"relay\":\"main\"", 15) == 0 && strchr(out, '\n') == out + strlen(out) - 1,
              "%s", out);
    cr_expect_not_null(strstr(out, "\"passed_over\":20,\"renumbered\":0,\"retried\":0,\"done\":true}"), "%s",
                       out);
    daemon_again(setup.relay);
    setup_expect_all_once(&setup, 20000);
    free(out), free(json), free(directory);
    setup_end(&setup);
}
