/* commands_aside.c: whatever does not flow is seen at a look (P5): `outboxd status` and `outboxd check` show dead letters, paused
 * topics, pauses and what was asked for, with the command that helps. */
#include "commands_leader.h"

#include "command/command.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_aside, .timeout = 60);

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

/* Lines are broken where a terminal ends. */
static void
join_lines(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if (!isspace((unsigned char)*from))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
}

static void
expect_status(const char *want)
{
    struct ran ran = run_status(config, false);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    join_lines(ran.out);
    cr_expect(strstr(ran.out, want) != NULL, "\"%s\" is not in: %s", want, ran.out);
    ran_free(&ran);
}

static json_t *
relay_object(json_t **whole)
{
    struct ran ran = run_status(config, true);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    *whole = json_loads(ran.out, 0, NULL);
    ran_free(&ran);
    return status_relay_of(*whole);
}

/* Topics orders and mail take nothing; somebody has paused mail, too, and audit, which the leader has not noticed yet. */
static void
pause_topics(void)
{
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 0, \"to\": 0,"
        " \"after\": 0, \"error\": \"UNKNOWN_TOPIC_OR_PART\", \"message\": \"create it\"}, {\"topic\":"
        " \"mail\", \"from\": 0, \"to\": 0, \"after\": 0, \"error\": \"PAUSED\", \"message\": \"by "
        "hand\"}]}')");
    postgres_exec(outbox.relay, "select outbox.pause('main', 'mail'), outbox.pause('main', 'audit')");
}

Test(commands_aside, dead_letters_are_in_the_first_line_and_have_their_command__P5, .init = open_all,
     .fini = close_all)
{
    leader_puts_aside(&outbox, 2);
    expect_status("; 1 dead letter, the oldest ");
    expect_status(" s, 2 events held relay main");
    expect_status(" dead 1 dead letter, the oldest refused ");
    expect_status(" ago; 2 events held behind: outboxd dead list ");
    json_t *whole, *relay = relay_object(&whole);
    cr_expect_eq(status_integer(relay, "dead_letters"), 1);
    cr_expect_eq(status_integer(relay, "held_events"), 2);
    cr_expect_lt(status_real(relay, "dead_letter_seconds"), 60);
    json_decref(whole);
}

Test(commands_aside, topics_that_wait_say_why_and_since_when, .init = open_all, .fini = close_all)
{
    pause_topics();
    expect_status("; 3 topics paused ");
    expect_status(" backlog none, not counting paused topics ");
    expect_status(" paused topic audit, by relay, since ");
    expect_status(" ago: outboxd resume audit ");
    expect_status(" paused topic orders, since ");
    expect_status(" ago, refused 1 time: UNKNOWN_TOPIC_OR_PART: create it ");
    json_t *whole, *relay = relay_object(&whole), *topics = json_object_get(relay, "paused_topics");
    cr_assert_eq(json_array_size(topics), 3);
    cr_expect(json_is_null(json_object_get(json_array_get(topics, 0), "error")));
    cr_expect_str_eq(status_text(json_array_get(topics, 1), "asked_by"), "relay");
    cr_expect_str_eq(status_text(json_array_get(topics, 2), "error"), "UNKNOWN_TOPIC_OR_PART");
    cr_expect(json_is_null(json_object_get(json_array_get(topics, 2), "asked_by")));
    json_decref(whole);
}

/* Nobody has refused an event of it. */
Test(commands_aside, a_topic_that_was_paused_by_hand_and_is_resumed_says_when_it_goes_on, .init = open_all,
     .fini = close_all)
{
    pause_topics();
    postgres_exec(outbox.relay, "select outbox.resume('main', 'mail')");
    expect_status(" paused topic mail, since ");
    expect_status(" ago, resumed: it catches up ");
    postgres_exec(outbox.relay, "select outbox.pause('main', null)");
    expect_status(" ago, resumed: it catches up when the relay is resumed ");
    json_t *whole, *relay = relay_object(&whole), *topics = json_object_get(relay, "paused_topics");
    cr_expect_eq(status_integer(json_array_get(topics, 1), "attempts"), 0);
    json_decref(whole);
}

