/* world.h: the world of one seed: its time, its dice, what will happen when, its memory, and what it tells. Every other file of the
 * simulator lives in it. There is one world a process, and one seed after the other; the same seed is the same world, to the last
 * microsecond. */
#ifndef OUTBOXD_TESTS_SIMULATOR_WORLD_H
#define OUTBOXD_TESTS_SIMULATOR_WORLD_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When the world begins: no moment in it is 0, which means "never" to the relay. */
#define WORLD_BEGIN_US INT64_C(1000000000)
/* Its wall clock: 2026-01-01. */
#define WORLD_WALL_US INT64_C(1767225600000000)
#define MS INT64_C(1000)

typedef void world_action(void *subject);

struct world {
    uint64_t seed;
    int64_t now_us;
    int64_t
        order; /* grows with everything that can stand before or after something else: commits, inserts, copies */
    bool calm;         /* no more faults */
    bool traced;       /* print what happens */
    char finding[400]; /* what broke a promise; "": nothing so far */
};

extern struct world world;

/* Forgets the last seed and all its memory. */
void world_begin(uint64_t seed, bool traced);

/* ---- dice ---- */
uint64_t world_random(void);
int64_t world_between(int64_t least, int64_t most); /* both may come */
bool world_chance(int percent);
/* True as often, but only while there are faults. */
bool world_fault(int percent);

/* ---- time ---- */
/* `act` is called with `subject` at that moment; what is planned for one moment happens in the order of planning. */
void world_at(int64_t at_us, world_action *act, void *subject);
void world_after(int64_t delay_us, world_action *act, void *subject);
/* When the next thing happens; CLOCK_NEVER: nothing is planned. */
int64_t world_next_us(void);
/* Does it. */
void world_advance(void);

/* ---- memory, zeroed, until the next world begins ---- */
void *world_alloc(size_t size) __attribute__((malloc, returns_nonnull));
char *world_text(const char *text) __attribute__((malloc, returns_nonnull));
/* Room for one more element in a list of pointers. */
void *world_grow(void *list, size_t count, size_t *capacity) __attribute__((returns_nonnull));

/* ---- what it tells ---- */
void trace(const char *format, ...) PRINTF_LIKE(1, 2);
/* A promise is broken: the first one counts, and the seed ends. */
void world_find(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
