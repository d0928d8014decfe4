/* inspect.h: everything about Kafka that decides whether events can be published, for `outboxd check` and the start of `run`:
 * brokers, and the topics given. Blocks, so it is for one-shot commands; the relay's loop never calls it. */
#ifndef OUTBOXD_KAFKA_INSPECT_H
#define OUTBOXD_KAFKA_INSPECT_H

#include "base/findings.h"
#include "config/settings.h"

/* Adds what it finds, good and bad, each with its cure. `topics` are names, not patterns, each once. `create`: a missing topic is
 * made, just as the cure would make it. Every wait together lasts `timeout_ms` at most. False: no broker has answered. */
bool kafka_inspect(const struct settings *settings, const char *const *topics, size_t count, bool create,
                   int timeout_ms, struct findings *findings);

#endif
