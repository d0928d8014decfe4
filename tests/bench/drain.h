/* drain.h: how fast a backlog of committed events reaches the broker: the real binary, and the bare producer beside it. */
#ifndef OUTBOXD_TESTS_BENCH_DRAIN_H
#define OUTBOXD_TESTS_BENCH_DRAIN_H

#include "stage.h"
#include "support/relay.h"

#define RSS_SAMPLES 20

/* Of one run. Measured from outside, for both alike: the broker's end offsets are asked for every 20 ms; the rate is that of
 * the events between the first and the last look that saw new ones, so that start-up does not count. Processor time is that of
 * the process (and of the relay's Postgres backend) between the same two looks. */
struct drained {
    double events_per_s;
    double cpu_us, backend_cpu_us; /* an event; backend: 0 for the bare producer */
    double peak_rss_mib;           /* of the relay */
    double rss_mib[RSS_SAMPLES];   /* of the relay over the time of the drain, evenly spaced; 0: not taken */
};

/* The same by a relay that delivers exactly once: beside the events, the topic holds an end of each transaction and partition. */
struct drained drain_exact(struct outbox *outbox, struct venue *venue, int64_t events);

/* Drains the `events` that are to be published with a relay of this configuration; stops it. The caller frees the relay. */
struct drained drain_relay(struct outbox *outbox, struct venue *venue, const char *const *overrides,
                           int64_t events, struct daemon **relay);

/* The same events by the bare producer, with the properties of that relay's configuration. */
struct drained drain_bare(struct venue *venue, const char *config, int64_t events);

/* Processor time of a process of this machine so far, all its threads. */
double process_cpu_s(pid_t pid);

#endif
