/* position_reader.h: reads the position topic (position.h). Blocks: for threads of their own and for one-shot commands. */
#ifndef OUTBOXD_KAFKA_POSITION_READER_H
#define OUTBOXD_KAFKA_POSITION_READER_H

#include "base/error.h"
#include "event/event.h"
#include "kafka/position.h"

#include <librdkafka/rdkafka.h>

/* The configuration of a client that reads it; NULL as properties_client(). */
rd_kafka_conf_t *position_reader_conf(const struct settings *settings, struct error *error);

/* Reads the newest committed record: the tail only, widened until there is one. Ends at the end of the topic as it is when reading
 * begins, uncommitted records included: so whoever has fenced all other producers of the topic before reads the truth. Takes
 * `conf`. Blocks until `deadline_us` at most. False: *why says why not (OUTCOME_TOPIC: what people must mend). */
MUST_CHECK bool position_read(rd_kafka_conf_t *conf, const char *topic, int64_t deadline_us,
                              struct position_found *found, struct outcome *why);

#endif
