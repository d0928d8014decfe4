/* backoff.c: exponential back-off with jitter. Called by whoever retries; never sleeps itself. */
#include "base/backoff.h"

struct backoff
backoff_make(int64_t first_us, int64_t last_us, uint64_t seed)
{
    return (struct backoff){.first_us = first_us, .last_us = last_us, .random = seed ? seed : 1};
}

/* xorshift64 (Marsaglia 2003): jitter needs no better randomness. */
static uint64_t
next_random(struct backoff *backoff)
{
    uint64_t x = backoff->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return backoff->random = x;
}

int64_t
backoff_next_us(struct backoff *backoff)
{
    int64_t delay = backoff->delay_us ? backoff->delay_us * 2 : backoff->first_us;
    if (delay > backoff->last_us)
        delay = backoff->last_us;
    backoff->delay_us = delay;
    return delay / 2 + (int64_t)(next_random(backoff) % (uint64_t)(delay / 2 + 1));
}

void
backoff_reset(struct backoff *backoff)
{
    backoff->delay_us = 0;
}
