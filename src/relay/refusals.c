/* refusals.c: what Kafka refuses of side work: an event, which ends a retry and is left out of a replay, or a topic, for which the work waits and
 * which people are told. Called by sending.c when something is refused, by side.c, and by telling.c. */
#include "relay/inside.h"

#include "base/fields.h"
#include "base/log.h"

#include <jansson.h>
#include <string.h>

/* So soon a topic that refuses is tried again, then ever more rarely: each attempt may end the producer's instance. A replay has more patience
 * than who waits for a retry. */
#define FIRST_US (INT64_C(5) * 1000000)
#define LAST_US (INT64_C(30) * 1000000)
#define REPLAY_LAST_US (INT64_C(300) * 1000000)

/* ---- a topic ---- */

void
side_block(struct relay *relay, struct side *side, const struct event *event, const struct outcome *why)
{
    bool news = side->blocked != event->topic || side->blocked_id != event->id ||
                strcmp(side->why.name, why->name) != 0;
    side->failed = true;
    side->closing = false;
    side->why = *why;
    side->blocked = event->topic;
    side->blocked_id = event->id;
    if (!news)
        return;
    relay->trouble_told = false;
    log_warning("a request waits for its topic", LOG_INT("request", side->request.number),
                LOG_INT("event", event->id), LOG_STR("topic", event->topic->name),
                LOG_STR("error", why->name), LOG_END);
}

void
side_unblock(struct relay *relay, struct side *side)
{
    if (side->blocked == NULL)
        return;
    log_info("a request waits no longer", LOG_INT("request", side->request.number),
             LOG_STR("topic", side->blocked->name), LOG_END);
    side->blocked = NULL;
    backoff_reset(&side->backoff);
    relay->trouble_told = false;
}

struct json_t *
side_waits(const struct relay *relay)
{
    json_t *list = json_array();
    for (size_t i = 0; i < relay->beside.side_count; i++) {
        const struct side *side = &relay->beside.sides[i];
        if (side->blocked == NULL)
            continue;
        json_t *wait = json_object();
        fields_set_integer(wait, "number", side->request.number);
        fields_set_integer(wait, "event_id", side->blocked_id);
        fields_set_text(wait, "topic", side->blocked->name);
        fields_set_text(wait, "error", side->why.name);
        fields_set_text(wait, "message", side->why.message);
        json_array_append_new(list, wait);
    }
    return list;
}

/* ---- an event, or a topic ---- */

/* What has become of the event, and what helps. */
static const char *
what_helps(enum request_kind kind)
{
    switch (kind) {
    case REQUEST_KIND_RETRY:
    case REQUEST_KIND_DISCARD:
        return "refused again: it is a dead letter; when the cause is gone: outboxd dead retry";
    case REQUEST_KIND_COPY:
        return "the copy of a dead letter is refused: the database alone has it";
    case REQUEST_KIND_REPLAY:
        break;
    }
    return "left out of a replay: Kafka refuses this event; when the cause is gone, ask for the replay again";
}

/* A retry ends at the event that is refused: it is dead, and what is behind it goes on waiting. A replay leaves it out. */
static void
refuse_event(struct relay *relay, struct side *side, struct event *event, const struct outcome *why)
{
    log_error(what_helps(side->request.kind), LOG_INT("request", side->request.number),
              LOG_INT("event", event->id), LOG_STR("topic", event->topic->name), LOG_STR("error", why->name),
              LOG_STR("why", why->message), LOG_END);
    bool replays = side->request.kind == REQUEST_KIND_REPLAY;
    side->refused_count++;
    if (side->refused_id == 0 || replays || pipeline_serial(event) < side->refused_serial) {
        side->refused_id = event->id;
        side->refused_serial = pipeline_serial(event);
        if (!side->failed || !replays)
            side->why = *why;
    }
    side->failed = side->failed || !replays; /* a replay may wait for the topic of another event */
    pipeline_set_aside(&relay->pipeline, event, replays ? EVENT_ASIDE : EVENT_PASSED);
    exact_passed(relay);
}

static int64_t
rest_us(struct side *side)
{
    int64_t last_us = side->request.kind == REQUEST_KIND_REPLAY ? REPLAY_LAST_US : LAST_US;
    if (side->backoff.first_us == 0)
        side->backoff = backoff_make(FIRST_US, last_us, (uint64_t)side->request.number);
    return backoff_next_us(&side->backoff);
}

/* True: the refused event belongs to a request, and this has dealt with it. */
bool
side_refused(struct relay *relay, struct event *event, const struct outcome *why)
{
    struct side *side = side_find(relay, event->page->side);
    if (event->page->side == 0 || event->page->pause != NULL)
        return false;
    if (side == NULL) {
        pipeline_set_aside(&relay->pipeline, event, EVENT_PASSED);
        exact_passed(relay);
    } else if (why->kind == OUTCOME_EVENT) {
        refuse_event(relay, side, event, why);
    } else { /* the topic: everything stays where it waits */
        if (!side->failed)
            side->next_us = relay->now_us + rest_us(side);
        if (!side->failed || side->why.kind != OUTCOME_TOPIC)
            side_block(relay, side, event, why);
    }
    return true;
}
