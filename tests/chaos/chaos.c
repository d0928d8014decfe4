/* chaos.c: the campaign: hostile writers, two processes of one relay and faults for as long as asked, in rounds. At the end of each round
 * everything heals, and everything in Kafka is compared with everything that was committed. Called by chaos.sh, which explains the
 * environment; the last line counts rounds: `N passed, N failed`.
 *
 *   round: topics of its own -> relays start -> load and ten faults -> the load ends -> all is confirmed -> relays stop -> judged
 *
 * The database, the journal and the cluster go on from round to round; with DELIVERY=both the delivery changes from one to the next. The
 * first round that fails is the last one, so that what it leaves can be looked at. */
#include "chaos/faults.h"
#include "chaos/judge.h"

#include "base/clock.h"
#include "support/load.h"
#include "support/postgres_standby.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTITIONS 3
#define WRITERS 8
#define KEYS 100
/* Of each writer between transactions: some hundred events a second, so that a round fits into memory when it is judged. */
#define PAUSE_US 40000
#define FAULTS_A_ROUND 10
/* I6: 64 MiB and `memory`, and three times the largest event */
#define RSS_BOUND_KIB ((64 + 16) * 1024 + 3 * 64)
#define PROGRESS_US 500000

struct campaign {
    int64_t seconds;
    uint64_t seed, moments;
    int64_t end_us;
    const char *delivery, *only, *evidence;
    struct load *load;
    bool failed;
};

/* Of the rounds of one delivery. */
struct totals {
    uint64_t rounds, failed;
    struct verdict sum;
};

static struct campaign campaign;
static struct totals totals[2]; /* [exact] */
static int64_t longest_confirmation_us;

