/* verdict.c: suspects, the culprit, and the times of the next attempts. Pure: time comes in as an argument. Called by
 * relay/sending.c. */
#include "relay/verdict.h"

#include "base/clock.h"
#include "relay/pipeline.h"

#include <string.h>

/* The first retry comes soon, for topics that are being created; later ones every five seconds: one question to the broker,
 * and nobody waits long after healing the topic. */
#define TROUBLE_FIRST_US (INT64_C(500) * 1000)
#define TROUBLE_LAST_US (INT64_C(5) * 1000000)
/* A lost instance costs milliseconds; the bound keeps a broken broker from being hammered. */
#define BROKER_FIRST_US (INT64_C(20) * 1000)
#define BROKER_LAST_US (INT64_C(2) * 1000000)

/* A search of 16 steps a round: 10,000 suspects, librdkafka's largest batch by default, are 625, 39, 1 events a batch. What takes
 * the time is the broker's answer to each small batch (about a millisecond) and the change of the instance (some tens). */
#define NARROWER 16
/* So few are sent one by one at once: a round more would cost as much. */
#define FEW 64

void
verdict_init(struct verdict *verdict, bool stops, uint64_t seed)
{
    *verdict = (struct verdict){.stops = stops,
                                .trouble_backoff = backoff_make(TROUBLE_FIRST_US, TROUBLE_LAST_US, seed),
                                .broker_backoff = backoff_make(BROKER_FIRST_US, BROKER_LAST_US, seed + 1)};
}

/* The batch that was refused was not larger than the limit, nor than all that was refused with it in other partitions; so the
 * limit falls whenever something was refused. */
size_t
verdict_narrow(struct verdict *verdict)
{
    if (!verdict->suspecting) {
        verdict->batch_events = 0;
    } else if (verdict->refused > 0) {
        size_t batch = verdict->refused;
        if (verdict->batch_events > 0 && verdict->batch_events < batch)
            batch = verdict->batch_events;
        verdict->batch_events = batch > FEW ? batch / NARROWER : 1;
    }
    verdict->refused = 0;
    return verdict->batch_events;
}

/* The first refusal of an instance takes the suspicion off all others. */
static void
suspect(struct verdict *verdict, uint64_t serial)
{
    if (verdict->refused++ == 0 || serial > verdict->last_suspect)
        verdict->last_suspect = serial;
    verdict->suspecting = true;
}

bool
verdict_stop(struct verdict *verdict, const struct event *event, const struct outcome *why, int64_t now_us)
{
    uint64_t serial = pipeline_serial(event);
    struct trouble *trouble = &verdict->trouble;
    /* The first in order is the one to be stuck at; reports of others that failed with it change nothing. */
    if (trouble->active && trouble->serial < serial)
        return false;
    bool same = trouble->active && trouble->serial == serial && strcmp(trouble->why.name, why->name) == 0;
    if (same && now_us < trouble->retry_at_us)
        return false;
    if (!same)
        backoff_reset(&verdict->trouble_backoff);
    *trouble = (struct trouble){.active = true,
                                .serial = serial,
                                .event_id = event->id,
                                .topic = event->topic,
                                .why = *why,
                                .retry_at_us = now_us + backoff_next_us(&verdict->trouble_backoff)};
    return !same;
}

enum verdict_answer
verdict_refused(struct verdict *verdict, const struct event *event, const struct outcome *why, bool alone,
                int64_t now_us)
{
    switch (why->kind) {
    case OUTCOME_EVENT:
        if (!alone) {
            suspect(verdict, pipeline_serial(event));
            return VERDICT_NOTHING;
        }
        if (!verdict->stops)
            return VERDICT_DEAD;
        return verdict_stop(verdict, event, why, now_us) ? VERDICT_STUCK : VERDICT_NOTHING;
    case OUTCOME_TOPIC:
        return VERDICT_PAUSE;
    case OUTCOME_BROKER:
        if (verdict->start_at_us <= now_us)
            verdict->start_at_us = now_us + backoff_next_us(&verdict->broker_backoff);
        return VERDICT_NOTHING;
    case OUTCOME_ACKNOWLEDGED:
    case OUTCOME_FENCED:
    case OUTCOME_UNSENT:
        break;
    }
    return VERDICT_NOTHING;
}

bool
verdict_reached(struct verdict *verdict, uint64_t serial)
{
    backoff_reset(&verdict->broker_backoff);
    if (verdict->suspecting && serial > verdict->last_suspect)
        verdict->suspecting = false;
    if (!verdict->trouble.active || serial <= verdict->trouble.serial)
        return false;
    verdict->trouble.active = false;
    verdict->suspecting = false;
    return true;
}

bool
verdict_waits(struct verdict *verdict, const struct event *event, const struct outcome *why)
{
    struct trouble *waiting = &verdict->waiting;
    if (why == NULL) {
        bool was = waiting->active;
        waiting->active = false;
        return was;
    }
    bool same =
        waiting->active && waiting->event_id == event->id && strcmp(waiting->why.name, why->name) == 0;
    *waiting = (struct trouble){.active = true,
                                .serial = pipeline_serial(event),
                                .event_id = event->id,
                                .topic = event->topic,
                                .why = *why};
    return !same;
}

bool
verdict_still_waits(const struct verdict *verdict, const struct event *oldest)
{
    return verdict->waiting.active && oldest != NULL && pipeline_serial(oldest) <= verdict->waiting.serial;
}

const struct trouble *
verdict_trouble(const struct verdict *verdict)
{
    if (verdict->trouble.active)
        return &verdict->trouble;
    return verdict->waiting.active ? &verdict->waiting : NULL;
}

bool
verdict_allows(const struct verdict *verdict, uint64_t serial, int64_t now_us)
{
    const struct trouble *trouble = &verdict->trouble;
    if (verdict->suspecting && serial > verdict->last_suspect)
        return false;
    if (!trouble->active || serial < trouble->serial)
        return true;
    return serial == trouble->serial && now_us >= trouble->retry_at_us;
}

int64_t
verdict_deadline(const struct verdict *verdict, int64_t now_us)
{
    int64_t deadline = CLOCK_NEVER;
    if (verdict->trouble.active && verdict->trouble.retry_at_us > now_us)
        deadline = verdict->trouble.retry_at_us;
    if (verdict->start_at_us > now_us && verdict->start_at_us < deadline)
        deadline = verdict->start_at_us;
    return deadline;
}
