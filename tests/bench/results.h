/* results.h: what a run of the benchmark found: numbers in, one table and build/bench.json out. */
#ifndef OUTBOXD_TESTS_BENCH_RESULTS_H
#define OUTBOXD_TESTS_BENCH_RESULTS_H

#include "drain.h"
#include "latency.h"
#include "takeover.h"

#include <jansson.h>
#include <stdio.h>

#define ROUNDS_MAX 50

/* One line of the drain table: rounds of the relay and of the bare producer in turn. */
struct drain_rounds {
    struct drained relay[ROUNDS_MAX], bare[ROUNDS_MAX];
    int count; /* of rounds in which both ran */
};

/* The machine and the versions, as they are now. The result grows by the functions below. */
json_t *results_begin(int64_t events);

void results_add_drain(json_t *results, const char *broker, const char *compression,
                       const struct drain_rounds *rounds);

/* The same of relays that deliver exactly once (in place of the relay) and at least once (in place of the bare producer). */
void results_add_exact(json_t *results, const struct drain_rounds *rounds);

struct latency_results {
    double events_per_s;
    struct latencies commit;      /* insert called -> commit returned, for a writer */
    struct latencies relay, bare; /* commit returned -> consumer; produce called -> consumer */
    double cpu_percent;           /* of a core, by the relay at this rate */
};

void results_add_latency(json_t *results, const char *broker, const struct latency_results *found);

/* What it means for everybody else, with one broker. */
struct service_results {
    double idle_cpu_percent;                      /* of a core, by the relay while nothing comes */
    double alone[ROUNDS_MAX], beside[ROUNDS_MAX]; /* sign-ups a second, without and with relay, in turn */
    int count;                                    /* of such rounds */
    struct takeover takeover, exact_takeover;     /* the latter by real Kafka only */
};

void results_add_service(json_t *results, const char *broker, const struct service_results *found);
void results_print_service(const json_t *results, FILE *to);

/* Shared by the parts of the results. */
double results_median(const double *values, int count);
double results_round(double value, double unit);
double results_number(const json_t *object, const char *key);
const char *results_text(const json_t *object, const char *key);

void results_print(const json_t *results, FILE *to);

/* Adds the seconds that it took; ends the run with a message when the file cannot be written. */
void results_write(json_t *results, const char *path);

#endif
