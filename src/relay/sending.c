/* sending.c: from the pipeline to the producer and back: sends in order within `memory`, takes reports, remakes the producer
 * after a failure, and keeps what the relay is stuck at. Called once a turn; reports only record. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

/* Events handed over in one turn: about a millisecond of work, so that Postgres meanwhile does not run out of room in the
 * socket; a turn itself costs some microseconds. */
#define SEND_AT_ONCE 1000

/* An acknowledgement takes milliseconds. After this time, which a change of a partition's leader may take, we ask what is wrong. */
#define SILENT_US (INT64_C(2) * 1000000)
/* A topic of which brokers have said for so long that it takes nothing is paused if others wait for it: longer than it takes to restart a
 * broker. Tried again, it has to take its first events sooner. */
#define HANGS_US (INT64_C(15) * 1000000)
#define HANGS_AGAIN_US (INT64_C(2) * 1000000)

void
sending_count(void *context, const struct event *event)
{
    struct relay *relay = context;
    static const double bounds[] = SNAPSHOT_LATENCY_BOUNDS;
    struct counters *counters = &relay->counters;
    double latency = (double)(relay->wall_us - event->created_at_us) / 1e6;
    size_t bucket = 0;
    if (latency < 0)
        latency = 0; /* two clocks */
    while (bucket < SNAPSHOT_LATENCY_BUCKETS - 1 && latency > bounds[bucket])
        bucket++;
    if (event->page->side == 0) { /* what is late on purpose tells nothing of how long an event takes */
        counters->latency_buckets[bucket]++;
        counters->latency_sum_seconds += latency;
        counters->latency_count++;
    }
    event->topic->published++;
    event->topic->published_bytes += event->key_size + event->payload_size;
    relay->acknowledged++;
    relay->progress_us = relay->now_us;
    if (event->id > relay->highest_id)
        relay->highest_id = event->id;
}

void
sending_trouble_text(const struct relay *relay, char *text, size_t size)
{
    const struct trouble *trouble = verdict_trouble(&relay->verdict);
    text[0] = '\0';
    if (trouble != NULL)
        snprintf(text, size, "event %" PRId64 " of topic %s: %s: %s", trouble->event_id, trouble->topic->name,
                 trouble->why.name, trouble->why.message);
}

static void
tell_trouble(struct relay *relay)
{
    const struct trouble *trouble = &relay->verdict.trouble;
    relay->trouble_told = false;
    log_error("stuck: nothing is skipped; tried again, and it goes on by itself when the cause is gone",
              LOG_INT("event", trouble->event_id), LOG_STR("topic", trouble->topic->name),
              LOG_STR("error", trouble->why.name), LOG_STR("why", trouble->why.message), LOG_END);
}

/* A refusal, by a report (`sent`) or before sending. */
static void
refused(struct relay *relay, struct event *event, const struct outcome *why, bool alone, bool sent)
{
    static const enum snapshot_error kinds[] = {[OUTCOME_EVENT] = SNAPSHOT_ERROR_EVENT,
                                                [OUTCOME_TOPIC] = SNAPSHOT_ERROR_TOPIC,
                                                [OUTCOME_BROKER] = SNAPSHOT_ERROR_BROKER,
                                                [OUTCOME_FENCED] = SNAPSHOT_ERROR_FENCED};
    if (why->kind != OUTCOME_ACKNOWLEDGED && why->kind != OUTCOME_UNSENT)
        relay->counters.errors[kinds[why->kind]]++;
    bool judged = (why->kind == OUTCOME_EVENT && alone) || why->kind == OUTCOME_TOPIC;
    if (judged && side_refused(relay, event, why)) {
        relay->topic_refused = relay->topic_refused || (sent && why->kind == OUTCOME_TOPIC);
        return;
    }
    switch (verdict_refused(&relay->verdict, event, why, alone, relay->now_us)) {
    case VERDICT_NOTHING:
        return;
    case VERDICT_STUCK:
        tell_trouble(relay);
        return;
    case VERDICT_DEAD:
        if (!aside_bury(relay, event, why) && verdict_stop(&relay->verdict, event, why, relay->now_us))
            tell_trouble(relay);
        return;
    case VERDICT_PAUSE:
        pauses_refused(relay, event->topic, why, sent);
        return;
    }
}

