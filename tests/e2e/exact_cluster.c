/* exact_cluster.c: P3 with delivery: exactly-once on three brokers, which coordinate the transactions in turns: restarted, killed, held
 * and moved while one is open. */
#include "e2e/relay_story.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(exact_cluster, .timeout = 300);

#define BROKERS 3
#define FAULT_MS 40000
/* Longer than one request may take (socket.timeout.ms, 10 s), and than a broker's session with the controller. */
#define HELD_MS 12000

static void
begin(struct story *story, bool proxied)
{
    story_begin(story,
                &(struct story_options){
                    .exact = true, .brokers = BROKERS, .proxied = proxied, .keys = 50, .pause_us = 20000});
    story_start_load(story);
    story_await_events(story, 300);
}

static void
await_progress(struct story *story)
{
    story_await_events(story, 300);
    story_await_confirmed(story);
}

static void
end(struct story *story)
{
    await_progress(story);
    story_finish(story, story->relay);
    cr_expect_eq(story_judge(story).duplicates, 0);
    story_end(story);
}

Test(exact_cluster, brokers_are_restarted_one_by_one_and_killed_one_by_one_under_load__P1_P3__rows_1_2_5)
{
    struct story story;
    begin(&story, false);
    for (int node = 1; node <= BROKERS; node++) {
        broker_stop(broker_node(story.broker, node));
        await_progress(&story); /* two replicas are enough, and leaders and coordinator have moved to them */
        broker_up(broker_node(story.broker, node));
        await_progress(&story);
        broker_kill(broker_node(story.broker, node));
        await_progress(&story);
        broker_up(broker_node(story.broker, node));
        story_await_moment(&story, 0, 1000);
    }
    end(&story);
}

/* Each in its turn, so that the active controller and the coordinator are among them. */
Test(exact_cluster, each_broker_and_the_controller_is_held_for_12_s__P1_P3__rows_3_4)
{
    struct story story;
    begin(&story, false);
    for (int node = 1; node <= BROKERS; node++) {
        broker_pause(broker_node(story.broker, node));
        story_await_moment(&story, HELD_MS, HELD_MS);
        broker_continue(broker_node(story.broker, node));
        await_progress(&story);
    }
    end(&story);
}

/* Which broker is asked to end a transaction; the request is held on its way there. */
static int
coordinator(struct story *story)
{
    char *held[BROKERS];
    int found = 0;
    for (int i = 0; i < BROKERS; i++)
        held[i] = must_format(" rule=%d\n",
                              fproxy_rule(story->proxy, "kafka EndTxn listener=%d n=1 hold-request", i + 1));
    for (int64_t end_us = wait_deadline_us(FAULT_MS); found == 0;) {
        cr_assert(wait_turn(end_us), "no transaction ends");
        for (int i = 0; i < BROKERS; i++)
            if (fproxy_faults(story->proxy, held[i]) > 0)
                found = i + 1;
    }
    for (int i = 0; i < BROKERS; i++)
        free(held[i]);
    return found;
}

/* Everything was produced, and the commit was asked for; who coordinates it dies before it hears of that. */
Test(exact_cluster, the_coordinator_is_killed_when_it_is_to_commit__P1_P3__row_6)
{
    struct story story;
    begin(&story, true);
    for (int i = 0; i < 2; i++) {
        int node = coordinator(&story);
        broker_kill(broker_node(story.broker, node));
        fproxy_clear(story.proxy);
        await_progress(&story);
        broker_up(broker_node(story.broker, node));
        await_progress(&story);
    }
    end(&story);
}

Test(exact_cluster, too_few_replicas_are_waited_for_and_nothing_appears_twice__P1_P3__row_19)
{
    struct story story;
    begin(&story, false);
    broker_kill(broker_node(story.broker, BROKERS));
    await_progress(&story); /* two of three are enough */
    for (int i = 0; i < STORY_TOPICS; i++)
        broker_configure_topic(story.broker, story.topics[i], "min.insync.replicas", "3");
    wait_for(daemon_readiness_is(story.relay, 503, "replicas"), FAULT_MS);
    story_await_events(&story, 300);
    for (int i = 0; i < STORY_TOPICS; i++)
        broker_configure_topic(story.broker, story.topics[i], "min.insync.replicas", "2");
    end(&story);
}

/* The relay knows the other two, and hears from them where it is now. */
Test(exact_cluster, a_broker_that_comes_back_at_another_address_is_found__P1_P3__row_18)
{
    struct story story;
    begin(&story, false);
    for (int node = 2; node <= BROKERS; node++) {
        broker_stop(broker_node(story.broker, node));
        broker_move(broker_node(story.broker, node));
        broker_up(broker_node(story.broker, node));
        await_progress(&story);
    }
    end(&story);
}
