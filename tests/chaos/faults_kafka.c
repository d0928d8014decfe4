/* faults_kafka.c: what happens to the three brokers. Leaders of partitions and coordinators of transactions move with each of these, and
 * back by themselves a quarter of a minute later. */
#include "chaos/faults.h"

#include "support/wait.h"

#include <stdio.h>

/* The `further`-th one behind the one that was drawn. */
static struct broker *
node(struct stage *stage, const struct strike *strike, unsigned further)
{
    return broker_node(stage->broker, 1 + (int)((strike->pick + further) % BROKER_NODES));
}

static void
name_one(struct strike *strike)
{
    snprintf(strike->victim, sizeof strike->victim, "node %u", 1 + strike->pick % BROKER_NODES);
}

static void
name_two(struct strike *strike)
{
    snprintf(strike->victim, sizeof strike->victim, "nodes %u and %u", 1 + strike->pick % BROKER_NODES,
             1 + (strike->pick + 1) % BROKER_NODES);
}

static void
kill_one(struct stage *stage, struct strike *strike)
{
    name_one(strike);
    broker_kill(node(stage, strike, 0));
}

static void
stop_one(struct stage *stage, struct strike *strike)
{
    name_one(strike);
    broker_stop(node(stage, strike, 0));
}

static void
start_one(struct stage *stage, struct strike *strike)
{
    broker_up(node(stage, strike, 0));
}

static void
restart_each(struct stage *stage, struct strike *strike)
{
    for (unsigned i = 0; i < BROKER_NODES; i++) {
        struct broker *broker = node(stage, strike, i);
        broker_stop(broker);
        broker_up(broker);
        stage_wait(stage, strike->length_ms / BROKER_NODES);
    }
}

static void
pause_one(struct stage *stage, struct strike *strike)
{
    name_one(strike);
    broker_pause(node(stage, strike, 0));
}

static void
continue_one(struct stage *stage, struct strike *strike)
{
    broker_continue(node(stage, strike, 0));
    broker_await_cluster(stage->broker);
}

/* ---- two, or all ---- */

static void
kill_two(struct stage *stage, struct strike *strike)
{
    name_two(strike);
    broker_kill(node(stage, strike, 0));
    broker_kill(node(stage, strike, 1));
}

static void
start_all(struct stage *stage, struct strike *strike)
{
    (void)strike;
    broker_up_cluster(stage->broker);
}

static void
pause_two(struct stage *stage, struct strike *strike)
{
    name_two(strike);
    broker_pause(node(stage, strike, 0));
    broker_pause(node(stage, strike, 1));
}

static void
continue_two(struct stage *stage, struct strike *strike)
{
    broker_continue(node(stage, strike, 0));
    broker_continue(node(stage, strike, 1));
    broker_await_cluster(stage->broker);
}

static void
kill_all(struct stage *stage, struct strike *strike)
{
    for (unsigned i = 0; i < BROKER_NODES; i++)
        broker_kill(node(stage, strike, i));
}

/* Acknowledged by all three, of which one is away. */
static void
demand_replicas(struct stage *stage, const char *number)
{
    for (int i = 0; i < STAGE_TOPICS; i++)
        broker_configure_topic(stage->broker, stage->topics[i], "min.insync.replicas", number);
}

/* A change of min.insync.replicas makes Kafka forget who may lead besides those in sync (KIP-966): where the last of them is fenced just
 * then, the partition has no leader for good. */
static void
await_replicas(struct stage *stage)
{
    for (int i = 0; i < STAGE_TOPICS; i++)
        wait_for(broker_in_sync(stage->broker, stage->topics[i]) == BROKER_NODES, 60000);
}

static void
lack_replicas(struct stage *stage, struct strike *strike)
{
    name_one(strike);
    await_replicas(stage);
    demand_replicas(stage, "3");
    broker_kill(node(stage, strike, 0));
}

static void
have_replicas(struct stage *stage, struct strike *strike)
{
    start_one(stage, strike);
    await_replicas(stage);
    demand_replicas(stage, "2");
}

/* ---- a topic, which refuses events until it takes them again ---- */

static const char *
topic(const struct stage *stage, struct strike *strike)
{
    strike->at = (int)(strike->pick % STAGE_TOPICS);
    snprintf(strike->victim, sizeof strike->victim, "topic %d", strike->at + 1);
    return stage->topics[strike->at];
}

static void
limit_events(struct stage *stage, struct strike *strike)
{
    broker_configure_topic(stage->broker, topic(stage, strike), "max.message.bytes", strike->words);
}

static void
unlimit_events(struct stage *stage, struct strike *strike)
{
    broker_configure_topic(stage->broker, topic(stage, strike), "max.message.bytes", "1048588");
}

static const struct fault faults[] = {
    /* name, weight, shortest and longest in ms, words, inject, during, heal, takeover */
    {"kill -9 of a broker", 5, 200, 6000, NULL, kill_one, NULL, start_one, false},
    {"a broker restarted", 3, 0, 3000, NULL, stop_one, NULL, start_one, false},
    {"all brokers restarted, one after the other", 2, 0, 9000, NULL, restart_each, NULL, NULL, false},
    {"SIGSTOP of a broker for 5 s", 3, 5000, 5000, NULL, pause_one, NULL, continue_one, false},
    {"SIGSTOP of a broker for 15 s", 2, 15000, 15000, NULL, pause_one, NULL, continue_one, false},
    {"SIGSTOP of a broker for 35 s", 1, 35000, 35000, NULL, pause_one, NULL, continue_one, false},
    {"kill -9 of two brokers", 2, 1000, 12000, NULL, kill_two, NULL, start_all, false},
    {"SIGSTOP of two brokers", 2, 3000, 12000, NULL, pause_two, NULL, continue_two, false},
    {"kill -9 of all brokers", 1, 500, 6000, NULL, kill_all, NULL, start_all, false},
    {"too few replicas", 2, 2000, 10000, NULL, lack_replicas, NULL, have_replicas, false},
    {"a topic takes small events only", 2, 1000, 8000, "{300..3000}", limit_events, NULL, unlimit_events,
     false},
};

const struct fault_list faults_kafka = {"Kafka", faults, sizeof faults / sizeof *faults};