/* Of a topic that hangs, events of others have to wait: for their commit, or because memory is full, or no tick is opened until it has caught up. */
static bool
holds_up_others(const struct relay *relay, const struct event *oldest)
{
    if (side_is_closing(relay) || !leading_has_room(relay))
        return true;
    for (const struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; i < page->count; i++)
            if (page->events[i].topic != oldest->topic)
                return true;
    return false;
}

/* Its events are taken back from librdkafka, which would try for ever. Not from a transaction: its end has to be written to the same
 * partition, so Kafka lets nothing else begin before that takes it (seen: init_transactions waits as long). */
static void
pause_hanging(struct relay *relay, struct event *oldest, const struct outcome *why)
{
    bool attempt = oldest->page->side != 0;
    bool answers = producer_statistics(relay->producer)->away_since_us == 0; /* else what they said is old */
    if (relay->obstacle_from_us == 0 || !answers)
        relay->obstacle_from_us = relay->now_us;
    if (relay->now_us - relay->obstacle_from_us < (attempt ? HANGS_AGAIN_US : HANGS_US) ||
        exact_is_on(relay) || !holds_up_others(relay, oldest))
        return;
    refused(relay, oldest, why, true, true);
    producer_end(relay->producer, relay->now_us, "a topic takes nothing, and others wait");
}

/* The oldest event holds up all others: when it has been out for long, the brokers are asked why. What was said of it stands until
 * it is acknowledged, or its partition is well; another instance that has not come as far yet heals nothing. */
static void
watch_oldest(struct relay *relay)
{
    struct event *oldest = pipeline_oldest_unanswered(&relay->pipeline);
    struct outcome obstacle, *why = NULL;
    bool is_out = oldest != NULL && oldest->state == EVENT_SENT &&
                  pipeline_serial(oldest) == relay->oldest_serial &&
                  producer_state(relay->producer) == PRODUCER_READY;
    if (!is_out && verdict_still_waits(&relay->verdict, oldest))
        return;
    if (!is_out) {
        relay->oldest_serial = oldest != NULL ? pipeline_serial(oldest) : 0;
        relay->oldest_from_us = relay->now_us;
    } else if (relay->now_us - relay->oldest_from_us >= SILENT_US &&
               producer_obstacle(relay->producer, oldest, relay->now_us, relay->oldest_from_us, &obstacle)) {
        why = &obstacle;
        exact_say_who_waits(relay, &obstacle);
        pause_hanging(relay, oldest, why);
    }
    if (why == NULL)
        relay->obstacle_from_us = 0;
    if (!verdict_waits(&relay->verdict, oldest, why))
        return;
    relay->trouble_told = false;
    if (why == NULL) {
        log_info("waits no longer", LOG_INT("event", relay->verdict.waiting.event_id), LOG_END);
        return;
    }
    relay->counters.errors[SNAPSHOT_ERROR_TOPIC]++;
    log_error("waits: an event is out and its topic takes nothing", LOG_INT("event", oldest->id),
              LOG_STR("topic", oldest->topic->name), LOG_STR("error", why->name),
              LOG_STR("why", why->message), LOG_END);
}

static void
on_report(void *context, struct event *event, const struct outcome *outcome)
{
    struct relay *relay = context;
    if (outcome->kind == OUTCOME_ACKNOWLEDGED) {
        pipeline_acknowledged(&relay->pipeline, event);
        if (!exact_is_on(relay))
            sending_count(relay, event);
        return;
    }
    pipeline_returned(&relay->pipeline, event);
    refused(relay, event, outcome, relay->verdict.batch_events == 1, true);
}

bool
sending_new(struct relay *relay, struct error *error)
{
    return producer_new(&relay->producer, relay->settings, on_report, relay, error);
}

/* Nothing of an older epoch may go out any more: end the instance, and forget the pages when nothing is out. */
static void
drop_pages(struct relay *relay)
{
    if (relay->pipeline.events_out > 0 || exact_is_on(relay))
        producer_end(relay->producer, relay->now_us, "the lead was lost");
    if (relay->pipeline.events_out == 0)
        leading_drop(relay);
}

