/* soak.c: the hostile load, a leader, a standby and faults for as long as asked, in rounds. At the end of each round everything in
 * Kafka is compared with everything that was committed. Called by soak.sh; the last line counts rounds: `N passed, N failed`.
 *
 *   round: topics of its own -> load and faults -> the load ends -> all is confirmed -> judged -> topics and ledger are emptied
 *
 * The database, the journal and the relay's processes go on from round to round. */
#include "soak/stage.h"

#include "base/clock.h"
#include "support/checker.h"
#include "support/load.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPICS 2
#define PARTITIONS 3
#define WRITERS 8
/* Of each writer between transactions: some hundred events a second, so that a round fits into memory when it is judged. */
#define PAUSE_US 40000
#define ROUND_S 120
#define CONFIRM_MS 120000
/* The ring goes round in six minutes; what is confirmed stays for two. */
#define SLOT_WIDTH_US (INT64_C(30) * 1000000)

struct totals {
    uint64_t rounds, failed;
    size_t events, duplicates, runs, lost, phantom, reordered, changed;
    long peak_rss_kib;
};

static int64_t
number(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

static void
open_stage(struct stage *stage, uint64_t seed)
{
    static const char *const overrides[] = {"lease=1s", "memory=16MiB", "retention=2m", NULL};
    stage->random = seed;
    stage->started_us = clock_monotonic_us();
    stage->postgres = postgres_start(NULL);
    stage->broker = broker_start(NULL);
    stage->database = postgres_create_ring(stage->postgres, SLOT_WIDTH_US);
    PGconn *admin = postgres_open(stage->postgres, stage->database, POSTGRES_ADMIN);
    load_prepare(admin);
    PQfinish(admin);
    const struct daemon_options options = {
        .conninfo = postgres_conninfo(stage->postgres, stage->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(stage->broker),
        .overrides = overrides,
    };
    for (int i = 0; i < STAGE_RELAYS; i++) {
        stage->relays[i] = daemon_start(&options);
        daemon_wait_ready(stage->relays[i]);
    }
}

static void
close_stage(struct stage *stage)
{
    for (int i = 0; i < STAGE_RELAYS; i++)
        daemon_free(stage->relays[i]);
    broker_free(stage->broker);
    postgres_free(stage->postgres);
}

static void
run_load(struct stage *stage, const char *const *topics, int64_t until_us)
{
    const struct load_options options = {
        .admin = postgres_conninfo(stage->postgres, stage->database, POSTGRES_ADMIN),
        .writer = postgres_conninfo(stage->postgres, stage->database, POSTGRES_WRITER),
        .topics = topics,
        .writers = WRITERS,
        .pause_us = PAUSE_US,
        .seed = stage->random,
    };
    struct load *load = load_start(&options);
    stage_rest(stage, 1000, 2000);
    while (clock_monotonic_us() < until_us) {
        stage_disturb(stage);
        stage_rest(stage, 500, 6000);
    }
    struct load_totals totals = load_stop(load);
    load_totals_print(&totals, stderr);
}

/* True when everything that is visible now was confirmed. */
static bool
all_confirmed(void *context)
{
    struct stage *stage = context;
    stage_rest(stage, 0, 0); /* looks after the relays */
    PGconn *admin = postgres_open(stage->postgres, stage->database, POSTGRES_ADMIN);
    bool confirmed =
        postgres_int(
            admin,
            "select count(*) from (select confirmed_seq from outbox.journal where relay = 'main'"
            "   order by seq desc limit 1) n"
            " join outbox.journal c on c.relay = 'main' and c.seq = n.confirmed_seq"
            " where not exists (select from outbox.event e where e.xid >= pg_snapshot_xmax(c.snapshot))"
            " and not exists (select from pg_snapshot_xip(c.snapshot) x(xid)"
            "   join outbox.event e on e.xid = x.xid)") == 1;
    PQfinish(admin);
    return confirmed;
}

static struct verdict
judge(struct stage *stage, const char *const *topics)
{
    struct expected_events events = {0};
    PGconn *admin = postgres_open(stage->postgres, stage->database, POSTGRES_ADMIN);
    load_read_ledger(&events, admin);
    struct verdict verdict = checker_compare(&events, broker_bootstrap(stage->broker), topics, DAEMON_SOURCE);
    expected_free(&events);
    postgres_exec(admin, "truncate load.ledger; update load.counter set n = 0 where n > 0");
    PQfinish(admin);
    for (int i = 0; topics[i] != NULL; i++)
        broker_delete_topic(stage->broker, topics[i]);
    return verdict;
}

static void
count_round(struct totals *totals, const struct verdict *verdict, bool good)
{
    totals->rounds++;
    totals->failed += !good;
    totals->events += verdict->expected;
    totals->duplicates += verdict->duplicates;
    totals->runs += verdict->duplicate_runs;
    totals->lost += verdict->lost;
    totals->phantom += verdict->phantom;
    totals->reordered += verdict->reordered;
    totals->changed += verdict->changed;
}

/* What is kept: it grows until the ring has gone round, and not after. */
static void
print_held(struct stage *stage)
{
    PGconn *admin = postgres_open(stage->postgres, stage->database, POSTGRES_ADMIN);
    printf("; %" PRId64 " events in the outbox, %" PRId64 " rows in the journal\n",
           postgres_int(admin, "select count(*) from outbox.event"),
           postgres_int(admin, "select count(*) from outbox.journal"));
    PQfinish(admin);
    fflush(stdout);
}

static void
run_round(struct stage *stage, struct totals *totals, int64_t until_us)
{
    const char *topics[TOPICS + 1] = {NULL};
    uint64_t died = stage->died;
    for (int i = 0; i < TOPICS; i++) {
        char *name = must_format("round%" PRIu64 "-%d", totals->rounds, i);
        topics[i] = broker_topic_name(stage->broker, name);
        broker_create_topic(stage->broker, topics[i], PARTITIONS, NULL);
        free(name);
    }
    run_load(stage, topics, until_us);
    bool confirmed = wait_until(all_confirmed, stage, CONFIRM_MS);
    if (!confirmed)
        fprintf(stderr, "soak: not everything is confirmed %d s after the last fault\n", CONFIRM_MS / 1000);
    struct verdict verdict = judge(stage, topics);
    bool good = confirmed && verdict_clean(&verdict) && stage->died == died;
    count_round(totals, &verdict, good);
    for (int i = 0; i < STAGE_RELAYS; i++) {
        long rss_kib = daemon_peak_rss_kib(stage->relays[i]);
        totals->peak_rss_kib = rss_kib > totals->peak_rss_kib ? rss_kib : totals->peak_rss_kib;
    }
    printf("soak: %7.1f s  round %" PRIu64
           " %s: events %zu, lost %zu, phantom %zu, reordered %zu, changed %zu,"
           " duplicates %zu in %zu runs",
           stage_seconds(stage), totals->rounds, good ? "passed" : "FAILED", verdict.expected, verdict.lost,
           verdict.phantom, verdict.reordered, verdict.changed, verdict.duplicates, verdict.duplicate_runs);
    print_held(stage);
}

int
main(void)
{
    struct stage stage = {0};
    struct totals totals = {0};
    int64_t seconds = number("SOAK_SECONDS", 300), seed = number("SEED", clock_wall_us() % 1000000000);
    printf("soak: %" PRId64 " s, SEED=%" PRId64 "\n", seconds, seed);
    fflush(stdout);
    open_stage(&stage, (uint64_t)seed);
    int64_t end_us = clock_monotonic_us() + seconds * 1000000;
    while (clock_monotonic_us() < end_us) {
        int64_t round_end_us = clock_monotonic_us() + INT64_C(1000000) * ROUND_S;
        run_round(&stage, &totals, round_end_us < end_us ? round_end_us : end_us);
    }
    printf("soak: %.0f s, seed %" PRId64 ", %" PRIu64
           " faults, %zu events: lost %zu, phantom %zu, reordered %zu,"
           " changed %zu, duplicates %zu in %zu runs; peak RSS of a relay %ld MiB\n",
           stage_seconds(&stage), seed, stage.faults, totals.events, totals.lost, totals.phantom,
           totals.reordered, totals.changed, totals.duplicates, totals.runs, totals.peak_rss_kib / 1024);
    close_stage(&stage);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", totals.rounds - totals.failed, totals.failed);
    return totals.failed == 0 ? 0 : 1;
}
