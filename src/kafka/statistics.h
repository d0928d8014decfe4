/* statistics.h: librdkafka's statistics, a JSON document, into the numbers that we show. Pure. */
#ifndef OUTBOXD_KAFKA_STATISTICS_H
#define OUTBOXD_KAFKA_STATISTICS_H

#include "kafka/producer.h"

/* Overwrites the fields that come from librdkafka; false, and nothing is changed, when the document cannot be
 * read. */
bool statistics_read(struct producer_statistics *statistics, const char *json, size_t size);

#endif
