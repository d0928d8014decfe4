/* partitions.h: what brokers said last of the partitions of a topic: who can take an event, and if none, why. Pure. Used by ask.c
 * (which learns it) and by whoever wants to say why an event waits. */
#ifndef OUTBOXD_KAFKA_PARTITIONS_H
#define OUTBOXD_KAFKA_PARTITIONS_H

#include "event/event.h"

#include <librdkafka/rdkafka.h>

struct partition {
    bool led; /* it has a leader */
    int replicas, in_sync;
};

struct partitions {
    int32_t count;
    struct partition *list;
};

void partitions_learn(struct partitions *partitions, const rd_kafka_metadata_topic_t *metadata);
void partitions_free(struct partitions *partitions);

/* True when the partition of this event (any of them when it has no key) can take nothing, as far as was learned: it has no
 * leader, or fewer replicas in sync than `min_in_sync` demands. */
bool partitions_obstacle(const struct partitions *partitions, const struct event *event, int64_t min_in_sync,
                         struct outcome *obstacle);

/* True when a partition, any of them, still takes nothing for the reason that `why` names; then *why says which. */
bool partitions_still(const struct partitions *partitions, int64_t min_in_sync, struct outcome *why);

#endif
