/* schema_aside_shared.c: two dead letters of one key. What was published once may be refused when it is sent again, in front of a dead letter of
 * its key, and joins its hold: they are retried and discarded in the order of the stream, each with what waits up to the next one (I2). */
#include "commands_fixture.h"

#include "base/clock.h"
#include "command/command.h"
#include "postgres/waiting.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(schema_aside_shared, .timeout = 60);

#define ALL "9223372036854775807"

static struct outbox outbox;
static struct driver *driver;
static struct topic_table *topics;

/* Dead letter 4 of tick 5 holds 6 and 7. Then its topic catches up in a round of ticks up to 9, and comes to 2, which is refused, to 3, and to
 * those that are there. */
static void
open_all(void)
{
    static char every[] = "*", *const all[] = {every};
    topics = topic_table_new(all, 1);
    outbox = outbox_open();
    driver = lead_outbox(&outbox);
    postgres_exec(outbox.writer,
                  "insert into outbox.event (topic, key, payload) select 'orders', 'k', 'x' from "
                  "generate_series(1, 7)");
    postgres_exec(outbox.relay,
                  "select outbox.put_aside('main', '{\"dead\": [{\"id\": 4, \"tick\": 5, \"hold\": 4, "
                  "\"error\": \"E\", \"message\": \"m\"}], \"held\": [[6, 6, 4], [7, 11, 4]]}')");
    postgres_exec(outbox.relay,
                  "select outbox.put_aside('main', '{\"dead\": [{\"id\": 2, \"tick\": 9, \"hold\": 4, "
                  "\"error\": \"E\", \"message\": \"m\"}], \"held\": [[3, 9, 4], [6, 9, 4]]}')");
}

static void
close_all(void)
{
    driver_close(driver);
    outbox_close(&outbox);
    topic_table_free(topics);
}

#define LETTERS                                                                                              \
    "select string_agg(concat_ws('/', tick, event_id, hold), ' ' order by tick, event_id) from "             \
    "outbox.dead_letter"
#define HELD                                                                                                 \
    "select string_agg(concat_ws('/', tick, event_id, hold), ' ' order by tick, event_id) from "             \
    "outbox.held_event"

static int64_t
ask(const char *function)
{
    return postgres_int(outbox.relay, "select outbox.%s", function);
}

static void
settle(int64_t number, const char *progress, const char *outcome, const char *refused)
{
    postgres_exec(outbox.relay, "select outbox.request_settle('main', %" PRId64 ", %s, 1, %s, %s)", number,
                  progress, outcome, refused);
}

/* Of those that wait for the leader: "1 of 2 shared" when a dead letter of the hold stands behind it. */
static char *
what_waits(void)
{
    struct error error;
    struct waiting waiting = {0};
    const struct waiting_wish wish = {.without = "{}"};
    char *text = must_strdup("");
    waiting_ask(driver->session, "main", &wish, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read(driver->session, &waiting, &error), "%s", error.message);
    for (size_t i = 0; i < waiting.request_count; i++) {
        const struct waiting_request *request = &waiting.requests[i];
        char *longer = must_format("%s%" PRId64 " of %" PRId64 "%s;", text, request->number,
                                   request->event_id, request->next_id != 0 ? " shared" : "");
        free(text);
        text = longer;
    }
    waiting_clear(&waiting);
    return text;
}

static void
expect_waits(const char *want)
{
    char *text = what_waits();
    cr_expect_str_eq(text, want);
    free(text);
}

