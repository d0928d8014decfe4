/* bench_relay.c: the benchmark of the relay: drains a backlog and measures latencies beside a bare librdkafka producer, in
 * turn, on the same servers in the same run, so that the ratios hold on a busy machine too. Called by bench.sh. */
#include "bare.h"
#include "business.h"
#include "drain.h"
#include "latency.h"
#include "results.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_S 2
#define RATES 2
#define CATCH_UP_MS 60000
/* A broker's JVM compiles while it works: on two cores, what it takes for that in its first million events is missed by both. */
#define WARM_UP_ROUNDS 2
#define LOAD_S 6
/* Of each half of a round of sign-ups. */
#define BUSINESS_S 4
/* No round is begun after this; what was found so far is reported. */
#define BUDGET_S_DEFAULT "400"

struct bench {
    int64_t events;
    int rounds;
    const char *brokers, *json;
    double rates[RATES]; /* of the latencies, events a second; 0: no more */
    int64_t started_us, budget_us;
    struct outbox outbox;
    json_t *results;
};

static bool
in_time(const struct bench *bench)
{
    if (clock_monotonic_us() - bench->started_us < bench->budget_us)
        return true;
    stage_progress("the time is over: fewer rounds than asked for");
    return false;
}

static void
describe_round(const char *name, const struct drained *relay, const struct drained *bare)
{
    stage_progress("%s relay %.0f/s, bare %.0f/s: %.3f", name, relay->events_per_s, bare->events_per_s,
                   relay->events_per_s / bare->events_per_s);
}

/* One relay, then one bare producer with that relay's configuration. */
static void
drain_both(struct bench *bench, struct venue *venue, const char *compression, struct drained *relay,
           struct drained *bare)
{
    struct daemon *daemon;
    char *codec = must_format("kafka/compression.type=%s", compression);
    const char *overrides[] = {codec, NULL};
    venue_clear(venue);
    outbox_rewind(&bench->outbox);
    *relay = drain_relay(&bench->outbox, venue, overrides, bench->events, &daemon);
    *bare = drain_bare(venue, daemon_config_path(daemon), bench->events);
    daemon_free(daemon);
    free(codec);
}

static void
bench_drain(struct bench *bench, struct venue *venue, const char *compression, bool first)
{
    struct drain_rounds rounds = {0};
    char *name = must_format("drain %s %s", venue_kind(venue), compression);
    for (int i = first ? -WARM_UP_ROUNDS : 0; i < bench->rounds && in_time(bench); i++) {
        struct drained relay, bare;
        drain_both(bench, venue, compression, &relay, &bare);
        describe_round(name, &relay, &bare);
        if (i < 0)
            continue;
        rounds.relay[rounds.count] = relay;
        rounds.bare[rounds.count++] = bare;
    }
    if (rounds.count > 0)
        results_add_drain(bench->results, venue_kind(venue), compression, &rounds);
    free(name);
}

/* Delivered exactly once, then at least once: the outbox is left as one that any broker serves. The broker has compiled nothing of
 * transactions yet, so there is one round more. */
static void
bench_exact(struct bench *bench, struct venue *venue)
{
    struct drain_rounds rounds = {0};
    for (int i = -1; i < bench->rounds && in_time(bench); i++) {
        struct daemon *daemon;
        venue_clear(venue);
        outbox_rewind(&bench->outbox);
        struct drained exact = drain_exact(&bench->outbox, venue, bench->events);
        outbox_rewind(&bench->outbox);
        struct drained least = drain_relay(&bench->outbox, venue, NULL, bench->events, &daemon);
        daemon_free(daemon);
        stage_progress("drain exactly once %.0f/s, at least once %.0f/s: %.3f", exact.events_per_s,
                       least.events_per_s, exact.events_per_s / least.events_per_s);
        if (i < 0)
            continue;
        rounds.bare[i] = least;
        rounds.relay[i] = exact;
        rounds.count = i + 1;
    }
    if (rounds.count > 0)
        results_add_exact(bench->results, &rounds);
}

static void
bench_latency(struct bench *bench, struct venue *venue, const struct daemon *relay, double events_per_s)
{
    const struct latency_load load = {events_per_s, (int64_t)(events_per_s * LOAD_S)};
    struct latency_results found = {.events_per_s = events_per_s};
    if (!in_time(bench))
        return;
    stage_progress("latency %s %.0f events/s", venue_kind(venue), events_per_s);
    double cpu_s = process_cpu_s(daemon_pid(relay));
    int64_t since_us = clock_monotonic_us();
    found.relay = latency_of_commits(&bench->outbox, venue, &load, &found.commit);
    found.cpu_percent =
        (process_cpu_s(daemon_pid(relay)) - cpu_s) * 1e8 / (double)(clock_monotonic_us() - since_us);
    found.bare = latency_of_produce(venue, &load);
    results_add_latency(bench->results, venue_kind(venue), &found);
}

