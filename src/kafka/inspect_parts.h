/* inspect_parts.h: what inspect.c (brokers) and inspect_topics.c (topics) share. */
#ifndef OUTBOXD_KAFKA_INSPECT_PARTS_H
#define OUTBOXD_KAFKA_INSPECT_PARTS_H

#include "kafka/inspect.h"
#include "kafka/position.h"

#include <librdkafka/rdkafka.h>

enum { INSPECT_REASONS = 8 };

struct inspection {
    const struct settings *settings;
    struct findings *findings;
    rd_kafka_t *rk;
    rd_kafka_queue_t *answers; /* of admin requests */
    int64_t deadline_us;
    int brokers;
    bool has_controller;                /* somebody to ask for configurations */
    char position[POSITION_TOPIC_SIZE]; /* the position topic; "": delivered at least once */
    bool before_4;                      /* Kafka 3: what it takes differs */

    /* what librdkafka said about connections, each broker once */
    struct reason {
        rd_kafka_resp_err_t code;
        char broker[128];
        char text[256];
        const char *cure; /* NULL: by the code */
    } reasons[INSPECT_REASONS];
    size_t reason_count;
};

/* Milliseconds until the deadline, at least 1. */
int inspect_remaining_ms(const struct inspection *inspection);

/* The next answer, or NULL at the deadline. The caller destroys it. */
rd_kafka_event_t *inspect_answer(const struct inspection *inspection);

void inspect_topics(struct inspection *inspection, const char *const *topics, size_t count, bool create);

#endif
