/* latency.h: how long an event is under way at a moderate rate: from the return of its commit to the consumer with the relay
 * in between, and from the call of produce to the consumer with nothing in between. */
#ifndef OUTBOXD_TESTS_BENCH_LATENCY_H
#define OUTBOXD_TESTS_BENCH_LATENCY_H

#include "stage.h"

struct latency_load {
    double events_per_s;
    int64_t events;
};

/* Milliseconds. The first tenth of the events is not counted. */
struct latencies {
    double p50, p90, p99, max;
};

/* 4 connections commit one event a transaction, evenly spaced; a relay of the outbox must be ready. The consumer (read
 * committed, fetch.wait.max.ms=5) is a thread of this process, so both ends read one clock. *commit: from the call of the insert to the return of its commit, which is mostly the
 * disk; the relay waits for the same disk once before it sends. */
struct latencies latency_of_commits(struct outbox *outbox, struct venue *venue,
                                    const struct latency_load *load, struct latencies *commit);

/* A bare idempotent producer of this process at the same rate. */
struct latencies latency_of_produce(struct venue *venue, const struct latency_load *load);

#endif
