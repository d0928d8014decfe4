/* published_reader.h: reads back what an outbox has published, read committed. Blocks: for one-shot commands. */
#ifndef OUTBOXD_KAFKA_PUBLISHED_READER_H
#define OUTBOXD_KAFKA_PUBLISHED_READER_H

#include "config/settings.h"
#include "event/published.h"

/* Several times a second while it reads. topic: nothing comes, because a transaction is open in this partition, whoever's it is, and
 * hides what is behind its beginning; NULL: it is no such thing that is waited for. */
typedef void published_listener(void *context, const char *topic, int32_t partition);

struct published_reading {
    const char *const *topics;
    size_t count;
    const int64_t *since_ms; /* of each topic */
    int64_t patience_us;     /* so long nothing may come */
    published_sink *sink;
    published_listener *listener;
    void *context; /* of both */
};

/* Gives the sink each record of these topics whose header `source` is ours, whatever its `id` says, of each partition in its order, from the first record with a
 * time of its topic's `since_ms` or later to the end as it is now, records of open transactions included: it waits for them to be committed or aborted,
 * since what was committed behind them is visible only then. A topic that does not exist has none. The principal must be allowed to READ
 * the topics. False: ERROR_UNUSABLE, a transaction that stays open too, or what the sink says. */
MUST_CHECK bool published_read(const struct settings *settings, const struct published_reading *reading,
                               struct error *error);

#endif
