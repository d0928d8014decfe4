/* event.h: one row of the outbox on its way to Kafka, and what became of it. This is where the rooms `postgres`
 * (which fills events) and `kafka` (which sends them) meet; neither knows the other. */
#ifndef OUTBOXD_EVENT_EVENT_H
#define OUTBOXD_EVENT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/topic.h"

struct page;

/*   UNSENT --send--> SENT --report--> ACKNOWLEDGED
 *    | ^              |
 *    | +--- failed ---+      (the instance of the producer ended without an acknowledgement)
 *    +--> REFUSED, HELD, PASSED --written down in the database--> ASIDE
 * REFUSED: Kafka takes everything but this event. HELD: it waits behind a refused one of its topic and key. PASSED: it waits for its
 * topic. ACKNOWLEDGED and ASIDE are the ends: only behind them the confirmed position moves on (I1). */
enum event_state {
    EVENT_UNSENT,
    EVENT_SENT,
    EVENT_ACKNOWLEDGED,
    EVENT_REFUSED,
    EVENT_HELD,
    EVENT_PASSED,
    EVENT_ASIDE
};

struct event {
    int64_t id;            /* unique within the outbox; the header `id` */
    int64_t created_at_us; /* microseconds since 1970-01-01 UTC; Kafka's timestamp in milliseconds */
    struct topic *topic;
    struct page *page;   /* the page that owns this event and the bytes below */
    const char *key;     /* NULL: no key; an empty key is not NULL */
    const char *payload; /* NULL: a tombstone */
    const char *headers; /* NULL, or a JSON object as text, not NUL-terminated (event/headers.h reads it) */
    uint32_t key_size, payload_size, headers_size;
    enum event_state state;
};

/* Of a key that is to be remembered, which may be of any length: SHA-256, as sha256() in Postgres. */
#define KEY_DIGEST_SIZE 32

/* What a delivery report, or a refusal before sending, means for the relay. */
enum outcome_kind {
    OUTCOME_ACKNOWLEDGED, /* in Kafka, acks=all */
    OUTCOME_EVENT,        /* refused for the event's own sake: too large, NULL key on a compacted topic .. */
    OUTCOME_TOPIC,        /* refused for its topic's sake: unknown topic, no permission, too few replicas */
    OUTCOME_BROKER,       /* the broker or the network: patience */
    OUTCOME_FENCED, /* another process publishes under the same transactional.id, or Kafka gave up waiting */
    OUTCOME_UNSENT, /* purged because the instance ended: nobody's fault */
};

struct outcome {
    enum outcome_kind kind;
    int code;          /* librdkafka's error number, 0 when there is none */
    char name[64];     /* its name, e.g. "MSG_SIZE_TOO_LARGE", or a word of our own */
    char message[256]; /* for people: what is wrong and what helps */
};

/* What one event costs beside its bytes while it is in flight: our struct, librdkafka's message, its queue entries
 * and two headers, as allocated on a 64-bit machine (measured with librdkafka 2.0.2; see docs/design.md, Memory). */
#define EVENT_OVERHEAD 512

/* What of that is ours, and stays as long as the page: the struct, in an array that may be half empty. The rest is librdkafka's, from the
 * moment in which it gets the event until it has reported it. */
#define EVENT_KEPT_OVERHEAD 160

/* A byte of the headers' text: librdkafka keeps each header in a block of its own, and the shortest one, of ten bytes as text,
 * takes 80 (measured likewise). */
#define EVENT_HEADER_COST 8

/* Bytes that an event counts for in `memory`, `batch.bytes` and outbox_in_flight_bytes. */
static inline size_t
event_cost(const struct event *event)
{
    return (size_t)event->key_size + event->payload_size + (size_t)event->headers_size * EVENT_HEADER_COST +
           EVENT_OVERHEAD;
}

static inline size_t
event_kept(const struct event *event)
{
    return (size_t)event->key_size + event->payload_size + event->headers_size + EVENT_KEPT_OVERHEAD;
}

#endif
