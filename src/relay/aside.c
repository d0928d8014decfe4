/* aside.c: dead letters and the events held behind them. Called by sending.c for each event that is about to be sent and each one that was
 * refused, and by leading.c and answers.c for what the database is told. An event is passed over in two steps: it is marked, so that
 * nothing later of its topic and key is sent (I2); and only when the database has it in a committed transaction, together with a row of the
 * journal that proves that we lead, it counts as settled (I1). */
#include "relay/inside.h"

#include "base/fields.h"
#include "base/log.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of events that wait behind a dead letter: a statement of some ten milliseconds. */
#define WRITE_AT_ONCE 5000

void
aside_free(struct relay *relay)
{
    holds_clear(&relay->aside.holds);
    ahead_clear(&relay->aside.ahead);
    free(relay->aside.asked);
    relay->aside.asked = NULL;
}

/* ---- passing over ---- */

/* Its events are the stream's, or a topic's that catches up with it. */
static bool
takes_part(const struct page *page)
{
    return page->side == 0 || page->pause != NULL;
}

bool
aside_takes(struct relay *relay, struct event *event)
{
    struct aside *aside = &relay->aside;
    enum event_state state = EVENT_UNSENT;
    if (event->page->side != 0 && side_passes(relay, event))
        state = EVENT_PASSED;
    else if (!takes_part(event->page))
        return false;
    else if (event->page->side == 0 && event->topic->pause != NULL)
        state = passing_meet(event->topic->pause, event);
    else if (ahead_has(&aside->ahead, event->id))
        state = EVENT_ASIDE;
    else if (holds_find(&aside->holds, event) != 0)
        state = EVENT_HELD;
    if (state == EVENT_UNSENT)
        return false;
    pipeline_set_aside(&relay->pipeline, event, state);
    if (state == EVENT_HELD)
        holds_mark(&aside->holds, event);
    if (state == EVENT_ASIDE || state == EVENT_PASSED)
        exact_passed(relay);
    return true;
}

/* True: the event will be written down. False: there is no room for it now, or there are too many. */
bool
aside_bury(struct relay *relay, struct event *event, const struct outcome *why)
{
    struct aside *aside = &relay->aside;
    bool holds = relay->settings->dead_letter_policy == DEAD_LETTER_HOLD_KEY && event->key != NULL;
    /* One before it was refused meanwhile: it waits, and has its turn. */
    if (holds_find(&aside->holds, event) != 0) {
        pipeline_set_aside(&relay->pipeline, event, EVENT_HELD);
        holds_mark(&aside->holds, event);
        return true;
    }
    if (aside->refusal_count == REFUSALS_MOST)
        return true; /* it stays unsent, and is refused again when those before it are written down */
    if (holds && !holds_begin(&aside->holds, event))
        return false;
    aside->refusals[aside->refusal_count++] = (struct refusal){event, *why};
    pipeline_set_aside(&relay->pipeline, event, EVENT_REFUSED);
    log_error("dead letter: Kafka refuses this event; when the cause is gone: outboxd dead retry",
              LOG_INT("event", event->id), LOG_STR("topic", event->topic->name), LOG_STR("error", why->name),
              LOG_STR("why", why->message), LOG_STR("key", holds ? "held" : "not held"), LOG_END);
    return true;
}

void
aside_lost(struct relay *relay)
{
    relay->aside.asked_count = 0;
    relay->aside.refusals_asked = 0;
    passing_written(relay, false);
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        reader_lost(relay->beside.pauses[i]->reader);
}

bool
aside_is_full(const struct relay *relay)
{
    return relay->aside.refusal_count == REFUSALS_MOST;
}

/* ---- writing down ---- */

bool
aside_writes(struct relay *relay)
{
    return relay->pipeline.refused > 0 || relay->pipeline.held > 0 || passing_writes(relay);
}

static void
note(struct aside *aside, struct event *event)
{
    aside->asked[aside->asked_count++] = event;
}

