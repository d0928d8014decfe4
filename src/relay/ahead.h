/* ahead.h: dead letters of an earlier lead that the stream comes to again: it passes them over. Those that it has passed are forgotten. Pure. */
#ifndef OUTBOXD_RELAY_AHEAD_H
#define OUTBOXD_RELAY_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ahead {
    struct ahead_letter *letters; /* by id, unless .. */
    size_t count, capacity;
    bool unsorted; /* .. some were added since one was looked for */
    int64_t confirmed_seq;
};

/* The event `id` of tick `tick` is a dead letter. */
void ahead_add(struct ahead *ahead, int64_t tick, int64_t id);

bool ahead_has(struct ahead *ahead, int64_t id);

/* All of tick `seq` is confirmed, and of the next one the ids up to `id`. */
void ahead_confirm(struct ahead *ahead, int64_t seq, int64_t id);

void ahead_clear(struct ahead *ahead);

#endif
