/* http_metrics.c: the text that Prometheus reads. */
#include "http/metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct snapshot_topic topics[] = {
    {.name = (char[]){"orders"}, .published = 12, .published_bytes = 3400},
    {.name = (char[]){"quiet"}},
    {.name = (char[]){"not.mine"}, .passed_over = 5},
};

static struct snapshot
planted(void)
{
    return (struct snapshot){
        .source = "shop",
        .relay = "main",
        .state = "leading",
        .leader = true,
        .ready = true,
        .started_at_us = 1769860800500000,
        .epoch = 7,
        .ticks = 41,
        .tick_events = 3,
        .lag_seconds = 1.5,
        .lag_events = 20,
        .in_flight_events = 4,
        .in_flight_bytes = 2900,
        .memory_bytes = 67108864,
        .paused = true,
        .dead_letters = 2,
        .paused_topics = 3,
        .paused_topic_seconds = 61.5,
        .held_events = 9,
        .errors = {1, 2, 3, 4, 5},
        .latency_buckets = {[0] = 2, [5] = 3, [19] = 1, [20] = 4},
        .latency_sum_seconds = 12.25,
        .latency_count = 10,
        .postgres_connects = 6,
        .polls = 1000,
        .takeovers = 1,
        .producer_instances = 8,
        .kafka_transmitted_bytes = 555,
        .kafka_transmit_errors = 11,
        .kafka_transmit_retries = 12,
        .kafka_queue_messages = 13,
        .kafka_queue_bytes = 14,
        .kafka_rtt_p99_seconds = 0.004,
        .kafka_brokers_up = 3,
        .log_dropped = 17,
        .topic_count = 3,
        .topics = topics,
    };
}