static json_t *
dead_list(struct relay *relay)
{
    struct aside *aside = &relay->aside;
    json_t *list = json_array();
    for (size_t i = 0; i < aside->refusal_count; i++) {
        const struct refusal *refusal = &aside->refusals[i];
        struct event *event = refusal->event;
        int64_t hold = holds_of_key(&aside->holds, event);
        json_t *dead =
            json_pack("{s:I, s:I}", "id", (json_int_t)event->id, "tick", (json_int_t)event->page->tick_seq);
        if (hold != 0 && relay->settings->dead_letter_policy == DEAD_LETTER_HOLD_KEY)
            json_object_set_new(dead, "hold", json_integer(hold));
        fields_set_text(dead, "error", refusal->why.name);
        fields_set_text(dead, "message", refusal->why.message);
        json_array_append_new(list, dead);
        note(aside, event);
    }
    aside->refusals_asked = aside->refusal_count;
    return list;
}

static json_t *
held_list(struct relay *relay)
{
    struct aside *aside = &relay->aside;
    json_t *list = json_array();
    size_t left = relay->pipeline.held < WRITE_AT_ONCE ? relay->pipeline.held : WRITE_AT_ONCE;
    for (struct page *page = relay->pipeline.head; page != NULL && left > 0; page = page->later)
        for (size_t i = page->settled; i < page->count && left > 0; i++) {
            struct event *event = &page->events[i];
            if (event->state != EVENT_HELD)
                continue;
            int64_t hold = holds_find(&aside->holds, event);
            json_array_append_new(list, json_pack("[I, I, I]", (json_int_t)event->id,
                                                  (json_int_t)page->tick_seq, (json_int_t)hold));
            note(aside, event);
            left--;
        }
    return list;
}

void
aside_ask_write(struct relay *relay)
{
    struct aside *aside = &relay->aside;
    size_t most = aside->refusal_count + WRITE_AT_ONCE;
    aside->asked = must_realloc(aside->asked, most, sizeof(struct event *));
    aside->asked_count = 0;
    json_t *dead = dead_list(relay); /* the first that are asked */
    json_t *held = held_list(relay);
    json_t *root = json_pack("{s:o, s:o, s:o, s:b}", "dead", dead, "held", held, "topics",
                             passing_list(relay), "copy", relay->settings->dead_letter_topic != NULL);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    struct journal_row_next next = leading_next_row(relay);
    aside_ask_put(relay->session, &next, text, relay->now_us);
    relay_asked(relay, REQUEST_ASIDE);
    free(text);
}

/* One that joins a hold comes before the dead letters that are in it: the database says which of their requests may go on. */
static void
reconsider(struct relay *relay, const struct event *refused)
{
    struct beside *beside = &relay->beside;
    int64_t hold = holds_of_key(&relay->aside.holds, refused);
    if (hold == 0 || hold == refused->id)
        return;
    for (size_t i = beside->side_count; i > 0; i--) {
        struct side *side = &beside->sides[i - 1];
        if (requests_of_letter(side->request.kind) && side->request.hold == hold && !side->out)
            look_forget(relay, side, SIDE_PUT_OFF);
    }
}

/* The refused ones are the first that were asked. */
bool
aside_answer_write(struct relay *relay, struct error *error)
{
    struct aside *aside = &relay->aside;
    size_t dead = aside->refusals_asked;
    bool written;
    if (!answers_appended(relay, &written, error))
        return false;
    if (!written) {
        passing_written(relay, false);
        return true;
    }
    exact_rely(relay);
    for (size_t i = 0; i < dead; i++)
        reconsider(relay, aside->asked[i]);
    for (size_t i = 0; i < aside->asked_count; i++) {
        if (aside->asked[i]->state == EVENT_HELD)
            holds_unmark(&aside->holds, aside->asked[i]);
        pipeline_set_aside(&relay->pipeline, aside->asked[i], EVENT_ASIDE);
    }
    aside->changed = aside->changed || aside->asked_count > 0;
    if (aside->asked_count > 0)
        exact_passed(relay);
    aside->asked_count = 0;
    aside->refusal_count -= dead;
    memmove(aside->refusals, aside->refusals + dead, aside->refusal_count * sizeof aside->refusals[0]);
    aside->refusals_asked = 0;
    if (dead > 0 && relay->settings->dead_letter_topic != NULL)
        relay->beside.look_at_us = relay->now_us;
    passing_written(relay, true);
    return true;
}
