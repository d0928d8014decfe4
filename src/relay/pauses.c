/* pauses.c: topics that take nothing. The stream passes their events over, which wait in the database, behind a row of the journal; from there
 * they catch up in rounds beside the stream when the topic is tried again. Called by sending.c when a topic refuses, by aside.c when
 * something is written down, and by side.c, which asks and answers for what is beside the stream. */
#include "relay/inside.h"

#include "base/fields.h"
#include "base/log.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A topic that is being made is there soon; one that stays away is tried every half minute: each attempt may end the producer's instance. */
#define RETRY_FIRST_US (INT64_C(500) * 1000)
#define RETRY_LAST_US (INT64_C(30) * 1000000)

static struct pause *
find(const struct relay *relay, const struct topic *topic)
{
    for (size_t i = 0; topic->paused && i < relay->beside.pause_count; i++)
        if (relay->beside.pauses[i]->topic == topic && !relay->beside.pauses[i]->ended)
            return relay->beside.pauses[i];
    return NULL;
}

static struct pause *
add(struct relay *relay, struct topic *topic)
{
    struct beside *beside = &relay->beside;
    struct pause *pause = must_calloc(1, sizeof *pause);
    pause->topic = topic;
    pause->backoff = backoff_make(RETRY_FIRST_US, RETRY_LAST_US, (uint64_t)relay->now_us);
    beside->pauses = must_realloc(beside->pauses, beside->pause_count + 1, sizeof(struct pause *));
    beside->pauses[beside->pause_count++] = pause;
    topic->paused = true;
    return pause;
}

static void
release(struct pause *pause)
{
    reader_free(pause->reader);
    tick_clear(&pause->tick);
    free(pause);
}

void
pauses_clear(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    for (size_t i = 0; i < beside->pause_count; i++) {
        beside->pauses[i]->topic->paused = false;
        release(beside->pauses[i]);
    }
    free(beside->pauses);
    beside->pauses = NULL;
    beside->pause_count = 0;
}

void
pauses_forget(struct relay *relay, struct pause *pause)
{
    struct beside *beside = &relay->beside;
    size_t i = 0;
    while (beside->pauses[i] != pause)
        i++;
    beside->pauses[i] = beside->pauses[--beside->pause_count];
    release(pause);
}

struct pause *
pauses_numbered(const struct relay *relay, int64_t number)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        if (relay->beside.pauses[i]->number == number)
            return relay->beside.pauses[i];
    return NULL;
}

struct pause *
pauses_of_page(const struct relay *relay, const struct page *page)
{
    struct pause *pause = page->side != 0 ? pauses_numbered(relay, page->side) : NULL;
    return pause != NULL && pause->out ? pause : NULL;
}

enum event_state
pauses_state_of(const struct relay *relay, const struct topic *topic)
{
    const struct pause *pause = find(relay, topic);
    CHECK(pause != NULL);
    return pause->state == PAUSE_PASSES ? EVENT_ASIDE : EVENT_PASSED;
}

const struct pause *
pauses_first_trouble(const struct relay *relay)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        if (!relay->beside.pauses[i]->by_hand && !relay->beside.pauses[i]->ended)
            return relay->beside.pauses[i];
    return NULL;
}

/* ---- a topic refuses ---- */

static void
tell(const struct pause *pause)
{
    log_error("topic paused: its events wait, the others flow; tried again with back-off",
              LOG_STR("topic", pause->topic->name), LOG_STR("error", pause->why.name),
              LOG_STR("why", pause->why.message), LOG_END);
}

/* An attempt to catch up failed, or another of its events came back with it. */
static void
fail_round(struct relay *relay, struct pause *pause, const struct outcome *why)
{
    bool news = strcmp(pause->why.name, why->name) != 0;
    if (pause->failed)
        return;
    pause->failed = pause->out;
    pause->why = *why;
    pause->closing = false;
    pause->retry_at_us = relay->now_us + backoff_next_us(&pause->backoff);
    if (news)
        tell(pause);
}

