/* model.c: see model.h. */
#include "simulator/model.h"

#include <string.h>

struct model model;

static const char *const topics[] = {"orders", "mails", "dead"};
static const char *const keys[] = {"anna", "ben", "carla", "dora", "emil", "finn", NULL};

/* Small batches, small memory, short transactions: with few events many pages, so that every edge comes up. The lease is short, because
 * simulated time costs turns. */
static void
draw_settings(struct settings *settings)
{
    static char file[] = "c.yaml", source[] = "shop", relay[] = "main", all[] = "*", copies[] = "dead",
                *patterns[] = {all};
    static const int64_t leases[] = {200 * MS, 500 * MS, 3000 * MS};
    settings->file = file;
    settings->source = source;
    settings->relay = relay;
    settings->topics = patterns;
    settings->topics_count = 1;
    settings->delivery = world_chance(60) ? DELIVERY_EXACTLY_ONCE : DELIVERY_AT_LEAST_ONCE;
    settings->transaction_events = world_between(1, 40);
    settings->transaction_time_us = world_between(5, 200) * MS;
    settings->poll_busy_us = world_between(1, 5) * MS;
    settings->poll_idle_us = world_between(10, 40) * MS;
    settings->batch_events = world_chance(30) ? world_between(1, 3) : world_between(4, 100);
    settings->batch_bytes = world_between(1000, 200000);
    settings->memory_bytes = world_chance(30) ? world_between(1000, 20000) : 1000000;
    settings->retention_us = 86400 * 1000 * MS;
    settings->lease_us = leases[world_between(0, 2)];
    settings->dead_letter_policy = world_chance(70)   ? DEAD_LETTER_HOLD_KEY
                                   : world_chance(50) ? DEAD_LETTER_SKIP
                                                      : DEAD_LETTER_STOP;
    settings->dead_letter_topic = world_chance(25) ? copies : NULL;
}

void
model_begin(void)
{
    model = (struct model){.switches = world_chance(25),
                           .keys = (int)world_between(1, MODEL_KEYS),
                           .events = (int)world_between(10, 90),
                           .chaos_us = world_between(500, 4000) * MS,
                           .postgres_percent = world_chance(50) ? (int)world_between(0, 6) : 0,
                           .kafka_percent = world_chance(60) ? (int)world_between(0, 12) : 0,
                           .stretched_percent = (int)world_between(0, 60),
                           .sequence_log = (int)world_between(1, 32),
                           .blow_us = world_between(100, 1500) * MS,
                           .drifts = world_chance(30),
                           .refused_percent = world_chance(60) ? (int)world_between(0, 12) : 0,
                           .bulk = world_chance(3),
                           .people_us = world_chance(60) ? world_between(50, 600) * MS : 0,
                           .policy_switches = world_chance(15)};
    draw_settings(&model.settings);
    if (model.settings.dead_letter_policy == DEAD_LETTER_STOP)
        model.policy_switches = false;
    trace("world: %s%s lease %d ms, %d events, %d keys, faults for %d ms, of Postgres %d %%, of Kafka %d %%",
          model.settings.delivery == DELIVERY_EXACTLY_ONCE ? "exactly once" : "at least once",
          model.switches ? " and the other," : ",", (int)(model.settings.lease_us / MS), model.events,
          model.keys, (int)(model.chaos_us / MS), model.postgres_percent, model.kafka_percent);
}

const char *
model_topic_name(int topic)
{
    return topics[topic];
}

int
model_topic(const char *name)
{
    for (int i = 0; i <= MODEL_COPIES; i++)
        if (strcmp(topics[i], name) == 0)
            return i;
    return -1;
}

const char *
model_key_name(int key)
{
    return keys[key];
}

size_t
model_key_size(int key)
{
    return keys[key] != NULL ? strlen(keys[key]) : 0;
}

int
model_lane(int topic, int key, int64_t id)
{
    return topic * MODEL_PARTITIONS + (int)((key < MODEL_KEYS ? key : id) % MODEL_PARTITIONS);
}
