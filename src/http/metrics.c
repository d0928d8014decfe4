/* metrics.c: writes the metrics. The names are a promise to dashboards and alerts: they never change their
 * meaning. */
#include "http/metrics.h"

#include "base/error.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double latency_bounds[] = SNAPSHOT_LATENCY_BOUNDS;
_Static_assert(sizeof latency_bounds / sizeof *latency_bounds == SNAPSHOT_LATENCY_BUCKETS - 1,
               "the last bucket is +Inf");

static void
write_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* 15 digits: a count of up to 10^15 is exact, and 0.1 is written as 0.1. */
static void
write_number(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN\n", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf\n" : "-Inf\n", out);
    else
        fprintf(out, "%.15g\n", value);
}

static void
write_gauge(FILE *out, const char *name, const char *help, double value)
{
    write_head(out, name, "gauge", help);
    fprintf(out, "%s ", name);
    write_number(out, value);
}

static void
write_counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    write_head(out, name, "counter", help);
    fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* The format escapes these three and nothing else; what is not UTF-8 would spoil the whole scrape. */
static void
write_label(FILE *out, const char *name, const char *label, const char *value)
{
    char *clean = utf8_clean(value);
    fprintf(out, "%s{%s=\"", name, label);
    for (const char *at = clean; *at != '\0'; at++) {
        if (*at == '\\' || *at == '"')
            fprintf(out, "\\%c", *at);
        else if (*at == '\n')
            fputs("\\n", out);
        else
            fputc(*at, out);
    }
    fputs("\"} ", out);
    free(clean);
}

static void
write_labelled_counter(FILE *out, const char *name, const char *label, const char *value, uint64_t count)
{
    write_label(out, name, label, value);
    fprintf(out, "%llu\n", (unsigned long long)count);
}

/* ---- topics
 * ------------------------------------------------------------------------------------------------- */

/* One of the two counters. A selected topic of which nothing came through yet is published 0 times; a topic
 * that is passed over has no such line. */
static void
write_topics(FILE *out, const struct snapshot *snapshot, const char *name, bool passed_over)
{
    size_t written = 0;
    uint64_t other = 0;
    for (size_t i = 0; i < snapshot->topic_count; i++) {
        const struct snapshot_topic *topic = &snapshot->topics[i];
        uint64_t count = passed_over ? topic->passed_over : topic->published;
        if (count == 0 && (passed_over || topic->passed_over > 0))
            continue;
        if (written++ < METRICS_TOPICS_MAX)
            write_labelled_counter(out, name, "topic", topic->name, count);
        else
            other += count;
    }
    if (written > METRICS_TOPICS_MAX)
        write_labelled_counter(out, name, "topic", "(other)", other);
}

static void
write_publishing(FILE *out, const struct snapshot *snapshot)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < snapshot->topic_count; i++)
        bytes += snapshot->topics[i].published_bytes;
    write_head(out, "outbox_published_total", "counter",
               "Events acknowledged by Kafka since the start, by topic.");
    write_topics(out, snapshot, "outbox_published_total", false);
    write_counter(out, "outbox_published_bytes_total",
                  "Bytes of keys and payloads acknowledged by Kafka since the start.", bytes);
    write_head(out, "outbox_passed_over_total", "counter",
               "Events of topics that this relay does not select, by topic.");
    write_topics(out, snapshot, "outbox_passed_over_total", true);
}

/* ---- the others
 * --------------------------------------------------------------------------------------------- */

static void
write_latency(FILE *out, const struct snapshot *snapshot)
{
    static const char name[] = "outbox_publish_latency_seconds";
    uint64_t below = 0;
    write_head(out, name, "histogram", "Time from created_at of an event to its acknowledgement by Kafka.");
    for (size_t i = 0; i < SNAPSHOT_LATENCY_BUCKETS; i++) {
        below += snapshot->latency_buckets[i];
        if (i < SNAPSHOT_LATENCY_BUCKETS - 1)
            fprintf(out, "%s_bucket{le=\"%g\"} %llu\n", name, latency_bounds[i], (unsigned long long)below);
        else
            fprintf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)below);
    }
    fprintf(out, "%s_sum ", name);
    write_number(out, snapshot->latency_sum_seconds);
    fprintf(out, "%s_count %llu\n", name, (unsigned long long)below);
}

static void
write_errors(FILE *out, const struct snapshot *snapshot)
{
    static const char *const kinds[SNAPSHOT_ERROR_COUNT] = {
        [SNAPSHOT_ERROR_EVENT] = "event",       [SNAPSHOT_ERROR_TOPIC] = "topic",
        [SNAPSHOT_ERROR_BROKER] = "broker",     [SNAPSHOT_ERROR_FENCED] = "fenced",
        [SNAPSHOT_ERROR_POSTGRES] = "postgres",
    };
    write_head(out, "outbox_errors_total", "counter", "Errors since the start, by whose fault they were.");
    for (size_t i = 0; i < SNAPSHOT_ERROR_COUNT; i++)
        write_labelled_counter(out, "outbox_errors_total", "kind", kinds[i], snapshot->errors[i]);
}

