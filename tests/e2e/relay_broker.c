/* relay_broker.c: P1, P2 and P3 when the broker is killed, hangs, or is away for longer than the relay's time-outs. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>

TestSuite(relay_broker, .timeout = 240);

/* Longer than one request may take (socket.timeout.ms, 10 s): requests are given up and repeated while the broker still
 * has the first copies in its socket, and appends them with nobody listening to the answer. */
#define PAUSE_MS 15000
/* Longer than every time-out that an event in flight could meet: four requests, the 30 s of librdkafka's default
 * transaction and metadata time-outs, and the 20 s of a clean stop. No event may expire at all: message.timeout.ms is as
 * large as it gets, because an expired message would be overtaken by the next one of its key. */
#define OUTAGE_MS 45000
/* I6, with `memory` at its default of 64 MiB and events of 60,000 bytes at most */
#define RSS_KIB ((64 + 64) * 1024 + 3 * 64)

Test(relay_broker, nothing_is_lost_or_reordered_when_the_broker_is_killed_under_load_twice__P1_P2__row_1)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true, .keys = 20});
    story_start_load(&story);
    for (int i = 0; i < 2; i++) {
        story_await_events(&story, 1000);
        story_await_moment(&story, 0, 500);
        broker_kill(story.broker);
        story_await_moment(&story, 0, 500);
        broker_up(story.broker);
    }
    story_await_events(&story, 1000);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, 2 * STORY_STREAMS);
    story_end(&story);
}

Test(relay_broker,
     nothing_is_lost_or_reordered_when_the_broker_hangs_and_then_is_away_for_45_s__P1_P2__rows_2_3_10)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true, .keys = 20, .pause_us = 50000});
    story_start_load(&story);
    story_await_events(&story, 1000);
    double instances = daemon_metric(story.relay, "outbox_producer_instances_total");
    broker_pause(story.broker);
    story_await_moment(&story, PAUSE_MS, PAUSE_MS);
    broker_continue(story.broker);
    story_await_confirmed(&story);
    broker_stop(story.broker);
    story_await_moment(&story, OUTAGE_MS, OUTAGE_MS);
    cr_expect_leq(daemon_peak_rss_kib(story.relay), RSS_KIB, "the outage filled the memory: %ld KiB",
                  daemon_peak_rss_kib(story.relay));
    broker_up(story.broker);
    story_await_events(&story, 500);
    story_await_confirmed(&story);
    cr_expect_eq(daemon_metric(story.relay, "outbox_producer_instances_total"), instances,
                 "an event expired, or patience ended otherwise: the producer was made anew");
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, 2 * STORY_STREAMS);
    story_end(&story);
}

Test(relay_broker, a_second_sigterm_ends_a_stop_that_waits_for_the_broker_and_loses_nothing__P1__row_48)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_broker = true});
    story_start_load(&story);
    story_await_events(&story, 500);
    /* its topics are known by now: whatever is committed later is handed over, whether or not the broker answers */
    wait_for(daemon_metric(story.relay, "outbox_publish_latency_seconds_count") > 300, 20000);
    broker_pause(story.broker);
    wait_for(daemon_metric(story.relay, "outbox_in_flight_events") > 0, 20000);
    kill(daemon_pid(story.relay), SIGTERM);
    wait_for(daemon_log_contains(story.relay, "to=draining"), 10000);
    cr_expect(daemon_running(story.relay), "it did not wait for what is in flight");
    int64_t asked_us = clock_monotonic_us();
    cr_expect_eq(daemon_terminate(story.relay), 0);
    cr_expect_lt(clock_monotonic_us() - asked_us, 4000000, "asked twice, it still waited");
    cr_expect(daemon_log_contains(story.relay, "as asked twice"), "it had nothing to wait for");
    broker_continue(story.broker);
    daemon_again(story.relay);
    story_finish(&story, story.relay);
    cr_expect_leq(story_judge(&story).duplicate_runs, STORY_STREAMS);
    story_end(&story);
}
