/* tail.h: the committed events of the outbox for the command `tail`: those that are there, in the order of their ids, then
 * those that become visible, tick by tick, in the order of their ids within each. Waits for each answer (oneshot.h), changes
 * nothing, and leaves no transaction open while it is not asked.
 *
 * Ticks here are virtual: snapshots in memory, which no journal knows. They divide the events as those of a relay do
 * (docs/design.md, Reading), so an event whose transaction commits after a later id was seen is in a later tick. */
#ifndef OUTBOXD_POSTGRES_TAIL_H
#define OUTBOXD_POSTGRES_TAIL_H

#include "base/error.h"
#include "config/settings.h"
#include "event/page.h"

struct tail;

struct tail_wish {
    char *const *topics; /* shell patterns; none: all topics */
    size_t topic_count;
    const char *key; /* as bytes without NUL; NULL: any key, and none */
    /* Where to begin in what is there; all three may be given. */
    int64_t from_id;  /* with this id; 0: at the beginning */
    int64_t since_us; /* created since this moment of 1970; 0: whenever */
    int64_t back_us;  /* instead: so long before the database's present; 0: not given */
    int64_t last;     /* with the last so many of them; negative: with the first */
    int32_t bytes;    /* of a key and of a payload, what is behind them is left out */
};

/* Connects to nothing. `settings` and `wish`, with what they point to, must outlive it. */
struct tail *tail_new(const struct settings *settings, const struct tail_wish *wish);
void tail_free(struct tail *tail); /* NULL is allowed */

/* Connects. The first time it looks for where to begin, and the first tick is everything up to this moment. Later it goes back
 * to the last snapshot that no crash of the server can have taken back: what was handed out since then comes again.
 * ERROR_RETRY: the server is away for the moment; ERROR_UNUSABLE: a privilege or the schema is missing, or it is
 * another database than before. */
MUST_CHECK bool tail_connect(struct tail *tail, struct error *error);

/* False: the connection was lost, and tail_connect() is next. */
bool tail_is_connected(const struct tail *tail);

/* The next events of the tick, to be freed by page_free(); *page is NULL when it is at its end. They have cost 4 MiB at most, or
 * it is one. On ERROR_RETRY it may be called again, unless the connection was lost. */
MUST_CHECK bool tail_read(struct tail *tail, struct page **page, struct error *error);

/* Behind the end of a tick: makes everything that became visible since then the next one. */
MUST_CHECK bool tail_poll(struct tail *tail, struct error *error);

/* True once after a standby was promoted. Transactions that the former primary had finished and the promoted server never
 * received may have lent their numbers to others, which are not shown then. */
bool tail_was_promoted(struct tail *tail);

#endif
