/* classify.h: what an error of librdkafka or of a broker means for the relay, and what helps. One table for
 * both ways an error arrives: as a delivery report and as the result of a call. */
#ifndef OUTBOXD_KAFKA_CLASSIFY_H
#define OUTBOXD_KAFKA_CLASSIFY_H

#include "event/event.h"

#include <librdkafka/rdkafka.h>

/* Kind, name and a message with its cure. What is not in the table is the broker's: patience is the only answer that loses
 * nothing. */
void classify(rd_kafka_resp_err_t code, struct outcome *outcome);

/* Does the table know what a person can do? Otherwise the message is librdkafka's text for this number, and a longer one tells
 * more. */
bool classify_cures(rd_kafka_resp_err_t code);

/* An outcome of our own, without an error of librdkafka: `name` is a word like SIZE_REFUSED. */
void classify_own(struct outcome *outcome, enum outcome_kind kind, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
