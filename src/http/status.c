/* status.c: builds the JSON answers with jansson. The names of the fields are those of the metrics and the
 * configuration; scripts rely on them. */
#include "http/status.h"

#include "base/error.h"
#include "base/fields.h"

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

/* null before the first turn. */
static void
set_turned(json_t *object, const struct snapshot *snapshot, int64_t now_us)
{
    bool turned = snapshot->turned_at_us > 0;
    fields_set_seconds(object, "turned_seconds_ago", turned ? now_us - snapshot->turned_at_us : -1);
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
        fields_set_number(bucket, "up_to_seconds",
                          i < SNAPSHOT_LATENCY_BUCKETS - 1 ? latency_bounds[i] : INFINITY);
        fields_set_count(bucket, "count", snapshot->latency_buckets[i]);
        json_array_append_new(buckets, bucket);
    }
    fields_set_count(latency, "count", snapshot->latency_count);
    fields_set_number(latency, "sum_seconds", snapshot->latency_sum_seconds);
    json_object_set_new(latency, "buckets", buckets);
    return latency;
}

static json_t *
errors_object(const struct snapshot *snapshot)
{
    json_t *errors = json_object();
    fields_set_count(errors, "event", snapshot->errors[SNAPSHOT_ERROR_EVENT]);
    fields_set_count(errors, "topic", snapshot->errors[SNAPSHOT_ERROR_TOPIC]);
    fields_set_count(errors, "broker", snapshot->errors[SNAPSHOT_ERROR_BROKER]);
    fields_set_count(errors, "postgres", snapshot->errors[SNAPSHOT_ERROR_POSTGRES]);
    fields_set_count(errors, "fenced", snapshot->errors[SNAPSHOT_ERROR_FENCED]);
    return errors;
}

static json_t *
kafka_object(const struct snapshot *snapshot)
{
    json_t *kafka = json_object();
    fields_set_integer(kafka, "brokers_up", snapshot->kafka_brokers_up);
    fields_set_count(kafka, "producer_instances", snapshot->producer_instances);
    fields_set_integer(kafka, "queue_messages", snapshot->kafka_queue_messages);
    fields_set_integer(kafka, "queue_bytes", snapshot->kafka_queue_bytes);
    fields_set_number(kafka, "rtt_p99_seconds", snapshot->kafka_rtt_p99_seconds);
    fields_set_count(kafka, "transmitted_bytes", snapshot->kafka_transmitted_bytes);
    fields_set_count(kafka, "transmit_errors", snapshot->kafka_transmit_errors);
    fields_set_count(kafka, "transmit_retries", snapshot->kafka_transmit_retries);
    return kafka;
}

static json_t *
topics_array(const struct snapshot *snapshot)
{
    json_t *topics = json_array();
    for (size_t i = 0; i < snapshot->topic_count; i++) {
        json_t *topic = json_object();
        fields_set_text(topic, "name", snapshot->topics[i].name);
        fields_set_count(topic, "published", snapshot->topics[i].published);
        fields_set_count(topic, "published_bytes", snapshot->topics[i].published_bytes);
        fields_set_count(topic, "passed_over", snapshot->topics[i].passed_over);
        json_array_append_new(topics, topic);
    }
    return topics;
}

static void
set_role(json_t *status, const struct snapshot *snapshot, int64_t now_us)
{
    fields_set_text(status, "version", OUTBOXD_VERSION);
    fields_set_text(status, "source", snapshot->source);
    fields_set_text(status, "relay", snapshot->relay);
    fields_set_text(status, "holder", snapshot->holder);
    fields_set_text(status, "state", snapshot->state);
    fields_set_flag(status, "leader", snapshot->leader);
    fields_set_flag(status, "live", status_is_live(snapshot, now_us));
    fields_set_flag(status, "ready", status_is_ready(snapshot, now_us));
    fields_set_text(status, "reason", snapshot->reason);
    fields_set_flag(status, "paused", snapshot->paused);
    fields_set_text(status, "trouble", snapshot->trouble);
    set_turned(status, snapshot, now_us);
    fields_set_number(status, "started_at", (double)snapshot->started_at_us / 1e6);
    fields_set_integer(status, "epoch", snapshot->epoch);
}

char *
status_write(const struct snapshot *snapshot, int64_t now_us)
{
    json_t *status = json_object();
    set_role(status, snapshot, now_us);
    fields_set_integer(status, "tick_seq", snapshot->tick_seq);
    fields_set_integer(status, "confirmed_seq", snapshot->confirmed_seq);
    fields_set_count(status, "ticks", snapshot->ticks);
    fields_set_number(status, "tick_events", snapshot->tick_events);
    fields_set_number(status, "lag_seconds", snapshot->lag_seconds);
    fields_set_integer(status, "lag_events", snapshot->lag_events);
    fields_set_integer(status, "in_flight_events", snapshot->in_flight_events);
    fields_set_integer(status, "in_flight_bytes", snapshot->in_flight_bytes);
    fields_set_integer(status, "memory_limit_bytes", snapshot->memory_bytes);
    fields_set_integer(status, "dead_letters", snapshot->dead_letters);
    fields_set_integer(status, "held_events", snapshot->held_events);
    fields_set_integer(status, "paused_topics", snapshot->paused_topics);
    fields_set_number(status, "paused_topic_seconds", snapshot->paused_topic_seconds);
    fields_set_count(status, "polls", snapshot->polls);
    fields_set_count(status, "takeovers", snapshot->takeovers);
    fields_set_count(status, "postgres_connects", snapshot->postgres_connects);
    fields_set_count(status, "log_dropped", snapshot->log_dropped);
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
    fields_set_flag(answer, "live", status_is_live(snapshot, now_us));
    set_turned(answer, snapshot, now_us);
    return finish(answer);
}

char *
status_write_ready(const struct snapshot *snapshot, int64_t now_us)
{
    json_t *answer = json_object();
    fields_set_flag(answer, "ready", status_is_ready(snapshot, now_us));
    fields_set_text(answer, "state", snapshot->state);
    if (!status_is_live(snapshot, now_us))
        fields_set_text(answer, "reason", "the relay's loop does not turn");
    else if (!snapshot->ready)
        fields_set_text(answer, "reason", snapshot->reason);
    return finish(answer);
}
