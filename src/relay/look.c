/* look.c: looks every second at what people ask for and at what waits, and begins what there is a place for. Called by loading.c when the lead
 * begins, by leading.c and answers.c, and by side.c when a request has ended. */
#include "relay/inside.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How soon a request is seen. */
#define LOOK_US (INT64_C(1) * 1000000)

static size_t
slots_of(enum request_kind kind)
{
    switch (kind) {
    case REQUEST_KIND_RETRY:
    case REQUEST_KIND_DISCARD:
        return SIDES_OF_LETTERS;
    case REQUEST_KIND_REPLAY:
        return SIDES_OF_REPLAYS;
    case REQUEST_KIND_COPY:
        return SIDES_OF_COPIES;
    }
    return 0;
}

static bool
has_slot(const struct beside *beside, enum request_kind kind)
{
    size_t taken = 0;
    for (size_t i = 0; i < beside->side_count; i++) {
        enum request_kind other = beside->sides[i].request.kind;
        taken += other == kind || (requests_of_letter(other) && requests_of_letter(kind));
    }
    return taken < slots_of(kind);
}

static bool
waits_alone(const struct side *side)
{
    return side->blocked != NULL && requests_of_letter(side->request.kind);
}

/* One retry or discard waits for each topic that takes nothing; others of that topic would wait in vain. */
static bool
waits_for(const struct relay *relay, const char *topic, const struct side *self)
{
    for (size_t i = 0; i < relay->beside.side_count; i++) {
        const struct side *side = &relay->beside.sides[i];
        if (side != self && waits_alone(side) && strcmp(side->blocked->name, topic) == 0)
            return true;
    }
    return false;
}

bool
look_spares(const struct relay *relay, const struct side *side)
{
    return waits_alone(side) && waits_for(relay, side->blocked->name, side);
}

/* True: it has begun. */
static bool
take_request(struct relay *relay, struct waiting_request *request)
{
    struct beside *beside = &relay->beside;
    struct side *known = side_find(relay, request->number);
    if (known != NULL) {
        request->taken = true;               /* also when that one has ended, and this is looked at again */
        known->request.tick = request->tick; /* a round may have placed it, and the next one */
        known->request.next_tick = request->next_tick;
        known->request.next_id = request->next_id;
    }
    if (request->taken || !has_slot(beside, request->kind))
        return false;
    if (requests_of_letter(request->kind) && request->topic != NULL && waits_for(relay, request->topic, NULL))
        return false;
    request->taken = true;
    struct side *side = &beside->sides[beside->side_count++];
    *side = (struct side){.request = *request, .next_us = relay->now_us, .told_us = relay->now_us};
    snprintf(side->topic, sizeof side->topic, "%s", request->topic != NULL ? request->topic : "");
    side->request.topic = request->topic != NULL ? side->topic : NULL;
    side->key_hex = request->key_hex != NULL ? must_strdup(request->key_hex) : NULL;
    side->request.key_hex = side->key_hex;
    side->upto = relay->sequence; /* what comes later is published by itself */
    if (request->last_id != 0 && request->last_id < side->upto)
        side->upto = request->last_id;
    side->after = request->first_id > 0 ? request->first_id - 1 : 0;
    if (request->progress > side->after)
        side->after = request->progress;
    exact_anchor(relay);
    log_info("request begins", LOG_INT("number", request->number),
             LOG_STR("kind", waiting_kind_name(request->kind)), LOG_INT("event", request->event_id), LOG_END);
    return true;
}

/* A copy has nothing to do with what else happens to its dead letter: the next one is begun by what is known already. */
static bool
take_copy(struct relay *relay)
{
    struct waiting *waiting = &relay->beside.waiting;
    for (size_t i = 0; i < waiting->request_count; i++)
        if (waiting->requests[i].kind == REQUEST_KIND_COPY && take_request(relay, &waiting->requests[i]))
            return true;
    return false;
}

void
look_forget(struct relay *relay, struct side *side, const char *outcome)
{
    struct beside *beside = &relay->beside;
    log_info("request ended", LOG_INT("number", side->request.number),
             LOG_STR("kind", waiting_kind_name(side->request.kind)), LOG_STR("outcome", outcome), LOG_END);
    bool copies = side->request.kind == REQUEST_KIND_COPY;
    relay->trouble_told = relay->trouble_told && side->blocked == NULL;
    free(side->key_hex);
    *side = beside->sides[--beside->side_count];
    if (side->request.topic != NULL)
        side->request.topic = side->topic; /* the text has moved with it */
    if (!copies || !take_copy(relay))
        beside->look_at_us = relay->now_us;
}

static bool
is_waiting(const struct waiting *waiting, int64_t number)
{
    for (size_t i = 0; i < waiting->request_count; i++)
        if (waiting->requests[i].number == number)
            return true;
    return false;
}

/* {a,b}: names of topics need no quotes. */
static void
list_waited_for(const struct relay *relay, char *text, size_t size)
{
    size_t used = 0;
    text[used++] = '{';
    for (size_t i = 0; i < relay->beside.side_count; i++)
        if (waits_alone(&relay->beside.sides[i]))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 1 ? "," : "",
                                     relay->beside.sides[i].blocked->name);
    snprintf(text + used, size - used, "}");
}

void
look_ask(struct relay *relay)
{
    char without[SIDES_OF_LETTERS * TOPIC_NAME_SIZE + 3];
    list_waited_for(relay, without, sizeof without);
    const struct waiting_wish wish = {
        .counts = loading_wants_count(relay), .topics = pauses_want_numbers(relay), .without = without};
    waiting_ask(relay->session, relay->settings->relay, &wish, relay->now_us);
    relay_asked(relay, REQUEST_WAITING);
}

bool
look_answer(struct relay *relay, struct error *error)
{
    struct beside *beside = &relay->beside;
    struct waiting *waiting = &beside->waiting;
    if (!waiting_read(relay->session, waiting, error))
        return false;
    if (beside->paused != waiting->paused)
        log_info(waiting->paused ? "paused by hand: nothing is published" : "resumed by hand", LOG_END);
    beside->paused = waiting->paused;
    if (waiting->counted)
        loading_counted(relay, waiting->dead, waiting->held);
    pauses_take(relay, waiting);
    for (size_t i = beside->side_count; i > 0; i--) {
        struct side *side = &beside->sides[i - 1];
        side->cancelled = !is_waiting(waiting, side->request.number) && !waits_alone(side);
        bool letter = requests_of_letter(side->request.kind); /* those nobody can cancel */
        if (side->cancelled && !side->out)
            look_forget(relay, side, letter ? SIDE_PUT_OFF : "cancelled");
    }
    for (size_t i = 0; i < waiting->request_count; i++)
        (void)take_request(relay, &waiting->requests[i]);
    beside->look_at_us = relay->now_us + LOOK_US;
    relay->aside.loading = ASIDE_LOADED;
    return true;
}