static int64_t
number(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

static const char *
word(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? text : otherwise;
}

/* On a terminal, one line that the next one is written over. */
static void
show_progress(const struct stage *stage)
{
    static int64_t next_us;
    if (clock_monotonic_us() < next_us)
        return;
    next_us = clock_monotonic_us() + PROGRESS_US;
    printf("\033[K%.0f of %" PRId64 " s, round %" PRIu64 ", %" PRIu64 " faults, %" PRIu64 " events\r",
           stage_seconds(stage), campaign.seconds, totals[0].rounds + totals[1].rounds + 1, faults_injected(),
           campaign.load != NULL ? load_committed_events(campaign.load) : 0);
    fflush(stdout);
}

static void
run_load(struct stage *stage, uint64_t round)
{
    const struct load_options options = {
        .admin = postgres_conninfo_of_both(stage->postgres, stage->standby, stage->database, POSTGRES_ADMIN),
        .writer =
            postgres_conninfo_of_both(stage->postgres, stage->standby, stage->database, POSTGRES_WRITER),
        .topics = stage->topics,
        .writers = WRITERS,
        .keys = KEYS,
        .pause_us = PAUSE_US,
        .seed = campaign.seed * 1000 + round + 1,
    };
    campaign.load = load_start(&options);
    for (int i = 0; i < FAULTS_A_ROUND && clock_monotonic_us() < campaign.end_us; i++) {
        struct moment moment;
        plan_draw(&moment, campaign.seed, ++campaign.moments, campaign.only);
        stage_strike(stage, &moment);
    }
    struct load_totals sum = load_stop(campaign.load);
    campaign.load = NULL;
    load_totals_print(&sum, stderr);
}

static void
open_round(struct stage *stage, uint64_t round)
{
    for (int i = 0; i < STAGE_TOPICS; i++) {
        char *name = must_format("round%" PRIu64 "-%d", round + 1, i);
        stage->topics[i] = broker_topic_name(stage->broker, name);
        broker_create_topic(stage->broker, stage->topics[i], PARTITIONS, NULL);
        free(name);
    }
    stage->exact = strcmp(campaign.delivery, "both") == 0 ? round % 2 == 0
                                                          : strcmp(campaign.delivery, "exactly-once") == 0;
    stage_start_relays(stage);
}

static void
count_round(struct totals *of, const struct verdict *verdict, bool good)
{
    of->rounds++;
    of->failed += !good;
    of->sum.expected += verdict->expected;
    of->sum.lost += verdict->lost;
    of->sum.phantom += verdict->phantom;
    of->sum.reordered += verdict->reordered;
    of->sum.changed += verdict->changed;
    of->sum.duplicates += verdict->duplicates;
    of->sum.duplicate_runs += verdict->duplicate_runs;
}

/* With what is kept: it grows until the ring has gone round, and not after. */
static void
print_round(struct stage *stage, uint64_t round, const struct verdict *verdict, bool good)
{
    PGconn *admin = stage_admin(stage);
    printf("chaos: %7.1f s  round %" PRIu64
           ", %s, %s: events %zu, lost %zu, phantom %zu, reordered %zu, changed "
           "%zu, duplicates %zu in %zu runs; %" PRId64 " events in the outbox, %" PRId64
           " rows in the journal\n",
           stage_seconds(stage), round + 1, stage->exact ? "exactly once" : "at least once",
           good ? "passed" : "FAILED", verdict->expected, verdict->lost, verdict->phantom, verdict->reordered,
           verdict->changed, verdict->duplicates, verdict->duplicate_runs,
           postgres_int(admin, "select count(*) from outbox.event"),
           postgres_int(admin, "select count(*) from outbox.journal"));
    PQfinish(admin);
    fflush(stdout);
}

static void
run_round(struct stage *stage, uint64_t round)
{
    uint64_t died = stage->died;
    open_round(stage, round);
    run_load(stage, round);
    int64_t healed_us = clock_monotonic_us();
    bool confirmed = judge_await_confirmed(stage);
    int64_t took_us = clock_monotonic_us() - healed_us;
    longest_confirmation_us = took_us > longest_confirmation_us ? took_us : longest_confirmation_us;
    stage_stop_relays(stage);
    struct verdict verdict = judge_round(stage, campaign.evidence);
    if (stage->peak_rss_kib > RSS_BOUND_KIB)
        stage_say(stage, "a relay needed %ld KiB of memory, more than %d", stage->peak_rss_kib,
                  RSS_BOUND_KIB);
    bool good = confirmed && judge_good(stage, &verdict) && stage->died == died &&
                stage->peak_rss_kib <= RSS_BOUND_KIB;
    count_round(&totals[stage->exact], &verdict, good);
    print_round(stage, round, &verdict, good);
    campaign.failed = !good;
    if (good)
        judge_forget(stage);
}

static void
print_verdict(const struct stage *stage)
{
    printf("\nseed %" PRIu64 ", delivery %s: %.0f s, %" PRIu64 " faults, two at a time counted twice\n",
           campaign.seed, campaign.delivery, stage_seconds(stage), faults_injected());
    faults_print_counts();
    printf("%-14s %7s %7s %9s %6s %8s %10s %8s %11s %6s\n", "delivery", "rounds", "failed", "events", "lost",
           "phantom", "reordered", "changed", "duplicates", "runs");
    for (int exact = 0; exact < 2; exact++) {
        const struct totals *of = &totals[exact];
        if (of->rounds > 0)
            printf("%-14s %7" PRIu64 " %7" PRIu64 " %9zu %6zu %8zu %10zu %8zu %11zu %6zu\n",
                   exact ? "exactly-once" : "at-least-once", of->rounds, of->failed, of->sum.expected,
                   of->sum.lost, of->sum.phantom, of->sum.reordered, of->sum.changed, of->sum.duplicates,
                   of->sum.duplicate_runs);
    }
    printf(
        "RSS of a relay %ld MiB at most; longest takeover %.1f s; longest failover of Postgres until a relay "
        "leads %.1f s; longest wait until all was confirmed %.1f s; ended by themselves %" PRIu64 "\n",
        stage->peak_rss_kib / 1024, (double)stage->takeover_us / 1e6, (double)stage->failover_us / 1e6,
        (double)longest_confirmation_us / 1e6, stage->died);
}

int
main(void)
{
    struct stage stage = {.progress = isatty(STDOUT_FILENO) ? show_progress : NULL};
    campaign = (struct campaign){
        .seconds = number("CHAOS_SECONDS", 300),
        .seed = (uint64_t)number("SEED", clock_wall_us() % 1000000000),
        .delivery = word("DELIVERY", "both"),
        .only = word("FAULTS", NULL),
        .evidence = word("CHAOS_EVIDENCE", "."),
    };
    printf("chaos: %" PRId64 " s, SEED=%" PRIu64 " DELIVERY=%s%s%s\n", campaign.seconds, campaign.seed,
           campaign.delivery, campaign.only ? " FAULTS=" : "", campaign.only ? campaign.only : "");
    fflush(stdout);
    struct moment first;
    plan_draw(&first, campaign.seed, 1, campaign.only);
    if (first.first.fault == NULL) {
        fprintf(stderr, "chaos: FAULTS=%s: no fault has such a name\n", campaign.only);
        return 64;
    }
    stage_open(&stage, (unsigned)campaign.seed);
    campaign.end_us = clock_monotonic_us() + campaign.seconds * 1000000;
    for (uint64_t round = 0; clock_monotonic_us() < campaign.end_us && !campaign.failed; round++)
        run_round(&stage, round);
    print_verdict(&stage);
    stage_close(&stage);
    uint64_t rounds = totals[0].rounds + totals[1].rounds, failed = totals[0].failed + totals[1].failed;
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", rounds - failed, failed);
    return failed == 0 ? 0 : 1;
}
