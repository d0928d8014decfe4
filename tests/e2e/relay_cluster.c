/* relay_cluster.c: P1, P2 and P3 on a cluster of three brokers, where leaders move while a relay publishes, and on the Kafka of the
 * generation before. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>

TestSuite(relay_cluster, .timeout = 300);

#define BROKERS 3

static void
await_progress(struct story *story)
{
    story_await_events(story, 500);
    story_await_confirmed(story);
}

Test(relay_cluster, brokers_are_restarted_one_by_one_and_killed_under_load__P1_P2_P3__rows_1_2_5)
{
    struct story story;
    story_begin(&story, &(struct story_options){.brokers = BROKERS, .pause_us = 20000});
    story_start_load(&story);
    await_progress(&story);
    for (int node = 1; node <= BROKERS; node++) {
        broker_stop(broker_node(story.broker, node));
        await_progress(&story); /* two replicas are enough, and the leaders have moved to them */
        broker_up(broker_node(story.broker, node));
        story_await_moment(&story, 0, 1000);
    }
    struct broker *victim = broker_node(story.broker, 1 + story_draw(&story, BROKERS));
    broker_kill(victim);
    await_progress(&story);
    daemon_kill(story.relay); /* a relay that begins while a broker is away */
    daemon_again(story.relay);
    await_progress(&story);
    broker_up(victim);
    await_progress(&story);
    story_finish(&story, story.relay);
    story_judge(&story);
    story_end(&story);
}

Test(relay_cluster,
     too_few_replicas_stop_it_until_they_are_enough_and_nothing_is_lost_or_reordered__P1_P2__row_19)
{
    struct story story;
    story_begin(&story, &(struct story_options){.brokers = BROKERS, .keys = 20, .pause_us = 50000});
    story_start_load(&story);
    await_progress(&story);
    broker_kill(broker_node(story.broker, BROKERS));
    await_progress(&story); /* two of three are enough */
    for (int i = 0; i < STORY_TOPICS; i++)
        broker_configure_topic(story.broker, story.topics[i], "min.insync.replicas", "3");
    wait_for(daemon_readiness_is(story.relay, 503, "replicas"), 40000); /* of both leaders */
    int64_t stuck = story_records(&story);
    story_await_events(&story, 500);
    cr_expect_leq(story_records(&story) - stuck, 50, "published although too few replicas have it");
    for (int i = 0; i < STORY_TOPICS; i++)
        broker_configure_topic(story.broker, story.topics[i], "min.insync.replicas", "2");
    await_progress(&story);
    story_finish(&story, story.relay);
    story_judge(&story);
    story_end(&story);
}

Test(relay_cluster, on_kafka_3_9_nothing_is_lost_or_reordered_by_kill_9_of_relay_and_broker__P1_P2)
{
    struct story story;
    story_begin(&story, &(struct story_options){.kafka = "3.9.1", .pause_us = 10000});
    story_start_load(&story);
    for (int i = 0; i < 3; i++) {
        story_await_events(&story, 500);
        story_await_moment(&story, 0, 300);
        daemon_kill(story.relay);
        daemon_again(story.relay);
        story_await_lead(story.relay);
    }
    broker_kill(story.broker);
    story_await_moment(&story, 0, 500);
    broker_up(story.broker);
    story_await_events(&story, 500);
    story_finish(&story, story.relay);
    cr_expect_leq(story_judge(&story).duplicate_runs, 4 * STORY_STREAMS);
    story_end(&story);
}
