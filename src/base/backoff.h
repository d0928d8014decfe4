/* backoff.h: how long to wait before the next attempt: doubling from a first delay to a last one, with jitter
 * so that many relays do not come back in step ("full jitter" halves: delay/2 + random(delay/2)). */
#ifndef OUTBOXD_BASE_BACKOFF_H
#define OUTBOXD_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t first_us, last_us; /* bounds of the delay before jitter */
    int64_t delay_us;          /* the next delay before jitter; 0: none was taken yet */
    uint64_t random;           /* state of the jitter; any value but 0 */
};

/* `seed` makes the jitter of one process its own; tests pass a constant. */
struct backoff backoff_make(int64_t first_us, int64_t last_us, uint64_t seed);

/* The next delay in microseconds, between half of the doubled delay and the whole of it. */
int64_t backoff_next_us(struct backoff *backoff);

/* After a success: the next delay is the first one again. */
void backoff_reset(struct backoff *backoff);

#endif
