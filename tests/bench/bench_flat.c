/* bench_flat.c: does the relay stay as fast? Measures it in an outbox that has grown old and in a fresh one on the same server,
 * in turn: with RETAINED events of the past in it; with a transaction left open for OPEN_S seconds while the load goes on (and a
 * snapshot of that time, which keeps every dead row); with the backlog in one transaction; with HELD events that wait behind a dead letter
 * of the same topic, which are retried at the end. Called by bench.sh. */
#include "drain.h"
#include "latency.h"
#include "results.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdlib.h>

#define FILL_STEP INT64_C(1000000)
#define EVENTS_A_SECOND 500
#define LATENCY_S 6
#define OPEN_STEP_S 60
#define RETRY_MS 600000

struct bench {
    int64_t events, retained, open_s, held;
    int rounds;
    struct venue *venue;
    struct outbox fresh;
};

/* One setting beside the fresh outbox. */
struct pair {
    double drain[2][ROUNDS_MAX], p50[2][ROUNDS_MAX], p99[2][ROUNDS_MAX]; /* [1]: of the fresh one */
};

static double
drain_once(struct bench *bench, struct outbox *outbox, int64_t at_once)
{
    struct daemon *relay;
    venue_clear(bench->venue);
    outbox_fill(outbox, bench->events, at_once);
    postgres_exec(outbox->admin, "checkpoint");
    struct drained drained = drain_relay(outbox, bench->venue, NULL, bench->events, &relay);
    daemon_free(relay);
    return drained.events_per_s;
}

static struct latencies
latency_for(struct bench *bench, struct outbox *outbox, int64_t seconds)
{
    const struct daemon_options options = {.conninfo = outbox_conninfo(outbox, POSTGRES_RELAY),
                                           .bootstrap = venue_bootstrap(bench->venue)};
    const struct latency_load load = {EVENTS_A_SECOND, EVENTS_A_SECOND * seconds};
    struct daemon *relay = daemon_start(&options);
    daemon_wait_ready(relay);
    struct latencies found = latency_of_commits(outbox, bench->venue, &load, NULL);
    if (daemon_terminate(relay) != 0)
        test_fail("the relay did not end well:\n%s", daemon_log(relay));
    daemon_free(relay);
    return found;
}

static void
measure(struct bench *bench, const char *name, struct outbox *old, int64_t at_once)
{
    struct pair pair;
    for (int round = 0; round < bench->rounds; round++) {
        struct outbox *both[] = {old, &bench->fresh};
        for (int i = 0; i < 2; i++) {
            if (i == 1)
                postgres_exec(bench->fresh.admin, "truncate outbox.event");
            pair.drain[i][round] = drain_once(bench, both[i], i == 0 ? at_once : STAGE_EVENTS_A_TRANSACTION);
            struct latencies found = latency_for(bench, both[i], LATENCY_S);
            pair.p50[i][round] = found.p50;
            pair.p99[i][round] = found.p99;
            stage_progress("%s: %.0f/s, p50 %.2f ms, p99 %.2f ms", i == 0 ? name : "fresh",
                           pair.drain[i][round], found.p50, found.p99);
        }
    }
    double *values[] = {pair.drain[0], pair.drain[1], pair.p50[0], pair.p50[1], pair.p99[0], pair.p99[1]};
    double median[6];
    for (int i = 0; i < 6; i++)
        median[i] = results_median(values[i], bench->rounds);
    printf("%-28s%10.0f%10.0f%7.2f%9.2f%8.2f%9.2f%8.2f\n", name, median[0], median[1], median[0] / median[1],
           median[2], median[3], median[4], median[5]);
    fflush(stdout);
}

static void
retain(struct bench *bench, struct outbox *outbox)
{
    for (int64_t filled = 0; filled < bench->retained; filled += FILL_STEP) {
        outbox_fill(outbox, FILL_STEP, STAGE_EVENTS_A_TRANSACTION);
        if (filled % (5 * FILL_STEP) == 0)
            stage_progress("committed %" PRId64 " of %" PRId64 " events of the past", filled,
                           bench->retained);
    }
    postgres_exec(outbox->admin, "analyze outbox.event");
}

/* All that the latency's topic has got, once the relay has nothing to do any more. */
static int64_t
arrived(struct bench *bench, struct outbox *outbox)
{
    (void)latency_for(bench, outbox, 1);
    rd_kafka_t *client = venue_client(bench->venue, RD_KAFKA_PRODUCER, NULL, NULL);
    int64_t end = venue_end(client, STAGE_LATENCY_TOPIC);
    rd_kafka_destroy(client);
    return end;
}

/* The transaction has an event, which must be published when it ends. */
static void
measure_open(struct bench *bench)
{
    struct outbox outbox;
    outbox_open_beside(&outbox, &bench->fresh);
    outbox_start_now(&outbox);
    PGconn *open = postgres_connect(outbox_conninfo(&outbox, POSTGRES_WRITER)),
           *snapshot = postgres_connect(outbox_conninfo(&outbox, POSTGRES_ADMIN));
    postgres_exec(open, "begin; insert into outbox.event (topic, key, payload)"
                        " values ('" STAGE_LATENCY_TOPIC "', 'open', 'v')");
    postgres_exec(snapshot, "begin isolation level repeatable read");
    CHECK(postgres_int(snapshot, "select count(*) from outbox.journal") == 1);
    for (int64_t s = 0; s < bench->open_s; s += OPEN_STEP_S) {
        struct latencies found = latency_for(bench, &outbox, OPEN_STEP_S);
        stage_progress("open for %" PRId64 " s: p50 %.2f ms, p99 %.2f ms; the journal's table has %" PRId64
                       " KiB",
                       s + OPEN_STEP_S, found.p50, found.p99,
                       postgres_int(outbox.admin, "select pg_total_relation_size('outbox.journal') / 1024"));
    }
    measure(bench, "a transaction left open", &outbox, STAGE_EVENTS_A_TRANSACTION);
    CHECK(postgres_int(snapshot, "select count(*) from outbox.journal") == 1);
    int64_t before = arrived(bench, &outbox);
    postgres_exec(open, "commit");
    CHECK(arrived(bench, &outbox) == before + 1 + EVENTS_A_SECOND);
    PQfinish(open);
    PQfinish(snapshot);
    outbox_close(&outbox);
}