Test(commands_aside, a_paused_relay_is_its_verdict, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.pause('main', null)");
    expect_status("PAUSED: relay main, by hand; backlog none ");
    expect_status(" paused the whole relay, by hand: outboxd resume ");
    json_t *whole, *relay = relay_object(&whole);
    cr_expect_str_eq(status_text(relay, "verdict"), "paused");
    cr_expect(json_is_true(json_object_get(relay, "paused")));
    json_decref(whole);
    confirm_tick(driver, 0, 0, true);
    expect_status("NO LEADER: relay main was stopped "); /* that is worse */
}

Test(commands_aside, what_was_asked_for_is_shown_with_how_far_it_is, .init = open_all, .fini = close_all)
{
    leader_puts_aside(&outbox, 0);
    postgres_exec(outbox.relay, "select outbox.dead_retry('main', 1)");
    postgres_exec(
        outbox.relay,
        "select outbox.replay('main', 1, 900, null, null, null, null, null) from generate_series(1, 6)");
    postgres_exec(outbox.relay, "select outbox.request_settle('main', 2, 40, 12, null, null)");
    expect_status(" asked for retry 1 of event 1, by relay, ");
    expect_status(" replay 2, by relay, ");
    expect_status(" ago: 12 events sent, up to id 40 ");
    expect_status(" and 2 more ");
    json_t *whole, *relay = relay_object(&whole), *requests = json_object_get(relay, "requests");
    cr_expect_eq(status_integer(relay, "open_requests"), 7);
    cr_assert_eq(json_array_size(requests), 7);
    cr_expect_eq(status_integer(json_array_get(requests, 0), "event_id"), 1);
    cr_expect_eq(status_integer(json_array_get(requests, 1), "progress_id"), 40);
    cr_expect_eq(status_integer(json_array_get(requests, 1), "last_id"), 900);
    json_decref(whole);
}

Test(commands_aside, a_slot_that_is_held_says_what_holds_it, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.admin,
                  "insert into outbox.event (topic, slot, created_at) select 't', 3, now() - interval '2 d'"
                  " from generate_series(1, 2)");
    outbox_confirm_all(&outbox, "main");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"dead\": [{\"id\": 1, \"tick\": 1, \"hold\": 7, \"error\": \"E\","
        " \"message\": \"m\"}], \"held\": [[2, 1, 7]]}')");
    expect_status(": an event of it waits behind a dead letter ");
}

Test(commands_aside, one_event_of_a_slot_is_one, .init = open_all, .fini = close_all)
{
    emit_events(outbox.writer, "t", 1);
    expect_status("about 1 event, ");
}

/* Kafka is not there, which is an error of its own. */
Test(commands_aside, check_warns_of_each_with_the_command_that_helps, .init = open_all, .fini = close_all)
{
    static const char *const wants[] = {
        "warning relay \"main\" has 1 dead letter, the oldest refused ",
        " ago, and 2 events held behind outboxd dead list says which and why; outboxd dead retry when the "
        "cause is gone ",
        "warning relay \"main\" is paused: it publishes nothing outboxd resume ",
        "warning topic mail of relay \"main\" is paused by relay, since ",
        " ago: its events wait outboxd resume mail ",
        "warning topic orders of relay \"main\" has taken nothing since ",
        " ago: its events wait: UNKNOWN_TOPIC_OR_PART create it ",
        " 1 error, 5 warnings ",
    };
    leader_puts_aside(&outbox, 2);
    pause_topics();
    postgres_exec(outbox.relay, "select outbox.pause('main', null)");
    struct ran ran = run_command(command_check, (const char *[]){"check", "--config", config, NULL});
    join_lines(ran.out);
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++)
        cr_expect(strstr(ran.out, wants[i]) != NULL, "\"%s\" is not in: %s", wants[i], ran.out);
    ran_free(&ran);
}
