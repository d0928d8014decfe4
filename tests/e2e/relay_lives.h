/* relay_lives.h: one relay that lives and dies by crashpoint.so at a call of librdkafka or libpq, again and again, while writers write and
 * people work beside the stream (relay_beside.h); after each death it starts again, or a standby takes over.
 *
 *   lives_begin -> lives_count -> lives_kill, as often as wanted -> lives_end, which judges all of it */
#ifndef OUTBOXD_TESTS_E2E_RELAY_LIVES_H
#define OUTBOXD_TESTS_E2E_RELAY_LIVES_H

#include "e2e/relay_beside.h"
#include "support/crashpoint.h"

/* A function that the relay calls in every life. Of those that crashpoint.so watches there is one more, rd_kafka_poll: it is called when Kafka
 * does not answer about the position topic at once. */
struct lives_function {
    const char *name;
    bool exact; /* only when it delivers exactly once */
};

#define LIVES_FUNCTIONS 25
extern const struct lives_function lives_functions[LIVES_FUNCTIONS];

struct lives_options {
    bool exact;
    bool denies;   /* as in beside_begin */
    int pause_us;  /* of the writers (load.h) */
    int life_ms;   /* from the moment when it leads; then it is asked to stop */
    unsigned salt; /* lives with another one are killed at other calls, by the same seed */
};

struct lives {
    struct lives_options options;
    struct story story;
    struct beside beside;
    struct crashpoint *crashpoint;
    struct daemon *other; /* without rules; NULL: was not needed yet */
    bool other_runs;
    int64_t begun_us;
    unsigned random;
    long calls[LIVES_FUNCTIONS];
    int kills, takeovers; /* lives that ended by their rule; of those, with a standby that has led then */
    int missed;           /* that were over before their call came */
};

void lives_begin(struct lives *lives, const struct lives_options *options);

/* A life without a fault, which tells how many boundaries there are. It must call each function of the list for its delivery, and of those
 * that crashpoint.so watches no other one. */
void lives_count(struct lives *lives);

/* Lives until one has ended before or after ("before", "after") a call of this function. */
void lives_kill(struct lives *lives, const char *function, const char *when);

/* All that was committed and asked for is done, and judged; a line on stderr says how. Expects nothing lost, phantom, reordered or changed, and
 * exactly once nothing twice; of what was done beside the stream, what beside_judge says. */
void lives_end(struct lives *lives, const char *title);

#endif
