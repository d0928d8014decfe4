/* relay_attempts.c: paused topics by the thousand: what a turn and an event cost, who is tried when, and who ends when (P4: nothing that is
 * put aside harms the others). Without any server: a relay's state, and the functions that nothing is asked in. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW (INT64_C(1000) * 1000000)
#define EVENTS 10000

static struct relay relay;
static struct settings settings;

static void
begin(void)
{
    static char all[] = "*", *patterns[] = {all};
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    relay = (struct relay){.settings = &settings, .state = RELAY_LEADING, .now_us = NOW};
    settings.delivery = DELIVERY_AT_LEAST_ONCE;
    relay.topics = topic_table_new(patterns, 1);
    relay.reader = reader_new(NULL, relay.topics);
    relay.aside.loading = ASIDE_LOADED;
    relay.beside.look_at_us = NOW * 2;
    attempts_init(&relay, 1);
}

static void
end(void)
{
    pipeline_clear(&relay.pipeline);
    side_clear(&relay);
    aside_free(&relay);
    reader_free(relay.reader);
    topic_table_free(relay.topics);
}

TestSuite(relay_attempts, .init = begin, .fini = end, .timeout = 60);

/* As the database says it: paused by an earlier leader for this `error`, and nothing of it is published behind row 7. */
static void
load(int count, const char *error)
{
    struct waiting_topic *rows = calloc((size_t)count, sizeof *rows);
    char(*names)[TOPIC_NAME_SIZE] = calloc((size_t)count, sizeof *names);
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        rows[i] = (struct waiting_topic){
            .name = names[i], .number = i + 1, .from_seq = 7, .to_seq = 8, .error = error, .message = error};
    }
    const struct waiting waiting = {.topics = rows, .topic_count = (size_t)count};
    pauses_take(&relay, &waiting);
    free(rows);
    free(names);
}

static struct pause *
pause_of(int topic)
{
    return relay.beside.pauses[topic];
}

/* ---- costs ---- */

static void
push_events(int topics)
{
    char name[TOPIC_NAME_SIZE];
    struct page *page = page_new(9);
    for (int i = 0; i < EVENTS; i++) {
        int size = snprintf(name, sizeof name, "t%d", i % topics);
        struct event *event = page_add(page);
        event->id = i + 1;
        event->topic = topic_intern(relay.topics, name, (size_t)size);
    }
    pipeline_push(&relay.pipeline, page);
}

