/* published.h: a record of an outbox as it is in Kafka, read back: by it `outboxd rebase` tells which events consumers know. */
#ifndef OUTBOXD_EVENT_PUBLISHED_H
#define OUTBOXD_EVENT_PUBLISHED_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A larger number is no id: no outbox gives out so many, and its sequence would have little room left above it. */
#define PUBLISHED_ID_MOST (INT64_MAX / 2)

struct published {
    int64_t id; /* the event's, as its header says; 0: what it says is no id */
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t
        time_ms; /* when the event was created; where the topic keeps its own time, when the record was .. */
    bool appended;             /* .. appended */
    const void *key, *payload; /* NULL: none */
    size_t key_size, payload_size;
};

/* Takes one record, whose memory is the caller's. False ends the reading. */
typedef bool published_sink(void *context, const struct published *record, struct error *error);

#endif
