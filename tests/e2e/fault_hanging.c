/* fault_hanging.c: calls of librdkafka that block and do not come back, as crashpoint.so has it: they hold up no SIGTERM, and cost an
 * instance of the producer at most. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/crashpoint.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

TestSuite(fault_hanging, .timeout = 400);

#define HIT_MS 30000

/* Calls that have not come back, of all relays so far. */
static int
hanging(const struct crashpoint *crashpoint)
{
    return crashpoint_hits(crashpoint, "action=delay\n");
}

/* Starts the relay, which comes to hang by this rule. */
static void
start_hanging(struct story *story, const struct crashpoint *crashpoint, const char *rule)
{
    int before = hanging(crashpoint);
    story_await_confirmed(story);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    crashpoint_set(crashpoint, rule);
    daemon_again(story->relay);
    crashpoint_unset();
    wait_for(hanging(crashpoint) == before + 1, HIT_MS);
}

/* SIGTERM ends the relay within this time, with 0. */
static void
expect_prompt_end(struct daemon *relay, const char *rule, int most_ms)
{
    int64_t from_us = clock_monotonic_us();
    cr_expect_eq(daemon_terminate(relay), 0, "%s", rule);
    int64_t took_ms = (clock_monotonic_us() - from_us) / 1000;
    fprintf(stderr, "hanging: %s: stopped within %" PRId64 " ms\n", rule, took_ms);
    double allowance_ms = (wait_patience() - 1) * 5000;
    cr_expect_leq((double)took_ms, most_ms + allowance_ms, "%s: %" PRId64 " ms", rule, took_ms);
}

/* All block, and librdkafka may not come back from them: nobody waits for its threads. What is open has 20 s to be finished; a start has
 * nothing open, nor has a relay that does not know its topics yet: their metadata is asked for behind that of the position. */
Test(fault_hanging, exactly_once_a_call_that_hangs_does_not_stop_SIGTERM__P1_P3__row_48)
{
    static const struct {
        const char *rule;
        int most_ms;
    } stuck[] = {{"rd_kafka_init_transactions:1:before:delay=300000", 5000},
                 {"rd_kafka_metadata:1:before:delay=300000", 5000},
                 {"rd_kafka_query_watermark_offsets:1:before:delay=300000", 5000},
                 {"rd_kafka_consume:1:before:delay=300000", 5000},
                 {"rd_kafka_begin_transaction:1:before:delay=300000", 5000},
                 {"rd_kafka_metadata:2:before:delay=300000", 5000},
                 {"rd_kafka_commit_transaction:1:before:delay=300000", 25000},
                 {"rd_kafka_begin_transaction:2:before:delay=300000", 25000}};
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    story_begin(&story, &(struct story_options){.exact = true, .pause_us = 20000});
    story_start_load(&story);
    for (int i = 0; i < (int)(sizeof stuck / sizeof *stuck); i++) {
        start_hanging(&story, crashpoint, stuck[i].rule);
        expect_prompt_end(story.relay, stuck[i].rule, stuck[i].most_ms);
        daemon_again(story.relay);
    }
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    crashpoint_free(crashpoint);
    story_end(&story);
}

/* The relay goes on without the call, when it has waited so long for it. */
static void
go_on_without(bool exact, const char *rule, int patience_ms, const char *words)
{
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    story_begin(&story, &(struct story_options){.exact = exact, .pause_us = 100000});
    story_start_load(&story);
    start_hanging(&story, crashpoint, rule);
    wait_for(daemon_log_contains(story.relay, words), patience_ms + 5000);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    crashpoint_free(crashpoint);
    story_end(&story);
}

/* The first one of a relay: all events wait for it, so none is out. */
Test(fault_hanging, a_question_about_topics_that_hangs_costs_an_instance_and_no_event__P1)
{
    go_on_without(false, "rd_kafka_metadata:1:before:delay=300000", 30000,
                  "librdkafka does not come back from a question about topics");
}

Test(fault_hanging,
     exactly_once_a_question_about_topics_that_hangs_costs_an_instance_and_repeats_nothing__P1_P3)
{
    go_on_without(true, "rd_kafka_metadata:2:before:delay=300000", 30000,
                  "librdkafka does not come back from a question about topics");
}

Test(fault_hanging, exactly_once_a_commit_that_hangs_costs_an_instance_and_repeats_nothing__P1_P3)
{
    go_on_without(true, "rd_kafka_commit_transaction:1:after:delay=300000", 90000,
                  "librdkafka does not come back from a commit");
}

Test(fault_hanging, exactly_once_a_start_that_hangs_costs_an_instance_and_repeats_nothing__P1_P3)
{
    go_on_without(true, "rd_kafka_consume:1:before:delay=300000", 90000,
                  "librdkafka does not come back from its start");
}

Test(fault_hanging, a_question_about_topics_that_hangs_does_not_stop_SIGTERM__P1__row_48)
{
    static const char rule[] = "rd_kafka_metadata:1:before:delay=300000";
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    story_begin(&story, &(struct story_options){.pause_us = 20000});
    story_start_load(&story);
    start_hanging(&story, crashpoint, rule);
    expect_prompt_end(story.relay, rule, 5000);
    daemon_again(story.relay);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    crashpoint_free(crashpoint);
    story_end(&story);
}