static void
measure_retained(struct bench *bench)
{
    struct outbox outbox;
    outbox_open_beside(&outbox, &bench->fresh);
    retain(bench, &outbox);
    outbox_start_now(&outbox);
    measure(bench, "events retained", &outbox, STAGE_EVENTS_A_TRANSACTION);
    outbox_close(&outbox);
}

static void
measure_large(struct bench *bench)
{
    struct outbox outbox;
    outbox_open_beside(&outbox, &bench->fresh);
    outbox_start_now(&outbox);
    measure(bench, "backlog in one transaction", &outbox, bench->events);
    outbox_close(&outbox);
}

/* The first event is dead, and all others wait behind it, as if all had one key. */
static void
hold(struct bench *bench, struct outbox *outbox)
{
    outbox_fill(outbox, bench->held, STAGE_EVENTS_A_TRANSACTION);
    postgres_exec(outbox->admin,
                  "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, key, payload, headers,"
                  "   created_at, error, message)"
                  " select '" DAEMON_RELAY
                  "', id, 0, id, topic, 'held', payload, headers, created_at, 'TEST', 'held'"
                  " from outbox.event order by id limit 1");
    postgres_exec(outbox->admin,
                  "insert into outbox.held_event (relay, event_id, tick, hold, slot)"
                  " select l.relay, e.id, 0, l.hold, e.slot from outbox.dead_letter l, outbox.event e"
                  " where e.id > l.event_id");
    postgres_exec(outbox->admin, "analyze");
}

/* From the request to its end, and what live events have of it. */
static void
release_held(struct bench *bench, struct outbox *outbox)
{
    const struct daemon_options options = {.conninfo = outbox_conninfo(outbox, POSTGRES_RELAY),
                                           .bootstrap = venue_bootstrap(bench->venue)};
    struct daemon *relay = daemon_start(&options);
    daemon_wait_ready(relay);
    int64_t from_us = clock_monotonic_us();
    const struct latency_load load = {EVENTS_A_SECOND, EVENTS_A_SECOND * LATENCY_S};
    postgres_exec(outbox->admin, "select outbox.dead_retry(relay, event_id) from outbox.dead_letter");
    struct latencies live = latency_of_commits(outbox, bench->venue, &load, NULL);
    int64_t left = postgres_int(outbox->admin, "select count(*) from outbox.held_event");
    stage_progress("live events beside the retry: p50 %.2f ms, p99 %.2f ms; then %" PRId64 " were held still",
                   live.p50, live.p99, left);
    wait_for(postgres_int(outbox->admin, "select count(*) from outbox.dead_letter") == 0, RETRY_MS);
    int64_t took_us = clock_monotonic_us() - from_us;
    CHECK(postgres_int(outbox->admin, "select count(*) from outbox.held_event") == 0);
    if (daemon_terminate(relay) != 0)
        test_fail("the relay did not end well:\n%s", daemon_log(relay));
    daemon_free(relay);
    printf("%-28s%10.0f\n", "  .. and their retry, events/s", (double)bench->held * 1e6 / (double)took_us);
}

static void
measure_held(struct bench *bench)
{
    struct outbox outbox;
    outbox_open_beside(&outbox, &bench->fresh);
    stage_progress("holding %" PRId64 " events", bench->held);
    hold(bench, &outbox);
    outbox_start_now(&outbox);
    measure(bench, "events held", &outbox, STAGE_EVENTS_A_TRANSACTION);
    release_held(bench, &outbox);
    outbox_close(&outbox);
}

int
main(void)
{
    struct bench bench = {.events = strtoll(stage_option("EVENTS", "1000000"), NULL, 10),
                          .retained = strtoll(stage_option("RETAINED", "50000000"), NULL, 10),
                          .open_s = strtoll(stage_option("OPEN_S", "1800"), NULL, 10),
                          .held = strtoll(stage_option("HELD", "1000000"), NULL, 10),
                          .rounds = (int)strtol(stage_option("ROUNDS", "3"), NULL, 10)};
    if (bench.events < 100000 || bench.rounds < 1 || bench.rounds > ROUNDS_MAX)
        test_fail("EVENTS is 100000 or more, ROUNDS 1 to %d", ROUNDS_MAX);
    stage_progress("starting Postgres and a broker");
    bench.venue = venue_open(stage_option("BROKERS", "mock"));
    outbox_open(&bench.fresh, 0);
    outbox_start_now(&bench.fresh);
    printf("medians of %d rounds, an old and a fresh outbox in turn; %" PRId64
           " events; latency at %d events/s, commit to consumer, ms\n"
           "%-28s%10s%10s%7s%9s%8s%9s%8s\n",
           bench.rounds, bench.events, EVENTS_A_SECOND, "", "drain/s", "fresh", "ratio", "p50", "fresh",
           "p99", "fresh");
    measure_large(&bench);
    if (bench.held > 1)
        measure_held(&bench);
    if (bench.retained > 0)
        measure_retained(&bench);
    if (bench.open_s > 0)
        measure_open(&bench);
    outbox_close(&bench.fresh);
    venue_close(bench.venue);
    return 0;
}
