/* results.c: medians, the table, the JSON (results.h). */
#include "results.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The figures to reach, by this project's design: shares of the bare producer's rate, milliseconds, per cent of a core. */
#define GOAL_RATIO 0.90
#define GOAL_EXACT_RATIO 0.80
#define GOAL_P50_MS 3.0
#define GOAL_P99_MS 15.0

#define KAFKA_VERSION "4.1.0"

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double
results_median(const double *values, int count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double
results_round(double value, double unit)
{
    return (double)(int64_t)(value / unit + 0.5) * unit;
}

/* ---- the machine ---- */

static json_t *
machine(void)
{
    struct utsname kernel;
    double load[3] = {0};
    char model[128] = "unknown";
    char *cpuinfo = scratch_read_file("/proc/cpuinfo"), *at = strstr(cpuinfo, "model name\t: ");
    if (at != NULL)
        sscanf(at, "model name\t: %127[^\n]", model);
    free(cpuinfo);
    CHECK(uname(&kernel) == 0);
    (void)getloadavg(load, 3);
    return json_pack("{s:i, s:s, s:s, s:I, s:f}", "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "processor",
                     model, "kernel", kernel.release, "memory_mib",
                     (json_int_t)(sysconf(_SC_PHYS_PAGES) / 1024 * sysconf(_SC_PAGESIZE) / 1024),
                     "load_average_at_start", results_round(load[0], 0.01));
}

json_t *
results_begin(int64_t events)
{
    return json_pack("{s:I, s:o, s:{s:s, s:s, s:s, s:s}, s:{s:I, s:i, s:i, s:i}, s:[], s:[], s:[], s:[]}",
                     "started_at_us", (json_int_t)clock_wall_us(), "machine", machine(), "versions",
                     "outboxd", OUTBOXD_VERSION, "librdkafka", rd_kafka_version_str(), "compiler",
                     __VERSION__, "kafka", KAFKA_VERSION, "backlog", "events", (json_int_t)events,
                     "payload_bytes", STAGE_PAYLOAD_BYTES, "key_bytes", STAGE_KEY_BYTES, "partitions",
                     STAGE_PARTITIONS, "drain", "exact", "latency", "service");
}

/* ---- drain ---- */

static json_t *
side(const struct drained *rounds, int count)
{
    double rate[ROUNDS_MAX], cpu[ROUNDS_MAX], backend[ROUNDS_MAX], rss[ROUNDS_MAX];
    json_t *rates = json_array(), *rss_over_time = json_array();
    for (int i = 0; i < RSS_SAMPLES; i++)
        json_array_append_new(rss_over_time, json_real(results_round(rounds[count - 1].rss_mib[i], 0.1)));
    for (int i = 0; i < count; i++) {
        rate[i] = rounds[i].events_per_s;
        cpu[i] = rounds[i].cpu_us;
        backend[i] = rounds[i].backend_cpu_us;
        rss[i] = rounds[i].peak_rss_mib;
        json_array_append_new(rates, json_integer((json_int_t)rate[i]));
    }
    return json_pack("{s:i, s:o, s:f, s:f, s:f, s:o}", "events_per_s", (int)results_median(rate, count),
                     "rounds", rates, "cpu_us_per_event", results_round(results_median(cpu, count), 0.001),
                     "backend_cpu_us_per_event", results_round(results_median(backend, count), 0.001),
                     "peak_rss_mib", results_round(results_median(rss, count), 0.1), "rss_mib_of_last_round",
                     rss_over_time);
}

static json_t *
drain_line(const char *broker, const char *compression, const struct drain_rounds *rounds, double goal)
{
    double ratio[ROUNDS_MAX];
    json_t *ratios = json_array();
    for (int i = 0; i < rounds->count; i++) {
        ratio[i] = rounds->relay[i].events_per_s / rounds->bare[i].events_per_s;
        json_array_append_new(ratios, json_real(results_round(ratio[i], 0.001)));
    }
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:o, s:f, s:o, s:f}", "broker", broker, "compression", compression, "relay",
        side(rounds->relay, rounds->count), "bare", side(rounds->bare, rounds->count), "ratio",
        results_round(results_median(ratio, rounds->count), 0.001), "ratios", ratios, "goal", goal);
    return line;
}

void
results_add_drain(json_t *results, const char *broker, const char *compression,
                  const struct drain_rounds *rounds)
{
    json_array_append_new(json_object_get(results, "drain"),
                          drain_line(broker, compression, rounds, GOAL_RATIO));
}

void
results_add_exact(json_t *results, const struct drain_rounds *rounds)
{
    json_array_append_new(json_object_get(results, "exact"),
                          drain_line("kafka", "none", rounds, GOAL_EXACT_RATIO));
}

