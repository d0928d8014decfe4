/* http_status.c: the JSON answers, parsed back. */
#include "http/status.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOW 100000000 /* CLOCK_MONOTONIC, microseconds */

static json_t *
parse(char *text)
{
    json_error_t why;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    cr_assert_not_null(object, "%s: %s", why.text, text);
    cr_assert_eq(text[strlen(text) - 1], '\n');
    free(text);
    return object;
}

static long long
integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s", key);
    return json_integer_value(value);
}

static const char *
string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    cr_assert_not_null(value, "%s", key);
    return value;
}

Test(http_status, live_means_a_turn_within_ten_seconds)
{
    struct snapshot snapshot = {0};
    cr_assert_not(status_is_live(&snapshot, NOW), "before the first turn");
    snapshot.turned_at_us = NOW - STATUS_LIVE_US + 1;
    cr_assert(status_is_live(&snapshot, NOW));
    snapshot.turned_at_us = NOW - STATUS_LIVE_US;
    cr_assert_not(status_is_live(&snapshot, NOW));
}

Test(http_status, a_loop_that_hangs_is_not_ready_whatever_it_said_last)
{
    struct snapshot snapshot = {.state = "leading", .ready = true, .turned_at_us = NOW};
    cr_assert(status_is_ready(&snapshot, NOW));
    cr_assert_not(status_is_ready(&snapshot, NOW + STATUS_LIVE_US));
    json_t *answer = parse(status_write_ready(&snapshot, NOW + STATUS_LIVE_US));
    cr_assert(json_is_false(json_object_get(answer, "ready")));
    cr_assert_str_eq(string(answer, "reason"), "the relay's loop does not turn");
    json_decref(answer);
}

Test(http_status, not_ready_has_its_reason_and_ready_has_none)
{
    struct snapshot snapshot = {
        .state = "connecting", .turned_at_us = NOW, .reason = "Postgres: \"no\"\n\xff"};
    json_t *answer = parse(status_write_ready(&snapshot, NOW));
    cr_assert(json_is_false(json_object_get(answer, "ready")));
    cr_assert_str_eq(string(answer, "state"), "connecting");
    cr_assert_str_eq(string(answer, "reason"), "Postgres: \"no\"\n\\xff");
    json_decref(answer);

    snapshot = (struct snapshot){.state = "standby", .ready = true, .turned_at_us = NOW};
    answer = parse(status_write_ready(&snapshot, NOW));
    cr_assert(json_is_true(json_object_get(answer, "ready")));
    cr_assert_str_eq(string(answer, "state"), "standby");
    cr_assert_null(json_object_get(answer, "reason"));
    json_decref(answer);
}

Test(http_status, liveness_says_how_long_ago_the_loop_turned)
{
    struct snapshot snapshot = {.turned_at_us = NOW - 250000};
    json_t *answer = parse(status_write_live(&snapshot, NOW));
    cr_assert(json_is_true(json_object_get(answer, "live")));
    cr_assert_float_eq(json_real_value(json_object_get(answer, "turned_seconds_ago")), 0.25, 1e-9);
    json_decref(answer);
    snapshot.turned_at_us = 0;
    answer = parse(status_write_live(&snapshot, NOW));
    cr_assert(json_is_false(json_object_get(answer, "live")));
    cr_assert(json_is_null(json_object_get(answer, "turned_seconds_ago")));
    json_decref(answer);
}

static struct snapshot_topic topics[] = {
    {.name = (char[]){"orders"}, .published = 1, .published_bytes = 2, .passed_over = 3},
    {.name = (char[]){"odd\"\xff"}}};
/* Every field has a value of its own. */
static const struct snapshot planted = {
    .source = "shop",
    .relay = "main",
    .holder = "00ff",
    .state = "leading",
    .leader = true,
    .ready = true,
    .paused = true,
    .reason = "",
    .trouble = "topic x: UNKNOWN_TOPIC",
    .turned_at_us = NOW - 1000000,
    .started_at_us = 1769860800500000,
    .epoch = 10,
    .tick_seq = 11,
    .confirmed_seq = 12,
    .ticks = 13,
    .tick_events = 14.5,
    .lag_seconds = 15.5,
    .lag_events = 16,
    .in_flight_events = 17,
    .in_flight_bytes = 18,
    .memory_bytes = 19,
    .dead_letters = 20,
    .held_events = 21,
    .paused_topics = 56,
    .paused_topic_seconds = 57.5,
    .errors = {22, 23, 24, 25, 26},
    .latency_buckets = {[0] = 27, [20] = 28},
    .latency_sum_seconds = 29.5,
    .latency_count = 55,
    .postgres_connects = 30,
    .polls = UINT64_MAX,
    .takeovers = 32,
    .producer_instances = 33,
    .kafka_transmitted_bytes = 34,
    .kafka_transmit_errors = 35,
    .kafka_transmit_retries = 36,
    .kafka_queue_messages = 37,
    .kafka_queue_bytes = 38,
    .kafka_rtt_p99_seconds = NAN,
    .kafka_brokers_up = 40,
    .log_dropped = 41,
    .topic_count = 2,
    .topics = topics,
};