static const char wanted[] =
    "# HELP outbox_lag_seconds Age of the oldest event known to be unconfirmed; 0 when there is none.\n"
    "# TYPE outbox_lag_seconds gauge\n"
    "outbox_lag_seconds 1.5\n"
    "# HELP outbox_lag_events Events committed and not yet confirmed, at most.\n"
    "# TYPE outbox_lag_events gauge\n"
    "outbox_lag_events 20\n"
    "# HELP outbox_tick_events Events of the last tick that was not empty.\n"
    "# TYPE outbox_tick_events gauge\n"
    "outbox_tick_events 3\n"
    "# HELP outbox_stuck 1 while publishing stands still in front of an event that Kafka refuses; "
    "/health/ready says which.\n"
    "# TYPE outbox_stuck gauge\n"
    "outbox_stuck 0\n"
    "# HELP outbox_paused 1 while somebody has paused the whole relay, which publishes nothing: outboxd "
    "resume.\n"
    "# TYPE outbox_paused gauge\n"
    "outbox_paused 1\n"
    "# HELP outbox_dead_letters Events that Kafka refused for their own sake, waiting for a person: outboxd "
    "dead.\n"
    "# TYPE outbox_dead_letters gauge\n"
    "outbox_dead_letters 2\n"
    "# HELP outbox_held_events Events waiting behind a dead letter of their key.\n"
    "# TYPE outbox_held_events gauge\n"
    "outbox_held_events 9\n"
    "# HELP outbox_paused_topics Topics that take nothing or were paused by hand: their events wait, the "
    "others flow.\n"
    "# TYPE outbox_paused_topics gauge\n"
    "outbox_paused_topics 3\n"
    "# HELP outbox_paused_topic_seconds Time since the oldest pause of a topic began; 0 when there is none.\n"
    "# TYPE outbox_paused_topic_seconds gauge\n"
    "outbox_paused_topic_seconds 61.5\n"
    "# HELP outbox_in_flight_events Events sent and not yet acknowledged by Kafka.\n"
    "# TYPE outbox_in_flight_events gauge\n"
    "outbox_in_flight_events 4\n"
    "# HELP outbox_in_flight_bytes Bytes of the events in flight, with their overhead.\n"
    "# TYPE outbox_in_flight_bytes gauge\n"
    "outbox_in_flight_bytes 2900\n"
    "# HELP outbox_memory_limit_bytes The bound of outbox_in_flight_bytes.\n"
    "# TYPE outbox_memory_limit_bytes gauge\n"
    "outbox_memory_limit_bytes 67108864\n"
    "# HELP outbox_published_total Events acknowledged by Kafka since the start, by topic.\n"
    "# TYPE outbox_published_total counter\n"
    "outbox_published_total{topic=\"orders\"} 12\n"
    "outbox_published_total{topic=\"quiet\"} 0\n"
    "# HELP outbox_published_bytes_total Bytes of keys and payloads acknowledged by Kafka since the start.\n"
    "# TYPE outbox_published_bytes_total counter\n"
    "outbox_published_bytes_total 3400\n"
    "# HELP outbox_passed_over_total Events of topics that this relay does not select, by topic.\n"
    "# TYPE outbox_passed_over_total counter\n"
    "outbox_passed_over_total{topic=\"not.mine\"} 5\n"
    "# HELP outbox_publish_latency_seconds Time from created_at of an event to its acknowledgement by "
    "Kafka.\n"
    "# TYPE outbox_publish_latency_seconds histogram\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.001\"} 2\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.002\"} 2\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.003\"} 2\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.005\"} 2\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.0075\"} 2\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.01\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.015\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.025\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.05\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.1\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.25\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"0.5\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"1\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"2.5\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"5\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"10\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"30\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"60\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"300\"} 5\n"
    "outbox_publish_latency_seconds_bucket{le=\"3600\"} 6\n"
    "outbox_publish_latency_seconds_bucket{le=\"+Inf\"} 10\n"
    "outbox_publish_latency_seconds_sum 12.25\n"
    "outbox_publish_latency_seconds_count 10\n"
    "# HELP outbox_errors_total Errors since the start, by whose fault they were.\n"
    "# TYPE outbox_errors_total counter\n"
    "outbox_errors_total{kind=\"event\"} 1\n"
    "outbox_errors_total{kind=\"topic\"} 2\n"
    "outbox_errors_total{kind=\"broker\"} 3\n"
    "outbox_errors_total{kind=\"postgres\"} 4\n"
    "outbox_errors_total{kind=\"fenced\"} 5\n"
    "# HELP outbox_leader 1 while this process leads its relay and its lease holds, else 0.\n"
    "# TYPE outbox_leader gauge\n"
    "outbox_leader 1\n"
    "# HELP outbox_epoch The newest epoch of the relay that this process knows.\n"
    "# TYPE outbox_epoch gauge\n"
    "outbox_epoch 7\n"
    "# HELP outbox_takeovers_total Times that this process became leader.\n"
    "# TYPE outbox_takeovers_total counter\n"
    "outbox_takeovers_total 1\n"
    "# HELP outbox_ticks_total Ticks with events that this process opened.\n"
    "# TYPE outbox_ticks_total counter\n"
    "outbox_ticks_total 41\n"
    "# HELP outbox_polls_total Times that Postgres was asked for events.\n"
    "# TYPE outbox_polls_total counter\n"
    "outbox_polls_total 1000\n"
    "# HELP outbox_postgres_connects_total Connections made to Postgres.\n"
    "# TYPE outbox_postgres_connects_total counter\n"
    "outbox_postgres_connects_total 6\n"
    "# HELP outbox_producer_instances_total Kafka producers made; every failed send ends one.\n"
    "# TYPE outbox_producer_instances_total counter\n"
    "outbox_producer_instances_total 8\n"
    "# HELP outbox_log_dropped_total Log lines lost because standard error could not take them.\n"
    "# TYPE outbox_log_dropped_total counter\n"
    "outbox_log_dropped_total 17\n"
    "# HELP outbox_kafka_brokers_up Brokers that librdkafka is connected to.\n"
    "# TYPE outbox_kafka_brokers_up gauge\n"
    "outbox_kafka_brokers_up 3\n"
    "# HELP outbox_kafka_queue_messages Messages waiting or in flight in librdkafka.\n"
    "# TYPE outbox_kafka_queue_messages gauge\n"
    "outbox_kafka_queue_messages 13\n"
    "# HELP outbox_kafka_queue_bytes Bytes waiting or in flight in librdkafka.\n"
    "# TYPE outbox_kafka_queue_bytes gauge\n"
    "outbox_kafka_queue_bytes 14\n"
    "# HELP outbox_kafka_rtt_p99_seconds 99th percentile of the round trip to the slowest broker.\n"
    "# TYPE outbox_kafka_rtt_p99_seconds gauge\n"
    "outbox_kafka_rtt_p99_seconds 0.004\n"
    "# HELP outbox_kafka_transmitted_bytes_total Bytes sent to brokers by the present producer.\n"
    "# TYPE outbox_kafka_transmitted_bytes_total counter\n"
    "outbox_kafka_transmitted_bytes_total 555\n"
    "# HELP outbox_kafka_transmit_errors_total Failed transmissions of the present producer.\n"
    "# TYPE outbox_kafka_transmit_errors_total counter\n"
    "outbox_kafka_transmit_errors_total 11\n"
    "# HELP outbox_kafka_transmit_retries_total Repeated requests of the present producer.\n"
    "# TYPE outbox_kafka_transmit_retries_total counter\n"
    "outbox_kafka_transmit_retries_total 12\n"
    "# HELP outbox_build_info 1; the label says which version runs.\n"
    "# TYPE outbox_build_info gauge\n"
    "outbox_build_info{version=\"" OUTBOXD_VERSION "\"} 1\n"
    "# HELP process_start_time_seconds Start of the process in seconds since 1970-01-01 UTC.\n"
    "# TYPE process_start_time_seconds gauge\n"
    "process_start_time_seconds 1769860800.5\n";

