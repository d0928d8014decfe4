/* properties.h: the `kafka:` section of the configuration, which is librdkafka's own properties by their own
 * names: checked by librdkafka, and by us where a value would break a promise. */
#ifndef OUTBOXD_KAFKA_PROPERTIES_H
#define OUTBOXD_KAFKA_PROPERTIES_H

#include "base/error.h"
#include "config/settings.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>

/* Writes every mistake to `errors` as `file:line: kafka.<name>: reason`; false with ERROR_CONFIG and a
 * summary when there was any. Makes a handle that connects to nobody, so that librdkafka itself judges
 * contradictions and files. Settings that were refused for other reasons may be checked too, if there is any
 * property in them. */
MUST_CHECK bool properties_check(const struct settings *settings, FILE *errors, struct error *error);

/* What differs from one instance of the producer to the next. */
struct producer_shape {
    int64_t batch_bytes;   /* batch.size */
    int64_t message_bytes; /* message.max.bytes */
    size_t batch_events;   /* batch.num.messages, 0: the user's or librdkafka's own */
    bool exact;            /* transactional: delivery exactly-once */
};

/* The configuration of a producer; the caller owns it until rd_kafka_new() succeeds. NULL only when
 * properties_check() would fail. */
rd_kafka_conf_t *properties_producer(const struct settings *settings, const struct producer_shape *shape,
                                     struct error *error);

/* The configuration of a client that only asks questions. */
rd_kafka_conf_t *properties_client(const struct settings *settings, struct error *error);

/* A property as written, or NULL. */
const struct property *properties_find(const struct settings *settings, const char *name);

/* The user's batch.size, or ours. */
int64_t properties_batch_bytes(const struct settings *settings);
/* True when batches are compressed, so that an event's size on the wire is not known. */
bool properties_compressed(const struct settings *settings);

#endif