/* Ids of the page that the leader reads for it. */
static void
expect_page(int64_t event_id, int64_t progress, const char *want)
{
    struct error error;
    struct waiting_page read;
    const struct waiting_request request = {
        .number = 1, .kind = REQUEST_KIND_RETRY, .event_id = event_id, .hold = 4, .progress = progress};
    char text[100] = "";
    waiting_ask_held(driver->session, "main", &request, 100, 1 << 20, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read_page(driver->session, topics, request.kind, &read, &error), "%s", error.message);
    for (size_t i = 0; i < read.page->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%" PRId64 " ", read.page->events[i].id);
    page_free(read.page);
    cr_expect_str_eq(text, want);
}

Test(schema_aside_shared, one_that_joins_a_hold_stands_before_those_of_it_with_later_ids__I2,
     .init = open_all, .fini = close_all)
{
    EXPECT_TEXT("9/2/4 9/4/4", LETTERS);
    EXPECT_TEXT("9/3/4 9/6/4 11/7/4", HELD);
}

/* What is held is placed anew by those that write it down again. */
Test(schema_aside_shared, a_round_that_ends_places_the_dead_letters_that_it_has_passed_in_its_tick__I2,
     .init = open_all, .fini = close_all)
{
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 8, \"to\": "
        "12, \"after\": 0, \"error\": \"E\", \"message\": \"m\"}, {\"topic\": \"mails\", "
        "\"from\": 1, \"to\": 99, \"after\": 0, \"error\": \"E\", \"message\": \"m\"}]}')");
    static const char round[] = "9223372036854775806";
    const struct {
        const char *topic, *progress, *want;
    } steps[] = {
        {"mails", round, "9/2/4 9/4/4"}, {"orders", "4", "9/2/4 9/4/4"}, {"orders", round, "12/2/4 12/4/4"}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        postgres_exec(outbox.relay,
                      "select outbox.topic_settle('main', number, %s, null, null, null) from "
                      "outbox.paused_topic where topic = '%s'",
                      steps[i].progress, steps[i].topic);
        EXPECT_TEXT(steps[i].want, LETTERS);
    }
}

Test(schema_aside_shared, the_later_one_waits_for_the_earlier_one_which_takes_what_is_before_it__I2,
     .init = open_all, .fini = close_all)
{
    cr_expect_eq(ask("dead_discard('main', 4, 'x')"), 1);
    expect_waits("");
    cr_expect_eq(ask("dead_retry('main', 2)"), 2);
    expect_waits("2 of 2 shared;");
    expect_page(2, 0, "2 3 ");
    expect_page(2, 3, "3 ");
    settle(2, ALL, "'done'", "null");
    EXPECT_TEXT("9/4/4", LETTERS);
    EXPECT_TEXT("9/6/4 11/7/4", HELD);
    expect_waits("1 of 4;");
    settle(1, ALL, "'done'", "null");
    EXPECT_TEXT("0 0 4",
                "select concat_ws(' ', (select count(*) from outbox.dead_letter), (select count(*) from "
                "outbox.held_event), (select string_agg(event_id::text, ' ') from outbox.discarded))");
}

Test(schema_aside_shared, what_is_between_them_and_is_refused_comes_first_then__I2, .init = open_all,
     .fini = close_all)
{
    cr_expect_eq(ask("dead_retry('main', 2)"), 1);
    settle(1, "2", "'event 3 was refused: E'", "'{\"id\": 3, \"error\": \"E\", \"message\": \"m\"}'");
    EXPECT_TEXT("9/3/4 9/4/4", LETTERS);
    EXPECT_TEXT("9/6/4 11/7/4", HELD);
    cr_expect_eq(ask("dead_retry('main', 4)"), 2);
    cr_expect_eq(ask("dead_retry('main', 3)"), 3);
    expect_waits("3 of 3 shared;");
    expect_page(3, 0, "3 ");
    expect_page(4, 0, "4 6 7 ");
}

Test(schema_aside_shared, whoever_asks_for_the_later_one_is_told_what_it_waits_for__P5, .init = open_all,
     .fini = close_all)
{
    char *config = command_config(&outbox, POSTGRES_RELAY, "lease: 1h\n");
    ask("dead_retry('main', 4)");
    expect_ran(run_with(command_dead, "dead", config, (const char *[]){"list", NULL}), 0,
               "retry 1 waits: HELD: dead letter 2 of its key stands before it: retry or discard that one\n",
               "");
    free(config);
}
