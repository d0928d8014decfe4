/* crashpoint.h: what the two halves of crashpoint.so share: crashpoint.c has the rules, crashpoint_calls.c the functions that stand
 * before those of librdkafka and libpq. */
#ifndef OUTBOXD_TESTS_FAULT_CRASHPOINT_H
#define OUTBOXD_TESTS_FAULT_CRASHPOINT_H

#include <stdbool.h>

/* Where a function may be made to fail: not after it has taken what its caller would free, or has given what nobody would. */
enum failing { FAILS_NEVER, FAILS_BEFORE, FAILS_ANYWHERE };

/* A function that is watched. */
struct point {
    const char *name;
    enum failing failing;
    void *real;                  /* the library's own; NULL until the first call */
    const void *library;         /* where that library begins in memory */
    _Atomic unsigned long calls; /* made by others than the library itself */
};

extern struct point points[];
extern const int point_count;

/* One call of it. */
struct call {
    unsigned long number; /* 0: of the library itself, which nobody counts */
    bool fails;           /* its caller is told that it failed */
    int code;             /* with this code of the library; 0: the usual one */
};

/* The library's own function. */
void *point_real(struct point *point);

/* Counts a call from `caller`, and does what the rules want before it. */
struct call point_enter(struct point *point, const void *caller);

/* Does what the rules want after it. */
void point_leave(const struct point *point, struct call *call);

#endif