/* An instance that ended without a single acknowledgement (fatal at once, say) is followed by the next one after a pause, unless
 * it left fewer suspects, or fewer topics: that cannot go on for ever. */
static void
look_back(struct relay *relay)
{
    struct verdict *verdict = &relay->verdict;
    bool in_vain = relay->instance_ran && relay->acknowledged == relay->acknowledged_before &&
                   verdict->refused == 0 && !relay->topic_refused;
    relay->instance_ran = relay->topic_refused = false;
    if (!in_vain || verdict->start_at_us > relay->now_us)
        return;
    verdict->start_at_us = relay->now_us + backoff_next_us(&verdict->broker_backoff);
    relay->counters.errors[SNAPSHOT_ERROR_BROKER]++;
}

/* No instance could be made. The system's want (threads, memory, a file that is being replaced) passes; another error does not. */
static void
start_failed(struct relay *relay, const struct error *error)
{
    if (error->kind != ERROR_RETRY) {
        relay_give_up(relay, error);
        return;
    }
    relay->instance_ran = false;
    relay->verdict.start_at_us = relay->now_us + backoff_next_us(&relay->verdict.broker_backoff);
    relay->counters.errors[SNAPSHOT_ERROR_BROKER]++;
    log_warning("no producer can be made; tried again", LOG_STR("why", error->message), LOG_END);
}

/* Also with nothing to send yet: a broker that is not there is found out before the first event. */
static void
start_producer(struct relay *relay)
{
    struct error error;
    look_back(relay);
    const struct event *event = pipeline_next(&relay->pipeline);
    bool wanted =
        relay->now_us >= relay->verdict.start_at_us &&
        (event == NULL || verdict_allows(&relay->verdict, pipeline_serial(event), relay->now_us) ||
         relay->exact.events > 0 /* what was passed over is to be committed */ ||
         (exact_is_on(relay) && relay->beside.wanted > 0)); /* it is paused behind what the position says */
    if (!wanted)
        return;
    size_t suspects = relay->verdict.refused, batch_events = verdict_narrow(&relay->verdict);
    if (suspects > 0)
        log_info("looking for the refused event", LOG_INT("suspects", (int64_t)suspects),
                 LOG_INT("batch_events", (int64_t)batch_events), LOG_END);
    relay->instance_ran = true;
    relay->acknowledged_before = relay->acknowledged;
    relay->exact.instance = exact_is_on(relay);
    if (!producer_start(relay->producer, batch_events, exact_is_on(relay), &error))
        start_failed(relay, &error);
}

/* The event that the relay is stuck at gets its next attempt: what is known of its topic may have changed. */
static void
ask_again(struct relay *relay, const struct event *event)
{
    struct trouble *trouble = &relay->verdict.trouble;
    if (!trouble->active || trouble->asked_again || trouble->serial != pipeline_serial(event))
        return;
    producer_forget_topic(relay->producer, event->topic);
    trouble->asked_again = true;
}

/* Another attempt at the event that was refused: a transaction takes with it what is refused in it, so it gets one of its own. */
static bool
waits_for_commit(const struct relay *relay, const struct event *event)
{
    const struct trouble *trouble = &relay->verdict.trouble;
    return trouble->active && trouble->serial == pipeline_serial(event) && exact_is_open(relay);
}

/* True when there is more that could be sent at once. */
static bool
send_some(struct relay *relay)
{
    struct pipeline *pipeline = &relay->pipeline;
    struct outcome why;
    for (int sent = 0; sent < SEND_AT_ONCE; sent++) {
        struct event *event = pipeline_next(pipeline);
        if (event == NULL || !verdict_allows(&relay->verdict, pipeline_serial(event), relay->now_us) ||
            !exact_lets_send(relay) || waits_for_commit(relay, event) || aside_is_full(relay))
            return false;
        if (aside_takes(relay, event))
            continue;
        if (!pipeline_has_room(pipeline, event, relay->settings->memory_bytes))
            return false; /* I6 */
        ask_again(relay, event);
        switch (producer_send(relay->producer, event, &why)) {
        case PRODUCER_SENT:
            pipeline_sent(pipeline, event);
            if (event->id > relay->sent_id)
                relay->sent_id = event->id;
            exact_sent(relay);
            break;
        case PRODUCER_FULL:
        case PRODUCER_ASKING:
            return false;
        case PRODUCER_REFUSED:
            /* of a key, the first one that is refused is to be the first one known */
            relay->awaits_end =
                why.kind == OUTCOME_EVENT && (pipeline->events_out > 0 || exact_is_open(relay));
            if (relay->awaits_end)
                return false;
            refused(relay, event, &why, true, false);
            if (event->state == EVENT_UNSENT && event->topic->pause == NULL)
                return false;
            break;
        case PRODUCER_FAILED:
            refused(relay, event, &why, relay->verdict.batch_events == 1, true);
            return false;
        }
    }
    return true;
}

