/* takeover.h: how long nobody publishes: when the leader is killed, when it hands over, and when a relay starts. */
#ifndef OUTBOXD_TESTS_BENCH_TAKEOVER_H
#define OUTBOXD_TESTS_BENCH_TAKEOVER_H

#include "stage.h"

/* Milliseconds, each until the broker has the first event of the process that goes on. */
struct takeover {
    double killed;   /* from kill -9 of the leader, a standby beside it; `lease` is 3 s */
    double released; /* from SIGTERM to the leader, a standby beside it */
    double started;  /* from the start of a process after a clean stop, with an event waiting */
};

/* `exact`: by relays that deliver exactly once, which fence the one before and read the position first. */
struct takeover takeover_measure(struct outbox *outbox, struct venue *venue, bool exact);

#endif
