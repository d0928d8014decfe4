/* stranger.h: somebody else's producer, which writes records into the topics of an outbox. All of it waits for the broker, at most 30 s,
 * and fails the test when it cannot. */
#ifndef OUTBOXD_TESTS_SUPPORT_STRANGER_H
#define OUTBOXD_TESTS_SUPPORT_STRANGER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* For stranger_close() or stranger_end(). */
rd_kafka_t *stranger_open(const char *bootstrap);
void stranger_close(rd_kafka_t *stranger);

/* With a transaction that has begun and touches nothing yet; `transactional_id`: nobody else's, or it is fenced. */
rd_kafka_t *stranger_begin(const char *bootstrap, const char *transactional_id);
void stranger_end(rd_kafka_t *stranger, bool commit); /* ends the transaction, and closes */

/* A record into partition 0, acknowledged, without a key. `id`, `source`: its headers of these names; NULL: it has none. */
void stranger_write(rd_kafka_t *stranger, const char *topic, const char *id, const char *source,
                    const char *value);

#endif
