/* exact_proxy.c: P3 with delivery: exactly-once behind the fault proxy: requests of a transaction, and their answers, that are lost, late
 * or twice. The position is a record of the transaction itself, so it goes by Produce, too, and by no request of a consumer group. */
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(exact_proxy, .timeout = 240);

#define FAULT_MS 40000

static void
begin(struct story *story, int brokers)
{
    story_begin(story,
                &(struct story_options){
                    .exact = true, .proxied = true, .brokers = brokers, .keys = 20, .pause_us = 10000});
    story_start_load(story);
    story_await_events(story, 300);
}

/* From here on nothing is disturbed. */
static void
end(struct story *story)
{
    fproxy_clear(story->proxy);
    story_await_events(story, 200);
    story_await_confirmed(story);
    story_finish(story, story->relay);
    cr_expect_eq(story_judge(story).duplicates, 0);
    story_end(story);
}

Test(exact_proxy, the_answer_to_a_commit_that_is_lost_with_its_connection_commits_once__P3__row_8)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka EndTxn every=7 rst-response", 10);
    story_inflict(&story, "kafka EndTxn every=7 cut-response", 5);
    story_inflict(&story, "kafka EndTxn every=7 rst-request", 5);
    end(&story);
}

Test(exact_proxy, the_answer_to_a_commit_that_never_comes_commits_once__P3__rows_8_16)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka EndTxn n=3 drop-response", 1);
    wait_for(daemon_log_contains(story.relay, "Timed out EndTxnRequest"), FAULT_MS);
    story_await_confirmed(&story);
    end(&story);
}

/* The commit is sent again by another connection and succeeds; the first copy arrives when later transactions are open, and must
 * not end one of them (KAFKA-17754): it has the epoch of an instance that is gone. */
Test(exact_proxy, a_commit_that_arrives_during_a_later_transaction_ends_none_of_them__P1_P3__row_9)
{
    struct story story;
    begin(&story, 1);
    double before = story_instances(&story);
    story_inflict(&story, "kafka EndTxn n=5 hold-request", 1);
    wait_for(story_instances(&story) > before, FAULT_MS);
    story_await_events(&story, 200);
    story_await_confirmed(&story);
    story_release(&story);
    end(&story);
}

Test(exact_proxy, answers_to_produce_that_are_lost_repeat_nothing__P3__rows_10_12)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka Produce every=10 rst-response", 10);
    story_inflict(&story, "kafka Produce n=3 drop-response", 1);
    wait_for(daemon_log_contains(story.relay, "Timed out ProduceRequest"), FAULT_MS);
    story_await_confirmed(&story);
    end(&story);
}

Test(exact_proxy, connections_that_break_after_64_kib_or_within_a_request_repeat_nothing__P3__row_11)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka * kb=64 rst-request", 5);
    story_inflict(&story, "kafka Produce every=5 cut-request", 3);
    story_inflict(&story, "kafka Produce every=5 cut-response=6", 3);
    story_inflict(&story, "kafka Produce every=5 half-close-request", 2);
    story_inflict(&story, "kafka * every=11 half-close-response", 2);
    end(&story);
}

Test(exact_proxy, requests_that_reach_the_broker_twice_count_once__P3__rows_9_10)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka Produce every=3 duplicate", 20);
    story_inflict(&story, "kafka EndTxn every=3 duplicate", 20);
    story_inflict(&story, "kafka AddPartitionsToTxn every=3 duplicate", 10);
    end(&story);
}

/* A partition, and the position's, joins a transaction by a request of its own. */
Test(exact_proxy, a_partition_whose_joining_is_lost_joins_once__P3__rows_6_12)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "kafka AddPartitionsToTxn every=7 rst-response", 5);
    story_inflict(&story, "kafka AddPartitionsToTxn every=7 rst-request", 5);
    end(&story);
}

/* Each request of a start: who am I, which is my epoch, where was I. */
Test(exact_proxy, lost_requests_of_a_start_delay_it_and_nothing_else__P1_P3__row_13)
{
    static const char *const rules[] = {
        "kafka InitProducerId n=1..3 rst-response",  "kafka InitProducerId n=1..3 rst-request",
        "kafka FindCoordinator n=1..2 rst-response", "kafka ListOffsets n=1..2 rst-response",
        "kafka Fetch n=1..2 cut-response=9",
    };
    struct story story;
    begin(&story, 1);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        cr_assert_eq(daemon_terminate(story.relay), 0);
        int rule = fproxy_rule(story.proxy, "%s", rules[i]);
        daemon_again(story.relay);
        wait_for(fproxy_seen(story.proxy, rule) > (i < 2 ? 3 : 2), FAULT_MS);
        story_await_confirmed(&story);
        fproxy_clear(story.proxy);
    }
    end(&story);
}

/* The journal follows Kafka, and does not know what it has written. */
Test(exact_proxy, answers_of_the_journal_lost_with_their_connection_repeat_nothing__P1_P3__row_57)
{
    struct story story;
    begin(&story, 1);
    story_inflict(&story, "postgres outboxd_step every=20 rst-response", 10);
    story_inflict(&story, "postgres outboxd_step every=30 rst-request", 5);
    story_inflict(&story, "postgres outboxd_page every=5 cut-response", 5);
    end(&story);
}

/* The last bytes of Produce, and of an answer to Fetch, are records, which a checksum guards: the broker looks at it, and whoever reads the
 * position. */
Test(exact_proxy, records_that_change_on_their_way_are_refused_and_sent_or_read_again__P1_P3_P5)
{
    struct story story;
    begin(&story, 1);
    for (int i = 0; i < 5; i++) {
        double before = story_instances(&story);
        story_inflict(&story, "kafka Produce n=2 corrupt-request=100", 1);
        wait_for(story_instances(&story) > before, FAULT_MS);
        story_await_confirmed(&story);
    }
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(daemon_terminate(story.relay), 0);
        int rule = fproxy_rule(story.proxy, "kafka Fetch n=1 corrupt-response=150");
        daemon_again(story.relay);
        wait_for(fproxy_fired(story.proxy, rule) == 1, FAULT_MS);
        fproxy_clear(story.proxy);
        story_await_confirmed(&story);
    }
    cr_expect_not(daemon_log_contains(story.relay, "dead letter"));
    cr_expect(daemon_log_contains(story.relay, "error=_BAD_MSG"), "no position was damaged");
    end(&story);
}