static bool
send_events(struct relay *relay)
{
    const struct verdict *verdict = &relay->verdict;
    bool small_for_nothing = verdict->batch_events > 0 && !verdict->suspecting && !verdict->trouble.active;
    relay->awaits_end = small_for_nothing && (relay->pipeline.events_out > 0 || exact_is_open(relay));
    if (!small_for_nothing)
        return send_some(relay);
    if (relay->awaits_end)
        return false; /* ending an instance costs what is out */
    producer_end(relay->producer, relay->now_us, "the suspects are settled: full batches again");
    return true;
}

/* More events can be handed over, or will be as soon as they are read: one transaction may hold them too. */
static bool
expects_more(struct relay *relay)
{
    const struct event *next = pipeline_next(&relay->pipeline);
    if (relay->state != RELAY_LEADING || relay->dropping || !leading_holds_lease(relay) || relay->undurable)
        return false;
    if (relay->beside.paused || !loading_is_done(relay) || relay->awaits_end)
        return false;
    if (next != NULL)
        return verdict_allows(&relay->verdict, pipeline_serial(next), relay->now_us) &&
               !waits_for_commit(relay, next);
    return relay->request == REQUEST_PAGE || leading_reads_on(relay);
}

/* How far everything is settled, for the verdict: by acknowledgements, and by what is written down elsewhere. */
static void
follow_edge(struct relay *relay)
{
    const struct verdict *verdict = &relay->verdict;
    const struct event *oldest = pipeline_oldest(&relay->pipeline);
    uint64_t serial = oldest != NULL ? pipeline_serial(oldest) : relay->pipeline.next_serial;
    bool passed = (verdict->suspecting && serial > verdict->last_suspect) ||
                  (verdict->trouble.active && serial > verdict->trouble.serial);
    if (relay->acknowledged == relay->acknowledged_told && !passed)
        return;
    relay->acknowledged_told = relay->acknowledged;
    if (!verdict_reached(&relay->verdict, serial))
        return;
    relay->trouble_told = false;
    log_info("no longer stuck", LOG_INT("event", verdict->trouble.event_id), LOG_END);
}

/* Something waits for an acknowledgement: not what somebody keeps back. */
static bool
awaits_acknowledgement(struct relay *relay)
{
    bool unsent = !relay->beside.paused && pipeline_next(&relay->pipeline) != NULL;
    return relay->pipeline.events_out > 0 || unsent || exact_is_open(relay);
}

int64_t
sending_turn(struct relay *relay)
{
    relay->wall_us = clock_wall_us();
    int64_t deadline = producer_turn(relay->producer, relay->now_us);
    exact_turn(relay);
    leading_settle(relay);
    if (!awaits_acknowledgement(relay))
        relay->progress_us = relay->now_us;
    follow_edge(relay);
    watch_oldest(relay);
    attempts_turn(relay);
    if (relay->dropping) {
        drop_pages(relay);
    } else if (relay->state == RELAY_LEADING && leading_holds_lease(relay) && !relay->undurable) {
        if (producer_state(relay->producer) == PRODUCER_NONE)
            start_producer(relay);
        bool may_send = loading_is_done(relay) && !relay->beside.paused;
        if (may_send && producer_state(relay->producer) == PRODUCER_READY && send_events(relay))
            return relay->now_us;
    }
    int64_t retry = verdict_deadline(&relay->verdict, relay->now_us),
            end = exact_end_transaction(relay, expects_more(relay));
    deadline = end < deadline ? end : deadline;
    return retry < deadline ? retry : deadline;
}
