/* observe.c: what can be seen of the relay from outside, as plain values. Called by the loop a few times a second; changes
 * nothing. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long without an acknowledgement, while something waits for one, or without Postgres, is not "progressing". Longer than a
 * broker's restart or a leader's move takes on a good day, shorter than a person's patience. */
#define STALLED_US (INT64_C(15) * 1000000)

static void
paused_text(const struct pause *pause, char *text, size_t size)
{
    snprintf(text, size, "topic %s is paused: %s: %s", pause->topic->name, pause->why.name,
             pause->why.message);
}

static void
observe_ready(const struct relay *relay, struct snapshot *snapshot)
{
    int64_t waiting_us = relay->now_us - relay->progress_us;
    const struct producer_statistics *kafka = producer_statistics(relay->producer);
    int64_t unanswered_us = relay->now_us - relay->lease_from_us;
    char *reason = snapshot->reason;
    size_t size = sizeof snapshot->reason;
    reason[0] = '\0';
    sending_trouble_text(relay, snapshot->trouble, sizeof snapshot->trouble);
    switch (relay->state) {
    case RELAY_LEADING:
        outage_text(relay, reason, size);
        if (reason[0] != '\0')
            break;
        if (snapshot->trouble[0] == '\0' && pauses_first_trouble(relay) != NULL)
            paused_text(pauses_first_trouble(relay), reason, size);
        else if (snapshot->trouble[0] != '\0')
            snprintf(reason, size, "stuck at %.490s", snapshot->trouble);
        else if (!kafka->reached)
            snprintf(reason, size, "connecting to Kafka");
        else if (!exact_is_settled(relay))
            exact_text(relay, reason, size);
        else if (waiting_us > STALLED_US)
            snprintf(reason, size, "no acknowledgement from Kafka for %" PRId64 " s", waiting_us / 1000000);
        else if (!leading_holds_lease(relay) && unanswered_us > STALLED_US)
            snprintf(reason, size, "no answer from Postgres for %" PRId64 " s", unanswered_us / 1000000);
        break;
    case RELAY_STANDBY:
        break;
    case RELAY_CONNECTING:
        snprintf(reason, size, "%.500s",
                 relay->connect_logged ? relay->away.message : "connecting to Postgres");
        break;
    case RELAY_START:
    case RELAY_DRAINING:
    case RELAY_STOPPED:
        snprintf(reason, size, "%s", relay_state_name(relay->state));
    }
    snapshot->ready = reason[0] == '\0';
}

/* Read and not acknowledged without a gap. */
static int64_t
events_in_pages(const struct pipeline *pipeline)
{
    size_t events = 0;
    for (const struct page *page = pipeline->head; page != NULL; page = page->later)
        events += page->side == 0 ? page->count - page->settled : 0;
    return (int64_t)events;
}

/* What is sent again on purpose is no lag. */
static const struct event *
oldest_of_stream(const struct pipeline *pipeline)
{
    for (const struct page *page = pipeline->head; page != NULL; page = page->later)
        if (page->side == 0 && page->settled < page->count)
            return &page->events[page->settled];
    return NULL;
}

/* When the oldest event that is known to be unconfirmed was created; 0: none is. */
static int64_t
unconfirmed_from_us(const struct relay *relay)
{
    const struct event *oldest = oldest_of_stream(&relay->pipeline);
    int64_t read_us = oldest != NULL ? oldest->created_at_us : 0;
    int64_t unread_us = relay->owns && relay->beside.paused ? relay->backlog_from_us : 0;
    return read_us == 0 || (unread_us != 0 && unread_us < read_us) ? unread_us : read_us;
}

static void
observe_lag(const struct relay *relay, struct snapshot *snapshot)
{
    int64_t from_us = unconfirmed_from_us(relay);
    double age = from_us != 0 ? (double)(clock_wall_us() - from_us) / 1e6 : 0;
    bool settled = relay->pipeline.pages == 0 && !reader_has_more(relay->reader) && !relay->catching_up;
    int64_t before = relay->highest_id, in_pages = events_in_pages(&relay->pipeline);
    if (settled && relay->edge.lo_id > before)
        before = relay->edge.lo_id;
    int64_t by_id = relay->sequence - before;
    snapshot->lag_seconds = age > 0 ? age : 0;
    if (by_id < in_pages)
        by_id = in_pages; /* the highest id that is acknowledged may stand behind one that is not */
    bool unread = relay->beside.paused && from_us != 0, waits = !settled || unread;
    if (unread && by_id < 1)
        by_id = 1; /* it has a low one, of a transaction that was open for long */
    snapshot->lag_events = relay->owns && waits ? by_id : 0;
}

