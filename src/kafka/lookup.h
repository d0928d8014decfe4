/* lookup.h: a question to a broker about topics' metadata: who leads their partitions, which replicas are in sync. librdkafka's
 * only call for it blocks, so it is an errand. */
#ifndef OUTBOXD_KAFKA_LOOKUP_H
#define OUTBOXD_KAFKA_LOOKUP_H

#include "kafka/errand.h"
#include "kafka/handle.h"

/* Asks about one topic, or (NULL) about all that the handle knows; `wake_fd`, an eventfd, becomes readable when the answer is in,
 * or when nobody has answered for `timeout_ms`. Also teaches librdkafka, which otherwise holds the first message of a topic back
 * for up to a second. To be ended by errand_end(). */
struct errand *lookup_begin(struct handle *handle, const char *topic, int timeout_ms, int wake_fd);

/* True when it is over; *metadata stays the errand's, and is NULL when nobody answered. */
bool lookup_over(struct errand *lookup, const rd_kafka_metadata_t **metadata);

#endif
