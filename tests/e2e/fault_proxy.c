/* fault_proxy.c: the relay behind the fault proxy: what a network does to requests and answers at the worst moment, each fault counted
 * in the proxy's log. The kit itself is judged here too: a fault that did not happen, or happened once more, fails the test. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

TestSuite(fault_proxy, .timeout = 240);

/* socket.timeout.ms, and what a busy machine adds */
#define GIVEN_UP_MS (10000 + 5000)
#define FAULT_MS 30000

static void
begin(struct story *story, int brokers, int pause_us)
{
    story_begin(story, &(struct story_options){
                           .proxied = true, .brokers = brokers, .keys = 20, .pause_us = pause_us});
    story_start_load(story);
    story_await_events(story, 500);
}

/* A rule, and so many faults by it. */
static void
inflict(struct story *story, const char *rule, int faults)
{
    char *line = must_format(" rule=%d\n", fproxy_rule(story->proxy, "%s", rule));
    wait_for(fproxy_faults(story->proxy, line) >= faults, FAULT_MS);
    free(line);
}

/* Nothing lost or reordered; at most one run for each stream and fault. */
static struct verdict
end(struct story *story, size_t faults)
{
    fproxy_clear(story->proxy);
    story_await_events(story, 200);
    story_finish(story, story->relay);
    struct verdict verdict = story_judge(story);
    cr_expect_leq(verdict.duplicate_runs, faults * STORY_STREAMS);
    story_end(story);
    return verdict;
}

Test(fault_proxy, an_answer_of_produce_that_is_lost_is_awaited_and_repeats_nothing__P1_P2_P3__rows_10_16)
{
    struct story story;
    begin(&story, 1, 20000);
    double instances = daemon_metric(story.relay, "outbox_producer_instances_total");
    inflict(&story, "kafka Produce n=3 drop-response", 1);
    /* the request is given up and repeated: the broker knows its sequence, and appends it once */
    story_await_confirmed(&story);
    cr_expect_eq(fproxy_faults(story.proxy, "kind=Produce n=3 action=drop-response"), 1);
    cr_expect_eq(fproxy_faults(story.proxy, "\n"), 1, "another fault than the one of the rule");
    cr_expect_eq(daemon_metric(story.relay, "outbox_producer_instances_total"), instances);
    cr_expect_eq(end(&story, 0).duplicates, 0);
}

Test(fault_proxy, an_answer_of_produce_lost_with_its_connection_repeats_nothing__P1_P2_P3__row_10)
{
    struct story story;
    begin(&story, 1, 20000);
    inflict(&story, "kafka Produce every=20 rst-response", 10);
    end(&story, 10);
}

Test(fault_proxy, connections_that_break_after_64_kb_lose_and_reorder_nothing__P1_P2__row_11)
{
    struct story story;
    begin(&story, 1, 5000);
    inflict(&story, "kafka * kb=64 rst-request", 5);
    inflict(&story, "kafka * kb=64 cut-request", 5);
    end(&story, 1000);
}
