/* tick.h: a recorded snapshot, and what it takes to read the events between it and the one before.
 * The events of tick n are the rows visible in snapshot n and not in snapshot n-1: a set fixed for ever, so that it can be
 * read again after any crash. (The idea is PgQ's, M. Kreen and others, 2007; the bounds w and lo are ours: docs/design.md.) */
#ifndef OUTBOXD_POSTGRES_TICK_H
#define OUTBOXD_POSTGRES_TICK_H

#include <stdbool.h>
#include <stdint.h>

/* One end of a tick. Snapshots and lists of xids stay text as Postgres prints them: only Postgres compares them. */
struct tick_edge {
    char *snapshot; /* pg_snapshot */
    int64_t w;      /* an xid that was not yet assigned when the snapshot was taken */
    int64_t
        lo_id; /* the id sequence's value before `w` and the snapshot: every event with xid >= w has id > lo_id */
};

struct tick {
    int64_t seq;           /* its row in the journal */
    int64_t nonce;         /* of that row: tells it from one of the same number in another history */
    struct tick_edge from; /* the tick before, journalled or virtual */
    char *snapshot;        /* its own */
    int64_t hi_id; /* the id sequence's value after the snapshot: every event of the tick has id <= hi_id */
    char *
        late; /* xid8[] as text: transactions below from.w that became visible in this tick; "{}" when none */
    int late_count;
    int64_t late_lo; /* the lowest id of their events; 0: there are none */
};

/* Copies; the strings belong to the copy. */
void tick_edge_set(struct tick_edge *edge, const char *snapshot, int64_t w, int64_t lo_id);
void tick_edge_clear(struct tick_edge *edge);
void tick_clear(struct tick *tick);

/* How many elements a one-dimensional array of numbers has, as Postgres prints it: "{}" 0, "{7,9}" 2. */
int tick_late_count(const char *late);

#endif