Test(http_metrics, the_text_of_a_snapshot_is_exactly_this)
{
    struct snapshot snapshot = planted();
    size_t size;
    char *text = metrics_write(&snapshot, &size);
    cr_assert_eq(size, strlen(text));
    cr_assert_str_eq(text, wanted);
    free(text);
}

static bool
has_line(const struct snapshot *snapshot, const char *line)
{
    size_t size;
    char *text = metrics_write(snapshot, &size);
    char with_ends[300];
    snprintf(with_ends, sizeof with_ends, "\n%s\n", line);
    bool found = strstr(text, with_ends) != NULL;
    free(text);
    return found;
}

Test(http_metrics, fault_85_a_name_cannot_break_out_of_its_label)
{
    struct snapshot_topic hostile[] = {
        {.name = (char[]){"a\"} 1\noutbox_leader 1\n#"}, .published = 1},
        {.name = (char[]){"back\\slash"}, .published = 2},
        {.name = (char[]){"\xff\x01"}, .published = 3},
    };
    struct snapshot snapshot = {.topic_count = 3, .topics = hostile};
    cr_assert(has_line(&snapshot, "outbox_published_total{topic=\"a\\\"} 1\\noutbox_leader 1\\n#\"} 1"));
    cr_assert(has_line(&snapshot, "outbox_published_total{topic=\"back\\\\slash\"} 2"));
    cr_assert(has_line(&snapshot, "outbox_published_total{topic=\"\\\\xff\x01\"} 3"));
    cr_assert(has_line(&snapshot, "outbox_leader 0"));
    cr_assert_not(has_line(&snapshot, "outbox_leader 1"));
}

Test(http_metrics, the_series_of_topics_have_a_bound_and_lose_no_event)
{
    enum { MANY = METRICS_TOPICS_MAX + 50 };
    static struct snapshot_topic many[MANY];
    static char names[MANY][16];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "topic-%zu", i);
        many[i] = (struct snapshot_topic){.name = names[i], .published = 2};
    }
    struct snapshot snapshot = {.topic_count = MANY, .topics = many};
    size_t size, series = 0;
    char *text = metrics_write(&snapshot, &size);
    for (const char *at = text; (at = strstr(at, "\noutbox_published_total{")) != NULL; at++)
        series++;
    free(text);
    cr_assert_eq(series, METRICS_TOPICS_MAX + 1);
    cr_assert(has_line(&snapshot, "outbox_published_total{topic=\"topic-999\"} 2"));
    cr_assert_not(has_line(&snapshot, "outbox_published_total{topic=\"topic-1000\"} 2"));
    cr_assert(has_line(&snapshot, "outbox_published_total{topic=\"(other)\"} 100"));
}

Test(http_metrics, large_counts_are_exact_and_odd_numbers_are_legal)
{
    struct snapshot snapshot = {
        .polls = UINT64_MAX, .lag_events = 123456789012345, .lag_seconds = __builtin_nan("")};
    cr_assert(has_line(&snapshot, "outbox_polls_total 18446744073709551615"));
    cr_assert(has_line(&snapshot, "outbox_lag_events 123456789012345"));
    size_t size;
    char *text = metrics_write(&snapshot, &size);
    cr_assert_not_null(strstr(text, "\noutbox_lag_seconds NaN\n"));
    free(text);
}
