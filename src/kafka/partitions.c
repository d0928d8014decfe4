/* partitions.c: see partitions.h. Called when a broker has answered, and while an event waits. */
#include "kafka/partitions.h"

#include "base/error.h"
#include "kafka/classify.h"

#include <stdlib.h>
#include <string.h>

void
partitions_learn(struct partitions *partitions, const rd_kafka_metadata_topic_t *metadata)
{
    size_t count = (size_t)metadata->partition_cnt;
    partitions->list = must_realloc(partitions->list, count, sizeof *partitions->list);
    partitions->count = metadata->partition_cnt;
    for (size_t i = 0; i < count; i++)
        partitions->list[i] = (struct partition){.led = true};
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_metadata_partition_t *said = &metadata->partitions[i];
        if (said->id >= 0 && said->id < partitions->count)
            partitions->list[said->id] = (struct partition){
                .led = said->leader >= 0, .replicas = said->replica_cnt, .in_sync = said->isr_cnt};
    }
}

void
partitions_free(struct partitions *partitions)
{
    free(partitions->list);
    *partitions = (struct partitions){0};
}

/* As librdkafka chooses it (partitioner=murmur2_random). */
static int32_t
partition_of(const struct partitions *partitions, const struct event *event)
{
    return rd_kafka_msg_partitioner_murmur2(NULL, event->key, event->key_size, partitions->count, NULL, NULL);
}

/* A topic with fewer replicas than min.insync.replicas demands is content with those it has (Kafka 3.7 and later). */
static bool
obstacle_at(const struct partitions *partitions, int32_t index, int64_t min_in_sync, struct outcome *obstacle)
{
    const struct partition *partition = &partitions->list[index];
    int64_t wanted = min_in_sync < partition->replicas ? min_in_sync : partition->replicas;
    if (!partition->led)
        classify_own(obstacle, OUTCOME_TOPIC, "LEADER_NOT_AVAILABLE",
                     "partition %d has no leader; start the brokers that hold it", (int)index);
    else if (partition->in_sync < wanted)
        classify_own(obstacle, OUTCOME_TOPIC, "NOT_ENOUGH_REPLICAS",
                     "partition %d has %d replica%s in sync, min.insync.replicas is %d; start the brokers of "
                     "the others",
                     (int)index, partition->in_sync, partition->in_sync == 1 ? "" : "s", (int)min_in_sync);
    return !partition->led || partition->in_sync < wanted;
}

bool
partitions_obstacle(const struct partitions *partitions, const struct event *event, int64_t min_in_sync,
                    struct outcome *obstacle)
{
    if (partitions->count > 0 && event->key != NULL)
        return obstacle_at(partitions, partition_of(partitions, event), min_in_sync, obstacle);
    for (int32_t i = 0; i < partitions->count; i++)
        if (obstacle_at(partitions, i, min_in_sync, obstacle))
            return true;
    return false;
}

bool
partitions_still(const struct partitions *partitions, int64_t min_in_sync, struct outcome *why)
{
    struct outcome obstacle;
    bool same = false;
    for (int32_t i = 0; i < partitions->count && !same; i++)
        same = obstacle_at(partitions, i, min_in_sync, &obstacle) && strcmp(obstacle.name, why->name) == 0;
    if (same)
        *why = obstacle;
    return same;
}