/* ---- latency ---- */

static json_t *
percentiles(const struct latencies *latencies)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50_ms", results_round(latencies->p50, 0.01), "p90_ms",
                     results_round(latencies->p90, 0.01), "p99_ms", results_round(latencies->p99, 0.01),
                     "max_ms", results_round(latencies->max, 0.01));
}

void
results_add_latency(json_t *results, const char *broker, const struct latency_results *found)
{
    json_t *line = json_pack("{s:s, s:f, s:o, s:o, s:o, s:f, s:{s:f, s:f}}", "broker", broker, "events_per_s",
                             found->events_per_s, "commit", percentiles(&found->commit), "commit_to_consumer",
                             percentiles(&found->relay), "produce_to_consumer", percentiles(&found->bare),
                             "cpu_percent", results_round(found->cpu_percent, 0.1), "goal", "p50_ms",
                             GOAL_P50_MS, "p99_ms", GOAL_P99_MS);
    json_array_append_new(json_object_get(results, "latency"), line);
}

/* ---- the table ---- */

double
results_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

const char *
results_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void
print_drain(const json_t *line, FILE *to)
{
    const json_t *relay = json_object_get(line, "relay"), *bare = json_object_get(line, "bare");
    fprintf(to, "%-7s%-9s%10.0f%12.0f%8.3f%7.2f%12.2f%9.2f%9.2f%10.0f\n", results_text(line, "broker"),
            results_text(line, "compression"), results_number(relay, "events_per_s"),
            results_number(bare, "events_per_s"), results_number(line, "ratio"), results_number(line, "goal"),
            results_number(relay, "cpu_us_per_event"), results_number(bare, "cpu_us_per_event"),
            results_number(relay, "backend_cpu_us_per_event"), results_number(relay, "peak_rss_mib"));
}

static void
print_latency(const json_t *line, FILE *to, const char *key, const char *what)
{
    const json_t *found = json_object_get(line, key);
    fprintf(to, "%-7s%6.0f  %-36s%8.2f%8.2f%8.2f%8.2f\n", results_text(line, "broker"),
            results_number(line, "events_per_s"), what, results_number(found, "p50_ms"),
            results_number(found, "p90_ms"), results_number(found, "p99_ms"),
            results_number(found, "max_ms"));
}

void
results_print(const json_t *results, FILE *to)
{
    const json_t *host = json_object_get(results, "machine"),
                 *versions = json_object_get(results, "versions");
    const json_t *backlog = json_object_get(results, "backlog"), *line;
    size_t i;
    fprintf(to, "\n%.0f cores %s, load %.1f at start; outboxd %s, librdkafka %s, Postgres %s, Kafka %s\n",
            results_number(host, "cores"), results_text(host, "processor"),
            results_number(host, "load_average_at_start"), results_text(versions, "outboxd"),
            results_text(versions, "librdkafka"), results_text(versions, "postgres"),
            results_text(versions, "kafka"));
    fprintf(
        to,
        "\ndrain of %.0f committed events of %d bytes; medians, relay and bare producer in turn\n"
        "                     events/s    events/s                   CPU us an event: relay's   relay's\n"
        "broker compressed      relay        bare   ratio   goal       relay     bare  backend   RSS MiB\n",
        results_number(backlog, "events"), STAGE_PAYLOAD_BYTES);
    json_array_foreach(json_object_get(results, "drain"), i, line) print_drain(line, to);
    if (json_array_size(json_object_get(results, "exact")) > 0)
        fprintf(to, "\nthe same by relays that deliver exactly once and at least once, in turn\n"
                    "                  exactly once  at least              CPU us an event: exact  at least  "
                    "backend\n");
    json_array_foreach(json_object_get(results, "exact"), i, line) print_drain(line, to);
    fprintf(to,
            "\nlatency in ms (goals of the relay at 500 events/s: p50 %.0f, p99 %.0f)\n%-51s%8s%8s%8s%8s\n",
            GOAL_P50_MS, GOAL_P99_MS, "broker  ev/s", "p50", "p90", "p99", "max");
    json_array_foreach(json_object_get(results, "latency"), i, line)
    {
        print_latency(line, to, "commit", "insert called -> commit returned");
        print_latency(line, to, "commit_to_consumer", "commit returned -> consumer, relay");
        print_latency(line, to, "produce_to_consumer", "produce called -> consumer, bare");
    }
    results_print_service(results, to);
}

void
results_write(json_t *results, const char *path)
{
    double started_at_us = results_number(results, "started_at_us");
    json_object_set_new(results, "took_s",
                        json_real(results_round(((double)clock_wall_us() - started_at_us) / 1e6, 0.1)));
    if (json_dump_file(results, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0)
        test_fail("%s: cannot write it", path);
}
