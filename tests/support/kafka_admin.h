/* kafka_admin.h: librdkafka's admin requests, for the files that ask brokers for something (kafka.h); tests include that. */
#ifndef OUTBOXD_TESTS_SUPPORT_KAFKA_ADMIN_H
#define OUTBOXD_TESTS_SUPPORT_KAFKA_ADMIN_H

#include "support/kafka.h"

#include <librdkafka/rdkafka.h>

#define ADMIN_MS 30000

/* One admin request from its making to its answer. */
struct admin {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
};

struct admin admin_open(const struct broker *broker);

/* Its answer; the test fails when there is none or it is an error, and says `what` was asked of `name`. */
rd_kafka_event_t *admin_answer(const struct admin *admin, const char *what, const char *name);

/* Ends both. */
void admin_close(struct admin *admin, rd_kafka_event_t *event);

#endif
