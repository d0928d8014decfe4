/* rules.h: which of librdkafka's properties a user may set, and why not the others. */
#ifndef OUTBOXD_KAFKA_RULES_H
#define OUTBOXD_KAFKA_RULES_H

#include "config/settings.h"

#include <stdbool.h>

/* NULL when the property may be passed on; else the reason, for people. Static text. Names that librdkafka does not know, but
 * people do, have their reasons as well. */
const char *rules_refusal(const struct property *property);

/* True for a property that has one value in every instance of the producer. */
bool rules_is_fixed(const char *name);

/* Calls `set` for each of those. */
void rules_each_fixed(void (*set)(void *context, const char *name, const char *value), void *context);

#endif
