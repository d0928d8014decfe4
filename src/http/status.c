/* status.c: builds the JSON answers with jansson. The names of the fields are those of the metrics and the
 * configuration; scripts rely on them. */
#include "http/status.h"

#include "base/error.h"
#include "base/utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const double latency_bounds[] = SNAPSHOT_LATENCY_BOUNDS;

bool
status_is_live(const struct snapshot *snapshot, int64_t now_us)
{
    return snapshot->turned_at_us > 0 && now_us - snapshot->turned_at_us < STATUS_LIVE_US;
}

bool
status_is_ready(const struct snapshot *snapshot, int64_t now_us)
{
    return snapshot->ready && status_is_live(snapshot, now_us);
}

static void
set_text(json_t *object, const char *key, const char *text)
{
    char *clean = utf8_clean(text);
    json_object_set_new(object, key, json_string(clean));
    free(clean);
}

static void
set_number(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void
set_integer(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

/* JSON numbers of jansson are signed; 2^63 events take longer than anybody will wait. */
static void
set_count(json_t *object, const char *key, uint64_t value)
{
    set_integer(object, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* null before the first turn. */
static void
set_turned(json_t *object, const struct snapshot *snapshot, int64_t now_us)
{
    bool turned = snapshot->turned_at_us > 0;
    set_number(object, "turned_seconds_ago",
               turned ? (double)(now_us - snapshot->turned_at_us) / 1e6 : INFINITY);
}

static void
set_flag(json_t *object, const char *key, bool value)
{
    json_object_set_new(object, key, json_boolean(value));
}

static char *
finish(json_t *object)
{
    char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    CHECK(text != NULL);
    json_decref(object);
    char *line = must_format("%s\n", text);
    free(text);
    return line;
}

/* ---- /status.json
 * ------------------------------------------------------------------------------------------- */

static json_t *
latency_object(const struct snapshot *snapshot)
{
    json_t *latency = json_object(), *buckets = json_array();
    for (size_t i = 0; i < SNAPSHOT_LATENCY_BUCKETS; i++) {
        json_t *bucket = json_object();
        set_number(bucket, "up_to_seconds", i < SNAPSHOT_LATENCY_BUCKETS - 1 ? latency_bounds[i] : INFINITY);
        set_count(bucket, "count", snapshot->latency_buckets[i]);
        json_array_append_new(buckets, bucket);
    }
    set_count(latency, "count", snapshot->latency_count);
    set_number(latency, "sum_seconds", snapshot->latency_sum_seconds);
    json_object_set_new(latency, "buckets", buckets);
    return latency;
}

static json_t *
errors_object(const struct snapshot *snapshot)
{
    json_t *errors = json_object();
    set_count(errors, "event", snapshot->errors[SNAPSHOT_ERROR_EVENT]);
    set_count(errors, "topic", snapshot->errors[SNAPSHOT_ERROR_TOPIC]);
    set_count(errors, "broker", snapshot->errors[SNAPSHOT_ERROR_BROKER]);
    set_count(errors, "postgres", snapshot->errors[SNAPSHOT_ERROR_POSTGRES]);
    set_count(errors, "fenced", snapshot->errors[SNAPSHOT_ERROR_FENCED]);
    return errors;
}

static json_t *
kafka_object(const struct snapshot *snapshot)
{
    json_t *kafka = json_object();
    set_integer(kafka, "brokers_up", snapshot->kafka_brokers_up);
    set_count(kafka, "producer_instances", snapshot->producer_instances);
    set_integer(kafka, "queue_messages", snapshot->kafka_queue_messages);
    set_integer(kafka, "queue_bytes", snapshot->kafka_queue_bytes);
    set_number(kafka, "rtt_p99_seconds", snapshot->kafka_rtt_p99_seconds);
    set_count(kafka, "transmitted_bytes", snapshot->kafka_transmitted_bytes);
    set_count(kafka, "transmit_errors", snapshot->kafka_transmit_errors);
    set_count(kafka, "transmit_retries", snapshot->kafka_transmit_retries);
    return kafka;
}

static json_t *
topics_array(const struct snapshot *snapshot)
{
    json_t *topics = json_array();
    for (size_t i = 0; i < snapshot->topic_count; i++) {
        json_t *topic = json_object();
        set_text(topic, "name", snapshot->topics[i].name);
        set_count(topic, "published", snapshot->topics[i].published);
        set_count(topic, "published_bytes", snapshot->topics[i].published_bytes);
        set_count(topic, "passed_over", snapshot->topics[i].passed_over);
        json_array_append_new(topics, topic);
    }
    return topics;
}

static void
set_role(json_t *status, const struct snapshot *snapshot, int64_t now_us)
{
    set_text(status, "version", OUTBOXD_VERSION);
    set_text(status, "source", snapshot->source);
    set_text(status, "relay", snapshot->relay);
    set_text(status, "holder", snapshot->holder);
    set_text(status, "state", snapshot->state);
    set_flag(status, "leader", snapshot->leader);
    set_flag(status, "live", status_is_live(snapshot, now_us));
    set_flag(status, "ready", status_is_ready(snapshot, now_us));
    set_text(status, "reason", snapshot->reason);
    set_text(status, "trouble", snapshot->trouble);
    set_turned(status, snapshot, now_us);
    set_number(status, "started_at", (double)snapshot->started_at_us / 1e6);
    set_integer(status, "epoch", snapshot->epoch);
}

char *
status_write(const struct snapshot *snapshot, int64_t now_us)
{
    json_t *status = json_object();
    set_role(status, snapshot, now_us);
    set_integer(status, "tick_seq", snapshot->tick_seq);
    set_integer(status, "confirmed_seq", snapshot->confirmed_seq);
    set_count(status, "ticks", snapshot->ticks);
    set_number(status, "tick_events", snapshot->tick_events);
    set_number(status, "lag_seconds", snapshot->lag_seconds);
    set_integer(status, "lag_events", snapshot->lag_events);
    set_integer(status, "in_flight_events", snapshot->in_flight_events);
    set_integer(status, "in_flight_bytes", snapshot->in_flight_bytes);
    set_integer(status, "memory_limit_bytes", snapshot->memory_bytes);
    set_integer(status, "dead_letters", snapshot->dead_letters);
    set_integer(status, "held_events", snapshot->held_events);
    set_count(status, "polls", snapshot->polls);
    set_count(status, "takeovers", snapshot->takeovers);
    set_count(status, "postgres_connects", snapshot->postgres_connects);
    set_count(status, "log_dropped", snapshot->log_dropped);
    json_object_set_new(status, "errors", errors_object(snapshot));
    json_object_set_new(status, "publish_latency", latency_object(snapshot));
    json_object_set_new(status, "kafka", kafka_object(snapshot));
    json_object_set_new(status, "topics", topics_array(snapshot));
    return finish(status);
}

/* ---- health
 * ------------------------------------------------------------------------------------------------- */

char *
status_write_live(const struct snapshot *snapshot, int64_t now_us)
{
    json_t *answer = json_object();
    set_flag(answer, "live", status_is_live(snapshot, now_us));
    set_turned(answer, snapshot, now_us);
    return finish(answer);
}

char *
status_write_ready(const struct snapshot *snapshot, int64_t now_us)
{
    json_t *answer = json_object();
    set_flag(answer, "ready", status_is_ready(snapshot, now_us));
    set_text(answer, "state", snapshot->state);
    if (!status_is_live(snapshot, now_us))
        set_text(answer, "reason", "the relay's loop does not turn");
    else if (!snapshot->ready)
        set_text(answer, "reason", snapshot->reason);
    return finish(answer);
}
