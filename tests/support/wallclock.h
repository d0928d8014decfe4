/* wallclock.h: another time of day for the processes that a test starts: by programs/wallclock.c, loaded into them. */
#ifndef OUTBOXD_TESTS_SUPPORT_WALLCLOCK_H
#define OUTBOXD_TESTS_SUPPORT_WALLCLOCK_H

#include <stdint.h>

struct wallclock;

/* Shows the real time until it is set. */
struct wallclock *wallclock_new(void);
void wallclock_free(struct wallclock *clock);

/* From now on it is ahead by so many seconds (behind, below 0), for all who look at it. */
void wallclock_set(struct wallclock *clock, int64_t ahead_s);

/* Processes started from now on look at `clock`; NULL: at the real one. */
void wallclock_show(const struct wallclock *clock);

#endif
