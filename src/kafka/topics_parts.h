/* topics_parts.h: what topics.c (records) and ask.c (questions to brokers) share. */
#ifndef OUTBOXD_KAFKA_TOPICS_PARTS_H
#define OUTBOXD_KAFKA_TOPICS_PARTS_H

#include "kafka/lookup.h"
#include "kafka/topics.h"

struct topics {
    struct topic_facts **facts; /* by topic->index; NULL: never used */
    size_t capacity;
    size_t asking; /* how many are ASKING */

    struct handle *user; /* of the instance attached, or NULL */
    int wake_fd;
    enum { ASKING_NOTHING, ASKING_METADATA, ASKING_CONFIGS } asking_for;
    struct errand *lookup;     /* ASKING_METADATA */
    rd_kafka_queue_t *answers; /* of ASKING_CONFIGS */
    bool watching;             /* some topics are watched */
    int64_t retry_us;          /* no question before */
    int64_t refresh_us;        /* when KNOWN topics are asked about again */
};

void topics_set_state(struct topics *topics, struct topic_facts *facts, enum topic_state state);
void topics_drop_handle(struct topic_facts *facts);

#endif