Test(http_status, the_status_holds_every_plain_value)
{
    json_t *status = parse(status_write(&planted, NOW));
    cr_assert_str_eq(string(status, "version"), OUTBOXD_VERSION);
    cr_assert_str_eq(string(status, "source"), "shop");
    cr_assert_str_eq(string(status, "relay"), "main");
    cr_assert_str_eq(string(status, "holder"), "00ff");
    cr_assert_str_eq(string(status, "state"), "leading");
    cr_assert_str_eq(string(status, "reason"), "");
    cr_assert_str_eq(string(status, "trouble"), "topic x: UNKNOWN_TOPIC");
    cr_assert(json_is_true(json_object_get(status, "leader")));
    cr_assert(json_is_true(json_object_get(status, "ready")));
    cr_assert(json_is_true(json_object_get(status, "live")));
    cr_assert(json_is_true(json_object_get(status, "paused")));
    cr_assert_float_eq(json_real_value(json_object_get(status, "turned_seconds_ago")), 1, 1e-9);
    cr_assert_float_eq(json_real_value(json_object_get(status, "started_at")), 1769860800.5, 1e-6);
    cr_assert_float_eq(json_real_value(json_object_get(status, "tick_events")), 14.5, 1e-9);
    cr_assert_float_eq(json_real_value(json_object_get(status, "lag_seconds")), 15.5, 1e-9);
    cr_assert_float_eq(json_real_value(json_object_get(status, "paused_topic_seconds")), 57.5, 1e-9);

    static const char *const names[] = {"epoch",           "tick_seq",           "confirmed_seq",
                                        "ticks",           "lag_events",         "in_flight_events",
                                        "in_flight_bytes", "memory_limit_bytes", "dead_letters",
                                        "held_events",     "postgres_connects",  "takeovers",
                                        "log_dropped",     "paused_topics"};
    static const long long values[] = {10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 30, 32, 41, 56};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_eq(integer(status, names[i]), values[i], "%s", names[i]);
    cr_assert_eq(integer(status, "polls"), INT64_MAX, "beyond what JSON's integers hold here");
    json_decref(status);
}

Test(http_status, the_status_holds_errors_latency_kafka_and_topics)
{
    json_t *status = parse(status_write(&planted, NOW));
    const json_t *errors = json_object_get(status, "errors");
    cr_assert_eq(integer(errors, "event"), 22);
    cr_assert_eq(integer(errors, "topic"), 23);
    cr_assert_eq(integer(errors, "broker"), 24);
    cr_assert_eq(integer(errors, "postgres"), 25);
    cr_assert_eq(integer(errors, "fenced"), 26);

    const json_t *latency = json_object_get(status, "publish_latency"),
                 *buckets = json_object_get(latency, "buckets");
    cr_assert_eq(json_array_size(buckets), SNAPSHOT_LATENCY_BUCKETS);
    cr_assert_float_eq(json_real_value(json_object_get(json_array_get(buckets, 0), "up_to_seconds")), 0.001,
                       1e-9);
    cr_assert_eq(integer(json_array_get(buckets, 0), "count"), 27);
    cr_assert(json_is_null(json_object_get(json_array_get(buckets, 20), "up_to_seconds")));
    cr_assert_eq(integer(json_array_get(buckets, 20), "count"), 28);
    cr_assert_eq(integer(latency, "count"), 55);
    cr_assert_float_eq(json_real_value(json_object_get(latency, "sum_seconds")), 29.5, 1e-9);

    const json_t *kafka = json_object_get(status, "kafka");
    cr_assert_eq(integer(kafka, "producer_instances"), 33);
    cr_assert_eq(integer(kafka, "transmitted_bytes"), 34);
    cr_assert_eq(integer(kafka, "transmit_errors"), 35);
    cr_assert_eq(integer(kafka, "transmit_retries"), 36);
    cr_assert_eq(integer(kafka, "queue_messages"), 37);
    cr_assert_eq(integer(kafka, "queue_bytes"), 38);
    cr_assert(json_is_null(json_object_get(kafka, "rtt_p99_seconds")));
    cr_assert_eq(integer(kafka, "brokers_up"), 40);

    const json_t *list = json_object_get(status, "topics");
    cr_assert_eq(json_array_size(list), 2);
    cr_assert_str_eq(string(json_array_get(list, 0), "name"), "orders");
    cr_assert_eq(integer(json_array_get(list, 0), "published"), 1);
    cr_assert_eq(integer(json_array_get(list, 0), "published_bytes"), 2);
    cr_assert_eq(integer(json_array_get(list, 0), "passed_over"), 3);
    cr_assert_str_eq(string(json_array_get(list, 1), "name"), "odd\"\\xff");
    json_decref(status);
}