static double
business_beside(struct bench *bench, struct daemon *relay)
{
    daemon_again(relay);
    daemon_wait_ready(relay);
    wait_for(daemon_metric(relay, "outbox_lag_events") == 0, CATCH_UP_MS);
    double rate = business_rate(&bench->outbox, BUSINESS_S);
    wait_for(daemon_metric(relay, "outbox_lag_events") == 0, CATCH_UP_MS);
    daemon_terminate(relay);
    return rate;
}

/* Rounds of sign-ups, alone and beside the relay, each half first in turn: the tables grow, and the later half is slower. */
static void
bench_business(struct bench *bench, struct daemon *relay, struct service_results *found)
{
    daemon_terminate(relay);
    for (int i = 0; i < bench->rounds && in_time(bench); i++) {
        if (i % 2 == 1)
            found->beside[i] = business_beside(bench, relay);
        found->alone[i] = business_rate(&bench->outbox, BUSINESS_S);
        if (i % 2 == 0)
            found->beside[i] = business_beside(bench, relay);
        found->count = i + 1;
        stage_progress("sign-ups %.0f/s alone, %.0f/s beside the relay", found->alone[i], found->beside[i]);
    }
}

static void
bench_service(struct bench *bench, struct venue *venue)
{
    const struct daemon_options options = {.conninfo = outbox_conninfo(&bench->outbox, POSTGRES_RELAY),
                                           .bootstrap = venue_bootstrap(venue)};
    struct service_results found = {0};
    struct latency_load warm_up = {bench->rates[0], (int64_t)(bench->rates[0] * LOAD_S)};
    if (!in_time(bench))
        return;
    struct daemon *relay = daemon_start(&options); /* everything was drained: it has nothing to do */
    daemon_wait_ready(relay);
    /* a broker that was given large batches so far is slow with single events until its JVM has compiled that way */
    (void)latency_of_produce(venue, &warm_up);
    (void)latency_of_commits(&bench->outbox, venue, &warm_up, NULL);
    double cpu_s = process_cpu_s(daemon_pid(relay));
    sleep(IDLE_S);
    found.idle_cpu_percent = (process_cpu_s(daemon_pid(relay)) - cpu_s) / IDLE_S * 100;
    for (int i = 0; i < RATES && bench->rates[i] > 0; i++)
        bench_latency(bench, venue, relay, bench->rates[i]);
    bench_business(bench, relay, &found);
    daemon_free(relay);
    stage_progress("takeover %s", venue_kind(venue));
    found.takeover = takeover_measure(&bench->outbox, venue, false);
    if (strcmp(venue_kind(venue), "kafka") == 0)
        found.exact_takeover = takeover_measure(&bench->outbox, venue, true);
    if (found.count > 0)
        results_add_service(bench->results, venue_kind(venue), &found);
}

static void
bench_all(struct bench *bench)
{
    static const char *const kinds[] = {"mock", "kafka"};
    struct venue *venues[2] = {NULL};
    for (int i = 0; i < 2; i++) {
        if (strstr(bench->brokers, kinds[i]) == NULL)
            continue;
        stage_progress("starting %s", kinds[i]);
        venues[i] = venue_open(kinds[i]);
        bench_drain(bench, venues[i], "none", true);
        bench_drain(bench, venues[i], "lz4", false);
        if (i == 1)
            bench_exact(bench, venues[i]);
    }
    for (int i = 0; i < 2; i++)
        if (venues[i] != NULL) {
            bench_service(bench, venues[i]);
            venue_close(venues[i]);
        }
}

static void
read_options(struct bench *bench)
{
    bench->events = strtoll(stage_option("EVENTS", "500000"), NULL, 10);
    bench->rounds = (int)strtol(stage_option("ROUNDS", "5"), NULL, 10);
    bench->brokers = stage_option("BROKERS", "mock,kafka");
    bench->json = stage_option("BENCH_JSON", "build/bench.json");
    bench->budget_us = strtoll(stage_option("BUDGET_S", BUDGET_S_DEFAULT), NULL, 10) * 1000000;
    if (sscanf(stage_option("RATE", "500,5000"), "%lf,%lf", &bench->rates[0], &bench->rates[1]) < 1 ||
        bench->rates[0] < 10)
        test_fail("RATE is one or two rates of 10 or more, such as 500,5000");
    if (bench->events < 100000 || bench->rounds < 1 || bench->rounds > ROUNDS_MAX)
        test_fail("EVENTS is 100000 or more, ROUNDS 1 to %d", ROUNDS_MAX);
}

int
main(int argc, char **argv)
{
    struct bench bench = {.started_us = clock_monotonic_us()};
    if (argc == 4 && strcmp(argv[1], "--bare") == 0)
        bare_main(argv[2], argv[3]);
    read_options(&bench);
    bench.results = results_begin(bench.events);
    stage_progress("starting Postgres, committing the backlog");
    outbox_open(&bench.outbox, bench.events);
    business_prepare(&bench.outbox);
    json_object_set_new(json_object_get(bench.results, "versions"), "postgres",
                        json_string(PQparameterStatus(bench.outbox.admin, "server_version")));
    bench_all(&bench);
    outbox_close(&bench.outbox);
    results_write(bench.results, bench.json);
    results_print(bench.results, stdout);
    json_decref(bench.results);
    return 0;
}
