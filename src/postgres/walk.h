/* walk.h: walking over the ids of the outbox in windows: where a moment begins, and how wide a window may be. For tail_pages.c and
 * retained.c; private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_WALK_H
#define OUTBOXD_POSTGRES_WALK_H

#include "base/error.h"
#include "postgres/session.h"

#include <stdint.h>

/* Ids that a window spans at first. */
#define WALK_FIRST_WIDTH 10000

/* The width of the next one. It grows where it is quickly done (gaps, slots that were emptied) and shrinks where it is not, so
 * that no statement, and so no snapshot, lasts long beside the relay and the emptying of slots. */
int64_t walk_width(int64_t width, int64_t took_us);

/* A statement to be prepared before walk_find(): the first event behind an id, and when it was inserted. */
#define SQL_WALK_AT                                                                                          \
    "prepare outboxd_walk_at(bigint) as select e.id, (extract(epoch from e.created_at) * 1000000)::bigint"   \
    " from outbox.event e where e.id > $1 order by e.id limit 1;"

/* By halving the ids above `low`, up to `high`: *id has no event at or below it that was created since then, but where the
 * clocks were out of step by more than a minute. */
MUST_CHECK bool walk_find(struct session *session, int64_t since_us, int64_t low, int64_t high, int64_t *id,
                          struct error *error);

#endif
