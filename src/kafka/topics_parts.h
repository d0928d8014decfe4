/* topics_parts.h: what topics.c (records) and ask.c (questions to brokers) share. */
#ifndef OUTBOXD_KAFKA_TOPICS_PARTS_H
#define OUTBOXD_KAFKA_TOPICS_PARTS_H

#include "kafka/lookup.h"
#include "kafka/topics.h"

/* A broker that has not answered a look-up by then hangs, unless it is known to be far away; another one may be asked next. */
static const int64_t TOPICS_PATIENCE_US = INT64_C(2) * 1000 * 1000;

struct topics {
    struct topic_facts **facts; /* by topic->index; NULL: never used */
    size_t capacity;
    size_t asking; /* how many are ASKING */

    struct handle *user; /* of the instance attached, or NULL */
    int wake_fd;
    enum { ASKING_NOTHING, ASKING_METADATA, ASKING_CONFIGS } asking_for;
    struct errand *lookup;     /* ASKING_METADATA */
    int64_t lookup_us;         /* when it began */
    int64_t patience_us;       /* how long its answer is waited for */
    rd_kafka_queue_t *answers; /* of ASKING_CONFIGS */
    bool watching;             /* some topics are watched */
    int64_t retry_us;          /* no question before */
    int64_t refresh_us;        /* when KNOWN topics are asked about again */
};

void topics_set_state(struct topics *topics, struct topic_facts *facts, enum topic_state state);
void topics_drop_handle(struct topic_facts *facts);

#endif
