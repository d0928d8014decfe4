/* barred.h: topics that Kafka does not take into a transaction. librdkafka purges all of the transaction then, and blames no event: which
 * topic it was, it says nowhere but in its log. */
#ifndef OUTBOXD_KAFKA_BARRED_H
#define OUTBOXD_KAFKA_BARRED_H

#include "event/event.h"

#include <stdbool.h>

/* A line of librdkafka's log, of facility ADDPARTS; called from its threads. */
void barred_hear(const char *text);

/* True: since barred_forget() this topic was refused; `why` (OUTCOME_TOPIC) says for what. */
bool barred_find(const char *topic, struct outcome *why);

/* Another instance of the producer begins. */
void barred_forget(void);

#endif