static void
write_backlog(FILE *out, const struct snapshot *snapshot)
{
    write_gauge(out, "outbox_lag_seconds",
                "Age of the oldest event known to be unconfirmed; 0 when there is none.",
                snapshot->lag_seconds);
    write_gauge(out, "outbox_lag_events", "Events committed and not yet confirmed, at most.",
                (double)snapshot->lag_events);
    write_gauge(out, "outbox_tick_events", "Events of the last tick that was not empty.",
                snapshot->tick_events);
    write_gauge(
        out, "outbox_stuck",
        "1 while publishing stands still in front of an event that Kafka refuses; /health/ready says which.",
        snapshot->trouble[0] != '\0');
    write_gauge(out, "outbox_paused",
                "1 while somebody has paused the whole relay, which publishes nothing: outboxd resume.",
                snapshot->paused);
    write_gauge(out, "outbox_dead_letters",
                "Events that Kafka refused for their own sake, waiting for a person: outboxd dead.",
                (double)snapshot->dead_letters);
    write_gauge(out, "outbox_held_events", "Events waiting behind a dead letter of their key.",
                (double)snapshot->held_events);
    write_gauge(out, "outbox_paused_topics",
                "Topics that take nothing or were paused by hand: their events wait, the others flow.",
                (double)snapshot->paused_topics);
    write_gauge(out, "outbox_paused_topic_seconds",
                "Time since the oldest pause of a topic began; 0 when there is none.",
                snapshot->paused_topic_seconds);
    write_gauge(out, "outbox_in_flight_events", "Events sent and not yet acknowledged by Kafka.",
                (double)snapshot->in_flight_events);
    write_gauge(out, "outbox_in_flight_bytes", "Bytes of the events in flight, with their overhead.",
                (double)snapshot->in_flight_bytes);
    write_gauge(out, "outbox_memory_limit_bytes", "The bound of outbox_in_flight_bytes.",
                (double)snapshot->memory_bytes);
}

static void
write_role(FILE *out, const struct snapshot *snapshot)
{
    write_gauge(out, "outbox_leader", "1 while this process leads its relay and its lease holds, else 0.",
                snapshot->leader);
    write_gauge(out, "outbox_epoch", "The newest epoch of the relay that this process knows.",
                (double)snapshot->epoch);
    write_counter(out, "outbox_takeovers_total", "Times that this process became leader.",
                  snapshot->takeovers);
    write_counter(out, "outbox_ticks_total", "Ticks with events that this process opened.", snapshot->ticks);
    write_counter(out, "outbox_polls_total", "Times that Postgres was asked for events.", snapshot->polls);
    write_counter(out, "outbox_postgres_connects_total", "Connections made to Postgres.",
                  snapshot->postgres_connects);
    write_counter(out, "outbox_producer_instances_total", "Kafka producers made; every failed send ends one.",
                  snapshot->producer_instances);
    write_counter(out, "outbox_log_dropped_total",
                  "Log lines lost because standard error could not take them.", snapshot->log_dropped);
}

static void
write_kafka(FILE *out, const struct snapshot *snapshot)
{
    write_gauge(out, "outbox_kafka_brokers_up", "Brokers that librdkafka is connected to.",
                snapshot->kafka_brokers_up);
    write_gauge(out, "outbox_kafka_queue_messages", "Messages waiting or in flight in librdkafka.",
                (double)snapshot->kafka_queue_messages);
    write_gauge(out, "outbox_kafka_queue_bytes", "Bytes waiting or in flight in librdkafka.",
                (double)snapshot->kafka_queue_bytes);
    write_gauge(out, "outbox_kafka_rtt_p99_seconds",
                "99th percentile of the round trip to the slowest broker.", snapshot->kafka_rtt_p99_seconds);
    write_counter(out, "outbox_kafka_transmitted_bytes_total",
                  "Bytes sent to brokers by the present producer.", snapshot->kafka_transmitted_bytes);
    write_counter(out, "outbox_kafka_transmit_errors_total", "Failed transmissions of the present producer.",
                  snapshot->kafka_transmit_errors);
    write_counter(out, "outbox_kafka_transmit_retries_total", "Repeated requests of the present producer.",
                  snapshot->kafka_transmit_retries);
}

char *
metrics_write(const struct snapshot *snapshot, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    CHECK(out != NULL);
    write_backlog(out, snapshot);
    write_publishing(out, snapshot);
    write_latency(out, snapshot);
    write_errors(out, snapshot);
    write_role(out, snapshot);
    write_kafka(out, snapshot);
    write_head(out, "outbox_build_info", "gauge", "1; the label says which version runs.");
    write_label(out, "outbox_build_info", "version", OUTBOXD_VERSION);
    fputs("1\n", out);
    write_gauge(out, "process_start_time_seconds", "Start of the process in seconds since 1970-01-01 UTC.",
                (double)snapshot->started_at_us / 1e6);
    CHECK(fclose(out) == 0);
    return text;
}
