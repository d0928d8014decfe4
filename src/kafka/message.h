/* message.h: an event as a Kafka record: its headers, its exact size on the wire, and what can be known to be
 * refused before it is sent. Pure but for the clock that the caller passes in. */
#ifndef OUTBOXD_KAFKA_MESSAGE_H
#define OUTBOXD_KAFKA_MESSAGE_H

#include "base/error.h"
#include "event/event.h"

#include <librdkafka/rdkafka.h>

/* What the broker demands of a record of one topic. What is not known is not checked: see limits_unknown().
 */
struct message_limits {
    int64_t max_bytes; /* max.message.bytes; INT64_MAX: unknown */
    bool key_required; /* cleanup.policy contains "compact" */
};

struct message_limits limits_unknown(void);

/* The event's own headers, then `id` and `source`. `*wire_size` is what they occupy in a record. The caller
 * owns
 * `*headers`, until rd_kafka_producev() has taken them. False when the event's headers are malformed. */
MUST_CHECK bool message_headers(const struct event *event, const char *source, size_t source_size,
                                rd_kafka_headers_t **headers, size_t *wire_size, struct error *error);

/* Bytes of a batch that holds this event alone, uncompressed: what the broker compares with
 * max.message.bytes. 61 + varint(body) + body        (record batch v2; KIP-98) */
int64_t message_batch_bytes(const struct event *event, size_t headers_wire_size);

/* Kafka's timestamp of the event. */
static inline int64_t
message_timestamp_ms(const struct event *event)
{
    return event->created_at_us / 1000;
}

/* True when the broker would take the event, as far as is known; else `why` is filled (OUTCOME_EVENT). A topic's bounds for
 * timestamps are the broker's to judge: they count from its clock, and ours may be wrong.
 * `compressed`: the size on the wire is unknown, so the broker judges it. */
bool message_allowed(const struct event *event, int64_t batch_bytes, const struct message_limits *limits,
                     bool compressed, struct outcome *why);

/* Hands the event to librdkafka, which points into its bytes until the report, and copies only the key. On
 * success it owns `headers`; on any error they are still the caller's. */
rd_kafka_resp_err_t message_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, struct event *event,
                                    rd_kafka_headers_t *headers);

#endif
