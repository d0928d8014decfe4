/* published_reader.h: reads back what an outbox has published, read committed. Blocks: for one-shot commands. */
#ifndef OUTBOXD_KAFKA_PUBLISHED_READER_H
#define OUTBOXD_KAFKA_PUBLISHED_READER_H

#include "config/settings.h"
#include "event/published.h"

/* Gives `sink` each record of these topics whose header `source` is ours, of each partition in its order, from the first record with a
 * time of `since_ms` or later to the end as it is now. A topic that does not exist has none. An open transaction is waited for, longer
 * than it may last. The principal must be allowed to READ the topics. False: ERROR_UNUSABLE, or what `sink` says. */
MUST_CHECK bool published_read(const struct settings *settings, const char *const *topics, size_t count,
                               int64_t since_ms, published_sink *sink, void *context, struct error *error);

#endif
