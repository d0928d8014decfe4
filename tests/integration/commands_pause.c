/* commands_pause.c: `outboxd pause` and `outboxd resume` are kept in the database, may be said twice, and say what they mean. */
#include "commands_fixture.h"

#include "command/command.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_pause, .timeout = 60);

static struct outbox outbox;
static char *config;
static struct driver *driver;

static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY, "lease: 1h\n");
    driver = lead_outbox(&outbox);
    postgres_exec(outbox.admin, "update outbox.relay set topics = '{orders,mail.*}'");
}

static void
close_all(void)
{
    driver_close(driver);
    free(config);
    outbox_close(&outbox);
}

static void
expect(int (*command)(int argc, char **argv), int exit_code, const char *out, const char *err,
       const char *topic)
{
    const char *name = command == command_pause ? "pause" : "resume";
    struct ran ran = run_command(command, (const char *[]){name, "--config", config, topic, NULL});
    cr_assert_eq(ran.exit_code, exit_code, "exit code %d: %s%s", ran.exit_code, ran.out, ran.err);
    cr_assert(strstr(ran.out, out) != NULL, "\"%s\" is not in: %s", out, ran.out);
    cr_assert(err[0] != '\0' ? strstr(ran.err, err) != NULL : ran.err[0] == '\0', "\"%s\" is not: %s", err,
              ran.err);
    ran_free(&ran);
}

static int64_t
count(const char *from)
{
    return postgres_int(outbox.relay, "select count(*) from outbox.%s", from);
}

Test(commands_pause, a_topic_is_paused_once_and_resumed_once, .init = open_all, .fini = close_all)
{
    expect(command_pause, 0,
           "topic mail.a is paused for relay main: within a second no event is begun any more, what is in "
           "flight is"
           " finished, and further events wait until `outboxd resume mail.a`\n",
           "", "mail.a");
    cr_expect_eq(count("pause where topic = 'mail.a' and asked_by = 'relay'"), 1);
    expect(command_pause, 0,
           "was paused for relay main already; `outboxd resume mail.a` ends it\n  paused by relay, since ",
           "", "mail.a");
    expect(command_resume, 0, "topic mail.a is resumed for relay main: what has waited is published\n", "",
           "mail.a");
    expect(command_resume, 0,
           "topic mail.a was not paused by hand for relay main, or has just been resumed\n", "", "mail.a");
    cr_expect_eq(count("pause"), 0);
}

Test(commands_pause, without_a_topic_it_is_the_whole_relay, .init = open_all, .fini = close_all)
{
    expect(command_pause, 0, "relay main is paused: within a second no event is begun any more, ", "", NULL);
    cr_expect_eq(count("relay where paused"), 1);
    expect(command_pause, 0, "relay main was paused already", "", NULL);
    expect(command_pause, 0, "topic orders is paused", "", "orders");
    expect(command_resume, 0,
           "topic orders is resumed for relay main: what has waited is published when the relay is resumed, "
           "too\n",
           "relay main is paused; `outboxd resume`", "orders");
    expect(command_resume, 0, "relay main is resumed: what has waited is published\n", "", NULL);
    expect(command_resume, 0, "relay main was not paused\n", "", NULL);
    cr_expect_eq(count("relay where paused"), 0);
}

Test(commands_pause, a_topic_that_is_not_selected_is_warned_of, .init = open_all, .fini = close_all)
{
    expect(command_pause, 0, "topic audit is paused", "relay main does not select topic audit", "audit");
}

/* It is Kafka's doing, and nothing that a resume could end; but whoever has healed it need not wait until it is tried. */
Test(commands_pause, resume_says_why_a_topic_waits_that_nobody_paused_and_has_it_tried, .init = open_all,
     .fini = close_all)
{
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 0, \"to\": 0,"
        " \"after\": 0, \"error\": \"UNKNOWN_TOPIC_OR_PART\", \"message\": \"create it\"}]}')");
    expect(command_resume, 0,
           "it waits because it takes nothing, and is tried again now: UNKNOWN_TOPIC_OR_PART: create it\n",
           "", "orders");
    cr_expect_eq(count("paused_topic where error = 'RESUMED'"), 1);
    expect(command_resume, 0, "RESUMED: somebody has resumed it; before: UNKNOWN_TOPIC_OR_PART: create it\n",
           "", "orders");
    cr_expect_eq(count("paused_topic where message = 'somebody has resumed it; before: "
                       "UNKNOWN_TOPIC_OR_PART: create it'"),
                 1);
}

/* The leader has not seen it yet, and will within a second: there is nothing to be tried, and nobody has refused anything. */
Test(commands_pause, a_second_resume_leaves_alone_what_goes_on_by_itself, .init = open_all, .fini = close_all)
{
    expect(command_pause, 0, "topic orders is paused", "", "orders");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 0, \"to\": 0,"
        " \"after\": 0, \"error\": \"PAUSED\", \"message\": \"somebody has paused it: outboxd resume\"}]}')");
    expect(command_resume, 0, "topic orders is resumed for relay main: what has waited is published\n", "",
           "orders");
    expect(command_resume, 0,
           "topic orders was not paused by hand for relay main, or has just been resumed\n", "", "orders");
    cr_expect_eq(count("paused_topic where error = 'PAUSED' and attempts = 1"), 1);
}

Test(commands_pause, without_a_leader_it_says_that_nothing_goes_out, .init = open_all, .fini = close_all)
{
    static const char nothing[] = "nothing happens until `outboxd run` leads it\n";
    confirm_tick(driver, 0, 0, true);
    expect(command_resume, 0, "relay main was not paused\n", nothing, NULL);
    expect(command_pause, 0,
           "topic orders is paused for relay main: no process leads the relay now, and events wait "
           "until"
           " `outboxd resume orders`\n",
           nothing, "orders");
    expect(command_resume, 0,
           "topic orders is resumed for relay main: what has waited is published as soon as `outboxd run` "
           "leads it\n",
           nothing, "orders");
    expect(command_pause, 0, "relay main is paused: no process leads the relay now, and events wait ",
           nothing, NULL);
    expect(command_resume, 0,
           "relay main is resumed: what has waited is published as soon as `outboxd run` leads it\n", nothing,
           NULL);
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 0, \"to\": 0,"
        " \"after\": 0, \"error\": \"UNKNOWN_TOPIC_OR_PART\", \"message\": \"create it\"}]}')");
    expect(command_resume, 0,
           "it waits because it takes nothing, and is tried first when a leader is there: UNKNOWN", nothing,
           "orders");
}

Test(commands_pause, what_is_no_topic_is_refused, .init = open_all, .fini = close_all)
{
    static const char *const topics[] = {
        "", ".", "..", "__x", "a*", "a b", "a\"b", "a'; drop table outbox.event; --", "\xc3\xa4"};
    char name[251];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        expect(command_pause, 64, "", "is no legal topic name; it is one topic, not a pattern", topics[i]);
    expect(command_resume, 64, "", "is no legal topic name", name);
    expect(command_pause, 0, "is paused", "does not select", name + 1);
    cr_expect_eq(count("pause"), 1);
    struct ran ran =
        run_command(command_pause, (const char *[]){"pause", "--config", config, "a", "b", NULL});
    cr_expect(ran.exit_code == 64 && strstr(ran.err, "unexpected argument b") != NULL, "%s", ran.err);
    ran_free(&ran);
    postgres_exec(outbox.relay, "select outbox.relay_retire('main')");
    expect(command_pause, 78, "", "relay \"main\" was retired", NULL);
}
