/* lookup.h: a question to a broker about topics' metadata: who leads their partitions, which replicas are in sync. librdkafka's
 * only call for it blocks, so it is made in a thread of its own. */
#ifndef OUTBOXD_KAFKA_LOOKUP_H
#define OUTBOXD_KAFKA_LOOKUP_H

#include "kafka/handle.h"

struct lookup;

/* Asks about one topic, or (NULL) about all that the handle knows; `wake_fd`, an eventfd, becomes readable when the answer is in,
 * or when nobody has answered for two seconds. Also teaches librdkafka, which otherwise holds the first message of a topic back
 * for up to a second. */
struct lookup *lookup_begin(struct handle *handle, const char *topic, int wake_fd);

/* True when it is over; *metadata stays the lookup's, and is NULL when nobody answered. */
bool lookup_over(struct lookup *lookup, const rd_kafka_metadata_t **metadata);

/* Frees it, now or when its thread has come back; `wake_fd` is not touched any more. NULL is allowed. */
void lookup_end(struct lookup *lookup);

#endif
