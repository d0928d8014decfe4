/* passing.c: what the stream passes over of the topics that are paused: from which event on, and that the database hears of it. There may be
 * thousands of topics, and a hundred thousand events in flight: whatever looks at the pages does so once for all topics. Called by aside.c for
 * each event and for what is written down, and by rounds.c when a topic ends. */
#include "relay/inside.h"

#include "base/fields.h"

#include <jansson.h>

static void
meet(struct pause *pause, const struct event *event)
{
    if (event->page->tick_seq > pause->passed_seq)
        pause->passed_seq = event->page->tick_seq;
}

enum event_state
passing_meet(struct pause *pause, const struct event *event)
{
    meet(pause, event);
    return pause->state == PAUSE_PASSES ? EVENT_ASIDE : EVENT_PASSED;
}

static bool
is_undecided(const struct relay *relay, const struct page *page, size_t index)
{
    enum event_state state = page->events[index].state;
    return state == EVENT_SENT || (state == EVENT_ACKNOWLEDGED && relay->pipeline.exact &&
                                   page->first_serial + index >= relay->pipeline.committed);
}

/* Marks those of which an event of the stream is out, or in a transaction that is not committed: returns how many. */
static size_t
mark_undecided(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    size_t found = 0;
    for (size_t i = 0; i < beside->pause_count; i++)
        beside->pauses[i]->undecided = false;
    for (const struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count && found < beside->wanted; i++) {
            struct pause *pause = page->events[i].topic->pause;
            if (pause == NULL || pause->state != PAUSE_WANTED || pause->undecided ||
                !is_undecided(relay, page, i))
                continue;
            pause->undecided = true;
            found++;
        }
    return found;
}

/* Some can be written down. In a transaction what was sent cannot be taken back alone: it is ended, and sent again without the topic. */
bool
passing_writes(struct relay *relay)
{
    if (relay->beside.wanted == 0 || !exact_is_settled(relay))
        return false;
    size_t undecided = mark_undecided(relay);
    if (undecided > 0 && exact_is_on(relay) && producer_state(relay->producer) == PRODUCER_READY &&
        !relay->exact.committing)
        producer_end(relay->producer, relay->now_us, "a topic is paused");
    return undecided < relay->beside.wanted;
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

/* Of those that are asked about, the first event that is not in Kafka; all later ones are passed over. */
static void
find_starts(struct relay *relay)
{
    for (struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count; i++) {
            struct event *event = &page->events[i];
            struct pause *pause = event->topic->pause;
            if (pause == NULL || pause->state != PAUSE_ASKED ||
                (event->state != EVENT_UNSENT && event->state != EVENT_PASSED))
                continue;
            if (!pause->begun) {
                pause->from_seq = page->tick_seq - 1;
                pause->to_seq = page->tick_seq;
                pause->after_id = event->id - 1;
            }
            pause->begun = true;
            meet(pause, event);
            if (event->state == EVENT_UNSENT)
                pipeline_set_aside(&relay->pipeline, event, EVENT_PASSED);
        }
}

static json_t *
describe(const struct pause *pause)
{
    json_t *topic =
        json_pack("{s:s, s:I, s:I, s:I}", "topic", pause->topic->name, "from", (json_int_t)pause->from_seq,
                  "to", (json_int_t)pause->to_seq, "after", (json_int_t)pause->after_id);
    fields_set_text(topic, "error", pause->why.name);
    fields_set_text(topic, "message", pause->why.message);
    return topic;
}

struct json_t *
passing_list(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    json_t *list = json_array();
    if (!passing_writes(relay))
        return list;
    for (size_t i = 0; i < beside->pause_count; i++) {
        struct pause *pause = beside->pauses[i];
        if (pause->state != PAUSE_WANTED || pause->undecided)
            continue;
        pauses_set_state(relay, pause, PAUSE_ASKED);
        pause->begun = false;
        pause_behind(relay, pause);
    }
    find_starts(relay);
    for (size_t i = 0; i < beside->pause_count; i++)
        if (beside->pauses[i]->state == PAUSE_ASKED)
            json_array_append_new(list, describe(beside->pauses[i]));
    return list;
}

void
passing_settle(struct relay *relay, const struct pause *one)
{
    for (struct page *page = relay->pipeline.head; page != NULL; page = page->later)
        for (size_t i = page->settled; page->side == 0 && i < page->count; i++) {
            struct event *event = &page->events[i];
            struct pause *pause = event->topic->pause;
            bool meant = one != NULL ? pause == one : pause != NULL && pause->state == PAUSE_ASKED;
            if (!meant || (event->state != EVENT_PASSED && event->state != EVENT_UNSENT))
                continue;
            meet(pause, event);
            pipeline_set_aside(&relay->pipeline, event, EVENT_ASIDE);
        }
    exact_passed(relay);
}

void
passing_written(struct relay *relay, bool written)
{
    struct beside *beside = &relay->beside;
    bool any = false;
    for (size_t i = 0; i < beside->pause_count; i++)
        any = any || beside->pauses[i]->state == PAUSE_ASKED;
    if (!any)
        return;
    if (written) {
        passing_settle(relay, NULL);
        beside->look_at_us = relay->now_us; /* for their numbers */
    }
    for (size_t i = 0; i < beside->pause_count; i++)
        if (beside->pauses[i]->state == PAUSE_ASKED)
            pauses_set_state(relay, beside->pauses[i], written ? PAUSE_PASSES : PAUSE_WANTED);
}