void
pauses_refused(struct relay *relay, struct topic *topic, const struct outcome *why)
{
    struct pause *pause = find(relay, topic);
    if (pause == NULL) {
        pause = add(relay, topic);
        pause->why = *why;
        pause->retry_at_us = relay->now_us + backoff_next_us(&pause->backoff);
        tell(pause);
    } else if (pause->state == PAUSE_PASSES) {
        fail_round(relay, pause, why);
    }
}

/* ---- which of its events are not in Kafka ---- */

static bool
is_undecided(const struct relay *relay, const struct page *page, size_t index)
{
    enum event_state state = page->events[index].state;
    return state == EVENT_SENT || (state == EVENT_ACKNOWLEDGED && relay->pipeline.exact &&
                                   page->first_serial + index >= relay->pipeline.committed);
}

/* Of all pages of the stream: true when no event of this topic is out, or in a transaction that is not committed. */
static bool
is_decided(const struct relay *relay, const struct topic *topic)
{
    for (const struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count; i++)
            if (page->events[i].topic == topic && is_undecided(relay, page, i))
                return false;
    return true;
}

/* Is another pause of the same topic still to be forgotten in the database? */
static bool
is_ending(const struct relay *relay, const struct topic *topic)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        if (relay->beside.pauses[i]->topic == topic && relay->beside.pauses[i]->ended)
            return true;
    return false;
}

/* In a transaction what was sent cannot be taken back alone: it is ended, and sent again without this topic. */
static bool
is_ready(struct relay *relay, const struct pause *pause)
{
    if (pause->state != PAUSE_WANTED || !exact_is_settled(relay))
        return false;
    if (is_decided(relay, pause->topic))
        return true;
    if (exact_is_on(relay) && producer_state(relay->producer) == PRODUCER_READY && !relay->exact.committing)
        producer_end(relay->producer, relay->now_us, "a topic is paused");
    return false;
}

/* Behind what the stream has read so far, or, when it has read nothing yet, behind what is confirmed. */
static void
pause_behind(const struct relay *relay, struct pause *pause)
{
    bool amid = reader_has_more(relay->reader);
    bool partly = !amid && relay->loaded_seq == relay->confirmed.seq && relay->confirmed.id > 0;
    pause->from_seq = amid ? reader_tick_seq(relay->reader) - 1 : relay->loaded_seq;
    pause->to_seq = amid || partly ? pause->from_seq + 1 : pause->from_seq;
    pause->after_id = amid ? reader_after(relay->reader) : partly ? relay->confirmed.id : 0;
}

/* The first of its events that is not in Kafka; all later ones are passed over. */
static void
find_start(struct relay *relay, struct pause *pause)
{
    bool found = false;
    pause_behind(relay, pause);
    for (struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count; i++) {
            struct event *event = &page->events[i];
            if (event->topic != pause->topic ||
                (event->state != EVENT_UNSENT && event->state != EVENT_PASSED))
                continue;
            if (!found) {
                pause->from_seq = page->tick_seq - 1;
                pause->to_seq = page->tick_seq;
                pause->after_id = event->id - 1;
            }
            found = true;
            if (event->state == EVENT_UNSENT)
                pipeline_set_aside(&relay->pipeline, event, EVENT_PASSED);
        }
}

bool
pauses_write(struct relay *relay)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        if (is_ready(relay, relay->beside.pauses[i]))
            return true;
    return false;
}