static double
cpu_s(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

/* Seconds for so many turns, and for passing over as many events. */
static double
spend(int topics)
{
    begin();
    load(topics, "PAUSED");
    push_events(topics);
    double before = cpu_s();
    for (int i = 0; i < EVENTS; i++) {
        attempts_turn(&relay);
        cr_assert_not(passing_writes(&relay));
        cr_assert_not(side_is_closing(&relay));
        cr_assert_eq(side_deadline(&relay, true), NOW, "all of them want to catch up");
        cr_assert(aside_takes(&relay, pipeline_next(&relay.pipeline)));
    }
    double spent = cpu_s() - before;
    end();
    return spent;
}

Test(relay_attempts, a_turn_and_an_event_cost_the_same_with_ten_and_with_thousands_of_paused_topics__P4)
{
    end();
    double few = spend(10), many = spend(EVENTS);
    begin();
    cr_expect_lt(many, 30 * few + 0.01, "%.6f s with %d topics, %.6f s with 10", many, EVENTS, few);
}

/* Thousands that are refused together are written down with one look at what is in flight. */
Test(relay_attempts, what_it_costs_to_write_pauses_down_does_not_grow_with_their_square__P4)
{
    static const struct outcome why = {.kind = OUTCOME_TOPIC, .name = "UNKNOWN_TOPIC_OR_PART"};
    push_events(EVENTS);
    for (int i = 0; i < EVENTS; i++)
        pauses_refused(&relay, topic_at(relay.topics, (size_t)i), &why, false);
    double before = cpu_s();
    cr_assert(passing_writes(&relay));
    json_t *list = passing_list(&relay);
    cr_assert_eq(json_array_size(list), EVENTS);
    json_decref(list);
    passing_written(&relay, true);
    cr_assert_null(pipeline_next(&relay.pipeline));
    cr_expect_lt(cpu_s() - before, 0.1, "it takes some milliseconds");
}

/* ---- who is tried when ---- */

static void
wait(int64_t ms)
{
    relay.now_us += ms * 1000;
}

static void
refuse(struct pause *pause)
{
    static const struct outcome why = {.kind = OUTCOME_TOPIC, .name = "TOPIC_AUTHORIZATION_FAILED"};
    pauses_refused(&relay, pause->topic, &why, true);
}

/* Brokers know them all, so each is to be tried by sending. */
static void
load_refused(int count)
{
    load(count, "TOPIC_AUTHORIZATION_FAILED");
    for (int i = 0; i < count; i++)
        attempts_go_on(&relay, pause_of(i));
}

Test(relay_attempts,
     of_topics_that_were_refused_when_they_were_sent_one_is_tried_at_a_time_and_ever_more_rarely__P4)
{
    int64_t from_us = relay.now_us, tried = 0;
    load_refused(100);
    while (relay.now_us < from_us + INT64_C(600) * 1000000) {
        struct pause *pause = attempts_next(&relay, PLACE_PROBES);
        if (pause != NULL) {
            tried++;
            refuse(pause);
            cr_assert_null(attempts_next(&relay, PLACE_PROBES), "another one right after a failure");
            cr_assert_gt(attempts_deadline(&relay), relay.now_us);
        }
        cr_assert_null(attempts_next(&relay, PLACE_WORKS));
        wait(100);
    }
    cr_expect(tried >= 10 && tried <= 25, "%d attempts in ten minutes", (int)tried);
}

Test(relay_attempts, a_topic_that_is_taken_again_lets_the_others_follow_at_once)
{
    load_refused(3);
    refuse(attempts_next(&relay, PLACE_PROBES));
    cr_assert_null(attempts_next(&relay, PLACE_PROBES));
    wait(5000);
    struct pause *second = attempts_next(&relay, PLACE_PROBES);
    cr_assert_eq(second, pause_of(1));
    attempts_proved(&relay, second);
    attempts_go_on(&relay, second);
    cr_assert_eq(attempts_next(&relay, PLACE_WORKS), second);
    cr_assert_eq(attempts_next(&relay, PLACE_PROBES), pause_of(2));
}

Test(relay_attempts, a_topic_that_somebody_has_resumed_is_tried_before_all_others_and_at_once)
{
    struct waiting_topic row = {.name = "t2",
                                .number = 3,
                                .from_seq = 7,
                                .to_seq = 8,
                                .error = WAITING_RESUMED,
                                .message = "somebody has resumed it"};
    const struct waiting waiting = {.topics = &row, .topic_count = 1};
    load_refused(3);
    refuse(attempts_next(&relay, PLACE_PROBES));
    cr_assert_null(attempts_next(&relay, PLACE_PROBES));
    pauses_take(&relay, &waiting);
    cr_assert_eq(relay.beside.rest_until_us, relay.now_us, "brokers are asked about it now");
    attempts_go_on(&relay, pause_of(2)); /* they know it */
    cr_assert_eq(attempts_next(&relay, PLACE_PROBES), pause_of(2));
    refuse(pause_of(2));
    pauses_take(&relay, &waiting); /* the database has not heard yet that it was refused again */
    cr_assert_gt(pause_of(2)->retry_at_us, relay.now_us);
}

/* ---- who ends when ---- */

/* A round is published that was short, up to row `to`; the stream has met an event of the topic behind it, and read up to `to`. */
static void
settle_round(struct pause *pause, int64_t to)
{
    pause->passed_seq = to;
    pause->round_from_us = relay.now_us;
    relay.begun_seq = to;
    relay.beside.ending = pause;
    rounds_settled(&relay, pause, SIDE_ROUND, pause->number, to);
}

Test(relay_attempts, one_topic_at_a_time_keeps_ticks_from_being_opened_and_the_stream_goes_on_in_between__P4)
{
    load(3, "PAUSED");
    relay.counters.polls = 1;
    settle_round(pause_of(0), 9);
    cr_assert(side_is_closing(&relay));
    for (int i = 1; i < 3; i++) {
        pause_of(i)->near = true;
        attempts_go_on(&relay, pause_of(i));
    }
    cr_assert_eq(attempts_next(&relay, PLACE_ENDS), pause_of(0));
    settle_round(pause_of(0), 9); /* nothing is left */
    cr_assert_eq(attempts_next(&relay, PLACE_ENDS), pause_of(0));
    rounds_ask(&relay, pause_of(0));
    cr_assert(pause_of(0)->ended);
    cr_assert_not(side_is_closing(&relay));

    cr_assert_eq(attempts_next(&relay, PLACE_ENDS), pause_of(1));
    settle_round(pause_of(1), 9);
    cr_assert_not(side_is_closing(&relay), "the stream has not gone on");
    relay.counters.polls++;
    settle_round(pause_of(1), 10);
    cr_assert(side_is_closing(&relay));
    cr_assert_eq(attempts_next(&relay, PLACE_ENDS), pause_of(1), "it is its turn until it has ended");
}

Test(relay_attempts, a_topic_of_which_the_stream_has_met_nothing_since_ends_without_holding_it_up__P4)
{
    load(2, "PAUSED");
    relay.begun_seq = 9;
    for (int i = 0; i < 2; i++)
        rounds_settled(&relay, pause_of(i), SIDE_ROUND, i + 1, 0); /* up to row 8 */
    pause_of(0)->passed_seq = 8;
    pause_of(1)->passed_seq = 9;
    cr_assert_not(side_is_closing(&relay));
    rounds_ask(&relay, attempts_next(&relay, PLACE_ENDS));
    cr_assert(pause_of(0)->ended);
    cr_assert_null(pause_of(0)->topic->pause, "the stream takes its events again");
    cr_assert_not(pause_of(1)->ended);
}

/* ---- retries ---- */

Test(relay_attempts, a_retry_whose_topic_takes_nothing_lets_ticks_be_opened__P4)
{
    struct event event = {.id = 1, .topic = topic_intern(relay.topics, "t", 1)};
    const struct outcome why = {.kind = OUTCOME_TOPIC, .name = "UNKNOWN_TOPIC_OR_PART"};
    struct side *side = &relay.beside.sides[relay.beside.side_count++];
    *side = (struct side){.request = {.number = 1, .kind = REQUEST_KIND_RETRY, .hold = 1}, .closing = true};
    cr_assert(side_is_closing(&relay));
    side_block(&relay, side, &event, &why);
    cr_assert_not(side_is_closing(&relay));
}

Test(relay_attempts, two_retries_that_close_ticks_leave_a_step_of_the_stream_in_between__P4)
{
    relay.counters.polls = 1;
    cr_assert(side_close(&relay));
    cr_assert_not(side_close(&relay));
    relay.counters.polls++;
    cr_assert(side_close(&relay));
}
