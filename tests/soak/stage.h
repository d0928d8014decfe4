/* stage.h: what a soak runs on: a Postgres, a broker and two processes of one relay, all of its own, so that everything can be
 * killed. Shared by soak.c (rounds and verdicts) and faults.c (what is done to it). */
#ifndef OUTBOXD_TESTS_SOAK_STAGE_H
#define OUTBOXD_TESTS_SOAK_STAGE_H

#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"

#include <stdint.h>

#define STAGE_RELAYS 2

struct stage {
    struct postgres *postgres;
    struct broker *broker;
    const char *database;
    struct daemon *relays[STAGE_RELAYS];
    uint64_t random; /* state of the generator: the same seed gives the same faults */
    uint64_t faults; /* injected so far */
    uint64_t died;   /* processes of the relay that ended by themselves, or not with 0 when asked to */
    int64_t started_us;
};

/* 0 .. limit - 1 */
int stage_draw(struct stage *stage, int limit);

/* Seconds since the start, for the lines that are printed. */
double stage_seconds(const struct stage *stage);

/* Waits between the two, drawn; checks meanwhile that no relay has ended by itself. */
void stage_rest(struct stage *stage, int from_ms, int to_ms);

/* Injects one fault, drawn, and heals it; says so on stdout. Everything runs again when it returns. */
void stage_disturb(struct stage *stage);

#endif