struct json_t *
pauses_list(struct relay *relay)
{
    json_t *list = json_array();
    for (size_t i = 0; i < relay->beside.pause_count; i++) {
        struct pause *pause = relay->beside.pauses[i];
        if (!is_ready(relay, pause))
            continue;
        find_start(relay, pause);
        pause->state = PAUSE_ASKED;
        json_t *topic = json_pack("{s:s, s:I, s:I, s:I}", "topic", pause->topic->name, "from",
                                  (json_int_t)pause->from_seq, "to", (json_int_t)pause->to_seq, "after",
                                  (json_int_t)pause->after_id);
        fields_set_text(topic, "error", pause->why.name);
        fields_set_text(topic, "message", pause->why.message);
        json_array_append_new(list, topic);
    }
    return list;
}

/* What was passed over before the database knew of it. */
void
pauses_settle_passed(struct relay *relay, const struct topic *topic)
{
    for (struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count; i++)
            if (page->events[i].topic == topic &&
                (page->events[i].state == EVENT_PASSED || page->events[i].state == EVENT_UNSENT))
                pipeline_set_aside(&relay->pipeline, &page->events[i], EVENT_ASIDE);
    exact_passed(relay);
}

void
pauses_written(struct relay *relay, bool written)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++) {
        struct pause *pause = relay->beside.pauses[i];
        if (pause->state != PAUSE_ASKED)
            continue;
        pause->state = written ? PAUSE_PASSES : PAUSE_WANTED;
        if (!written)
            continue;
        pauses_settle_passed(relay, pause->topic);
        relay->beside.look_at_us = relay->now_us; /* for its number */
    }
}

/* ---- what the database says ---- */

static bool
is_paused_by_hand(const struct waiting *waiting, const char *topic)
{
    for (size_t i = 0; i < waiting->pause_count; i++)
        if (strcmp(waiting->pauses[i], topic) == 0)
            return true;
    return false;
}

static void
take_topic(struct relay *relay, const struct waiting_topic *row)
{
    struct topic *topic = topic_intern_always(relay->topics, row->name, strlen(row->name));
    struct pause *pause = find(relay, topic);
    if (pause == NULL && is_ending(relay, topic))
        return;
    if (pause == NULL) { /* of an earlier leader */
        pause = add(relay, topic);
        pause->state = PAUSE_PASSES;
        pause->why.kind = OUTCOME_TOPIC;
        snprintf(pause->why.name, sizeof pause->why.name, "%s", row->error);
        snprintf(pause->why.message, sizeof pause->why.message, "%s", row->message);
        pause->retry_at_us = relay->now_us;
    }
    if (pause->state != PAUSE_PASSES || pause->number != 0)
        return;
    pause->number = row->number;
    pause->from_seq = row->from_seq;
    pause->to_seq = row->to_seq;
    pause->after_id = row->after_id;
}

static void
pause_by_hand(struct relay *relay, const char *name)
{
    static const struct outcome asked = {
        .kind = OUTCOME_TOPIC, .name = "PAUSED", .message = "somebody has paused it: outboxd resume"};
    struct topic *topic = topic_intern_always(relay->topics, name, strlen(name));
    struct pause *pause = find(relay, topic);
    if (pause == NULL && !topic->selected)
        return;
    if (pause == NULL) {
        pause = add(relay, topic);
        pause->why = asked;
    }
    if (!pause->by_hand)
        log_info("topic paused by hand", LOG_STR("topic", name), LOG_END);
    pause->by_hand = true;
    pause->closing = false;
}

void
pauses_take(struct relay *relay, const struct waiting *waiting)
{
    for (size_t i = 0; i < waiting->topic_count; i++)
        take_topic(relay, &waiting->topics[i]);
    for (size_t i = 0; i < waiting->pause_count; i++)
        pause_by_hand(relay, waiting->pauses[i]);
    for (size_t i = 0; i < relay->beside.pause_count; i++) {
        struct pause *pause = relay->beside.pauses[i];
        if (!pause->by_hand || is_paused_by_hand(waiting, pause->topic->name))
            continue;
        log_info("topic resumed by hand", LOG_STR("topic", pause->topic->name), LOG_END);
        pause->by_hand = false;
        pause->retry_at_us = relay->now_us;
    }
}