static void
observe_pauses(const struct relay *relay, struct snapshot *snapshot)
{
    const struct pause *oldest = NULL;
    for (size_t i = 0; i < relay->beside.pause_count; i++) {
        const struct pause *pause = relay->beside.pauses[i];
        if (!pause->ended && (oldest == NULL || pause->since_us < oldest->since_us))
            oldest = pause;
    }
    double age = oldest != NULL ? (double)(clock_wall_us() - oldest->since_us) / 1e6 : 0;
    snapshot->paused_topics = (int64_t)relay->beside.pause_count;
    snapshot->paused_topic_seconds = age > 0 ? age : 0;
    snapshot->paused_topic[0] = snapshot->paused_why[0] = '\0';
    if (oldest == NULL)
        return;
    snprintf(snapshot->paused_topic, sizeof snapshot->paused_topic, "%s", oldest->topic->name);
    if (pauses_is_resumed(oldest))
        snprintf(snapshot->paused_why, sizeof snapshot->paused_why, "resumed: it catches up%s",
                 relay->beside.paused ? " when the relay is resumed" : "");
    else
        snprintf(snapshot->paused_why, sizeof snapshot->paused_why, "%s: %s", oldest->why.name,
                 oldest->why.message);
}

static void
observe_topics(const struct relay *relay, struct snapshot *snapshot)
{
    size_t count = topic_count(relay->topics);
    if (snapshot->topic_count < count)
        snapshot->topics = must_realloc(snapshot->topics, count, sizeof *snapshot->topics);
    for (size_t i = 0; i < count; i++) {
        const struct topic *topic = topic_at(relay->topics, i);
        if (i >= snapshot->topic_count)
            snapshot->topics[i].name = must_strdup(topic->name);
        snapshot->topics[i].published = topic->published;
        snapshot->topics[i].published_bytes = topic->published_bytes;
        snapshot->topics[i].passed_over = topic->passed_over;
    }
    snapshot->topic_count = count;
}

static void
observe_producer(const struct relay *relay, struct snapshot *snapshot)
{
    const struct producer_statistics *statistics = producer_statistics(relay->producer);
    snapshot->producer_instances = statistics->instances;
    snapshot->kafka_transmitted_bytes = statistics->transmitted_bytes;
    snapshot->kafka_transmit_errors = statistics->transmit_errors;
    snapshot->kafka_transmit_retries = statistics->transmit_retries;
    snapshot->kafka_queue_messages = statistics->queue_messages;
    snapshot->kafka_queue_bytes = statistics->queue_bytes;
    snapshot->kafka_rtt_p99_seconds = statistics->broker_rtt_p99_seconds;
    snapshot->kafka_brokers_up = statistics->brokers_up;
}

void
relay_observe(const struct relay *relay, int64_t now_us, struct snapshot *snapshot)
{
    const struct counters *counters = &relay->counters;
    snprintf(snapshot->source, sizeof snapshot->source, "%s", relay->settings->source);
    snprintf(snapshot->relay, sizeof snapshot->relay, "%s", relay->settings->relay);
    snprintf(snapshot->holder, sizeof snapshot->holder, "%s", relay->self.holder);
    snprintf(snapshot->state, sizeof snapshot->state, "%s", relay_state_name(relay->state));
    bool leads = relay->state == RELAY_LEADING || relay->state == RELAY_DRAINING;
    snapshot->leader = leads && leading_holds_lease(relay);
    snapshot->leader_until_us = leading_lease_until_us(relay);
    snapshot->turned_at_us = now_us;
    snapshot->started_at_us = relay->started_at_us;
    snapshot->epoch = relay->self.epoch;
    snapshot->tick_seq = relay->self.seq;
    snapshot->confirmed_seq = relay->confirmed.seq;
    snapshot->ticks = counters->ticks;
    snapshot->tick_events = (double)counters->tick_events;
    snapshot->in_flight_events = (int64_t)relay->pipeline.events_out;
    snapshot->in_flight_bytes = (int64_t)relay->pipeline.cost_out;
    snapshot->memory_bytes = relay->settings->memory_bytes;
    memcpy(snapshot->errors, counters->errors, sizeof snapshot->errors);
    memcpy(snapshot->latency_buckets, counters->latency_buckets, sizeof snapshot->latency_buckets);
    snapshot->latency_sum_seconds = counters->latency_sum_seconds;
    snapshot->latency_count = counters->latency_count;
    snapshot->postgres_connects = counters->connects;
    snapshot->polls = counters->polls;
    snapshot->takeovers = counters->takeovers;
    snapshot->paused = leads && relay->beside.paused;
    snapshot->dead_letters = relay->aside.dead;
    snapshot->held_events = relay->aside.held;
    snapshot->log_dropped = log_dropped();
    observe_ready(relay, snapshot);
    observe_lag(relay, snapshot);
    observe_producer(relay, snapshot);
    observe_pauses(relay, snapshot);
    observe_topics(relay, snapshot);
}
