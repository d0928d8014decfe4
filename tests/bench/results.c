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
#define GOAL_P50_MS 3.0
#define GOAL_P99_MS 15.0
#define GOAL_IDLE_PERCENT 2.0

#define KAFKA_VERSION "4.1.0"

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double
median(const double *values, int count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double
round_to(double value, double unit)
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
                     "load_average_at_start", round_to(load[0], 0.01));
}

json_t *
results_begin(int64_t events, const struct latency_load *load)
{
    return json_pack("{s:I, s:o, s:{s:s, s:s, s:s, s:s}, s:{s:I, s:i, s:i, s:i}, s:{s:f, s:I}, s:[], s:[]}",
                     "started_at_us", (json_int_t)clock_wall_us(), "machine", machine(), "versions",
                     "outboxd", OUTBOXD_VERSION, "librdkafka", rd_kafka_version_str(), "compiler",
                     __VERSION__, "kafka", KAFKA_VERSION, "backlog", "events", (json_int_t)events,
                     "payload_bytes", STAGE_PAYLOAD_BYTES, "key_bytes", STAGE_KEY_BYTES, "partitions",
                     STAGE_PARTITIONS, "paced", "events_per_s", load->events_per_s, "events",
                     (json_int_t)load->events, "drain", "latency");
}

/* ---- drain ---- */

static json_t *
side(const struct drained *rounds, int count)
{
    double rate[ROUNDS_MAX], cpu[ROUNDS_MAX], backend[ROUNDS_MAX], rss[ROUNDS_MAX];
    json_t *rates = json_array();
    for (int i = 0; i < count; i++) {
        rate[i] = rounds[i].events_per_s;
        cpu[i] = rounds[i].cpu_us;
        backend[i] = rounds[i].backend_cpu_us;
        rss[i] = rounds[i].peak_rss_mib;
        json_array_append_new(rates, json_integer((json_int_t)rate[i]));
    }
    return json_pack("{s:i, s:o, s:f, s:f, s:f}", "events_per_s", (int)median(rate, count), "rounds", rates,
                     "cpu_us_per_event", round_to(median(cpu, count), 0.001), "backend_cpu_us_per_event",
                     round_to(median(backend, count), 0.001), "peak_rss_mib",
                     round_to(median(rss, count), 0.1));
}

void
results_add_drain(json_t *results, const char *broker, const char *compression,
                  const struct drain_rounds *rounds)
{
    double ratio[ROUNDS_MAX];
    json_t *ratios = json_array();
    for (int i = 0; i < rounds->count; i++) {
        ratio[i] = rounds->relay[i].events_per_s / rounds->bare[i].events_per_s;
        json_array_append_new(ratios, json_real(round_to(ratio[i], 0.001)));
    }
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:o, s:f, s:o, s:f}", "broker", broker, "compression", compression, "relay",
        side(rounds->relay, rounds->count), "bare", side(rounds->bare, rounds->count), "ratio",
        round_to(median(ratio, rounds->count), 0.001), "ratios", ratios, "goal", GOAL_RATIO);
    json_array_append_new(json_object_get(results, "drain"), line);
}

/* ---- latency ---- */

static json_t *
percentiles(const struct latencies *latencies)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50_ms", round_to(latencies->p50, 0.01), "p90_ms",
                     round_to(latencies->p90, 0.01), "p99_ms", round_to(latencies->p99, 0.01), "max_ms",
                     round_to(latencies->max, 0.01));
}

void
results_add_latency(json_t *results, const char *broker, const struct latency_results *found)
{
    json_t *line = json_pack("{s:s, s:o, s:o, s:o, s:f, s:{s:f, s:f, s:f}}", "broker", broker, "commit",
                             percentiles(&found->commit), "commit_to_consumer", percentiles(&found->relay),
                             "produce_to_consumer", percentiles(&found->bare), "idle_cpu_percent",
                             round_to(found->idle_cpu_percent, 0.01), "goal", "p50_ms", GOAL_P50_MS, "p99_ms",
                             GOAL_P99_MS, "idle_cpu_percent", GOAL_IDLE_PERCENT);
    json_array_append_new(json_object_get(results, "latency"), line);
}

/* ---- the table ---- */

static double
number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *
text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void
print_drain(const json_t *line, FILE *to)
{
    const json_t *relay = json_object_get(line, "relay"), *bare = json_object_get(line, "bare");
    fprintf(to, "%-7s%-9s%10.0f%12.0f%8.3f%7.2f%12.2f%9.2f%9.2f%10.0f\n", text(line, "broker"),
            text(line, "compression"), number(relay, "events_per_s"), number(bare, "events_per_s"),
            number(line, "ratio"), number(line, "goal"), number(relay, "cpu_us_per_event"),
            number(bare, "cpu_us_per_event"), number(relay, "backend_cpu_us_per_event"),
            number(relay, "peak_rss_mib"));
}

static void
print_latency(const json_t *line, FILE *to, const char *key, const char *what)
{
    const json_t *found = json_object_get(line, key);
    fprintf(to, "%-7s%-36s%8.2f%8.2f%8.2f%8.2f\n", text(line, "broker"), what, number(found, "p50_ms"),
            number(found, "p90_ms"), number(found, "p99_ms"), number(found, "max_ms"));
}

void
results_print(const json_t *results, FILE *to)
{
    const json_t *host = json_object_get(results, "machine"),
                 *versions = json_object_get(results, "versions");
    const json_t *backlog = json_object_get(results, "backlog"), *paced = json_object_get(results, "paced"),
                 *line;
    size_t i;
    fprintf(to, "\n%.0f cores %s, load %.1f at start; outboxd %s, librdkafka %s, Postgres %s, Kafka %s\n",
            number(host, "cores"), text(host, "processor"), number(host, "load_average_at_start"),
            text(versions, "outboxd"), text(versions, "librdkafka"), text(versions, "postgres"),
            text(versions, "kafka"));
    fprintf(
        to,
        "\ndrain of %.0f committed events of %d bytes; medians, relay and bare producer in turn\n"
        "                     events/s    events/s                   CPU us an event: relay's   relay's\n"
        "broker compressed      relay        bare   ratio   goal       relay     bare  backend   RSS MiB\n",
        number(backlog, "events"), STAGE_PAYLOAD_BYTES);
    json_array_foreach(json_object_get(results, "drain"), i, line) print_drain(line, to);
    fprintf(to,
            "\nlatency at %.0f events/s in ms (goals of the relay: p50 %.0f, p99 %.0f)\n%-43s%8s%8s%8s%8s\n",
            number(paced, "events_per_s"), GOAL_P50_MS, GOAL_P99_MS, "broker", "p50", "p90", "p99", "max");
    json_array_foreach(json_object_get(results, "latency"), i, line)
    {
        print_latency(line, to, "commit", "insert called -> commit returned");
        print_latency(line, to, "commit_to_consumer", "commit returned -> consumer, relay");
        print_latency(line, to, "produce_to_consumer", "produce called -> consumer, bare");
        fprintf(to, "%-7sidle relay: %.2f %% of a core (goal: %.0f %%)\n", text(line, "broker"),
                number(line, "idle_cpu_percent"), GOAL_IDLE_PERCENT);
    }
}

void
results_write(json_t *results, const char *path)
{
    double started_at_us = number(results, "started_at_us");
    json_object_set_new(results, "took_s",
                        json_real(round_to(((double)clock_wall_us() - started_at_us) / 1e6, 0.1)));
    if (json_dump_file(results, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0)
        test_fail("%s: cannot write it", path);
}
