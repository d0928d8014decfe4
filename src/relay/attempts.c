/* attempts.c: which paused topics are tried, when, and whose turn it is. Thousands may rest: nothing here looks at all of them but when the time
 * of one has come. Called by sending.c in each turn, by pauses.c and rounds.c when something has changed, and by side.c, which asks.
 *
 *             its time        brokers know it          little is left
 *      RESTS ----------> LOOKS ----------------> WORKS <---------------> ENDS --> the stream takes its events again
 *        ^                 |  .. but had refused   ^
 *        |                 |  an event of it       | a page of it is in Kafka
 *        +---- refused     +-------------------> PROBES
 *
 * What can be told by a look costs one question for all topics. An attempt by sending costs the producer's instance when it fails, and, exactly
 * once, the transaction with it: so there is one at a time, and after a failure none for a while. */
#include "relay/inside.h"

#include "base/clock.h"

/* A topic that is being made is there soon, and looking is cheap. */
#define LOOK_FIRST_US (INT64_C(500) * 1000)
#define LOOK_LAST_US (INT64_C(30) * 1000000)
/* Those whose time comes within a part of their delay are looked at together. */
#define TOGETHER 8
/* A topic that is refused when it is sent. Who has healed it can say so: outboxd resume. */
#define PROBE_LAST_US (INT64_C(300) * 1000000)
/* Of all of them together. A new instance takes some tens of milliseconds, exactly once half a second: a hundredth of the time. */
#define PROBES_FIRST_US (INT64_C(5) * 1000000)
#define PROBES_LAST_US (INT64_C(60) * 1000000)

void
attempts_init(struct relay *relay, uint64_t seed)
{
    relay->beside.probe_backoff = backoff_make(PROBES_FIRST_US, PROBES_LAST_US, seed);
}

struct backoff
attempts_backoff(const struct relay *relay)
{
    return backoff_make(LOOK_FIRST_US, LOOK_LAST_US, (uint64_t)relay->now_us);
}

/* ---- queues ---- */

static void
append(struct relay *relay, struct pause *pause, enum pause_place place)
{
    struct pause_queue *queue = &relay->beside.queues[place];
    CHECK(pause->place == PLACE_RESTS && place != PLACE_RESTS);
    pause->place = place;
    pause->next = NULL;
    if (queue->last != NULL)
        queue->last->next = pause;
    else
        queue->first = pause;
    queue->last = pause;
}

static void
put_first(struct relay *relay, struct pause *pause, enum pause_place place)
{
    struct pause_queue *queue = &relay->beside.queues[place];
    if (queue->first == NULL) {
        append(relay, pause, place);
        return;
    }
    CHECK(pause->place == PLACE_RESTS);
    pause->place = place;
    pause->next = queue->first;
    queue->first = pause;
}

void
attempts_leave(struct relay *relay, struct pause *pause)
{
    struct pause_queue *queue = &relay->beside.queues[pause->place];
    struct pause *before = NULL;
    if (pause->place == PLACE_RESTS)
        return;
    for (struct pause *each = queue->first; each != pause; each = each->next)
        before = each;
    if (before != NULL)
        before->next = pause->next;
    else
        queue->first = pause->next;
    if (queue->last == pause)
        queue->last = before;
    pause->place = PLACE_RESTS;
}

void
attempts_rest(struct relay *relay, struct pause *pause)
{
    attempts_leave(relay, pause);
    if (pause->retry_at_us < relay->beside.rest_until_us)
        relay->beside.rest_until_us = pause->retry_at_us;
}

static bool
may_be_tried(const struct pause *pause)
{
    return pause->state == PAUSE_PASSES && pause->number != 0 && !pause->out && !pause->by_hand &&
           !pause->ended;
}

void
attempts_go_on(struct relay *relay, struct pause *pause)
{
    attempts_leave(relay, pause);
    if (!may_be_tried(pause))
        return;
    if (relay->beside.ending == pause)
        put_first(relay, pause, PLACE_ENDS);
    else if (pause->doubt != DOUBT_BROKER)
        append(relay, pause, pause->near || pause->from_seq == pause->to_seq ? PLACE_ENDS : PLACE_WORKS);
    else if (pause->asked)
        put_first(relay, pause, PLACE_PROBES);
    else
        append(relay, pause, PLACE_PROBES);
}

void
attempts_give_way(struct relay *relay, struct pause *pause)
{
    struct beside *beside = &relay->beside;
    if (beside->ending != pause)
        return;
    beside->ending = NULL;
    beside->closed_at = beside->closing ? relay->counters.polls : beside->closed_at;
    beside->closing = false;
}

/* Is it the turn of the first one of this queue? While no tick is opened, nobody is asked for but who wants that. */
static bool
has_turn(const struct relay *relay, const struct pause *first)
{
    const struct beside *beside = &relay->beside;
    switch (first->place) {
    case PLACE_ENDS:
        return beside->ending == NULL || beside->ending == first;
    case PLACE_PROBES:
        return !beside->closing && beside->probing == NULL &&
               (first->asked || relay->now_us >= beside->probe_at_us);
    case PLACE_WORKS:
        return !beside->closing;
    case PLACE_TELLS:
        return true;
    case PLACE_RESTS:
    case PLACE_LOOKS:
    case PLACES:
        break;
    }
    return false;
}

struct pause *
attempts_next(const struct relay *relay, enum pause_place place)
{
    struct pause *first = relay->beside.queues[place].first;
    if (first == NULL || !has_turn(relay, first))
        return NULL;
    return place == PLACE_TELLS || rounds_wants(relay, first) ? first : NULL;
}

int64_t
attempts_deadline(const struct relay *relay)
{
    const struct beside *beside = &relay->beside;
    int64_t deadline = beside->rest_until_us > relay->now_us ? beside->rest_until_us : CLOCK_NEVER;
    bool probes = beside->queues[PLACE_PROBES].first != NULL && beside->probing == NULL;
    if (probes && beside->probe_at_us > relay->now_us && beside->probe_at_us < deadline)
        deadline = beside->probe_at_us;
    return deadline;
}

/* ---- what comes of them ---- */

void
attempts_failed(struct relay *relay, struct pause *pause, bool sent)
{
    pause->doubt = sent ? DOUBT_BROKER : DOUBT_TOPIC;
    pause->asked = pause->near = false;
    attempts_give_way(relay, pause);
    pause->backoff.last_us = sent ? PROBE_LAST_US : LOOK_LAST_US;
    pause->retry_at_us = relay->now_us + backoff_next_us(&pause->backoff);
    if (sent)
        relay->beside.probe_at_us = relay->now_us + backoff_next_us(&relay->beside.probe_backoff);
    if (!pause->out)
        attempts_rest(relay, pause);
}

/* A page of it is in Kafka: those that were refused with it may be healed with it. */
void
attempts_proved(struct relay *relay, struct pause *pause)
{
    if (pause->doubt == DOUBT_BROKER) {
        backoff_reset(&relay->beside.probe_backoff);
        relay->beside.probe_at_us = relay->now_us;
    }
    pause->doubt = DOUBT_NONE;
    pause->asked = false;
    backoff_reset(&pause->backoff);
}

void
attempts_asked(struct relay *relay, struct pause *pause)
{
    pause->asked = true;
    backoff_reset(&pause->backoff);
    pause->retry_at_us = relay->now_us;
    if (pause->place == PLACE_PROBES || pause->place == PLACE_RESTS)
        attempts_rest(relay, pause);
}

/* ---- the turn ---- */

static void
take_look(struct relay *relay, struct pause *pause)
{
    struct outcome why = pause->why;
    switch (producer_look(relay->producer, pause->topic, &why)) {
    case LOOK_ASKING:
        append(relay, pause, PLACE_LOOKS);
        return;
    case LOOK_FINE:
        attempts_go_on(relay, pause);
        return;
    case LOOK_REFUSED:
        if (pauses_looked_in_vain(relay, pause, &why))
            append(relay, pause, PLACE_TELLS);
        return;
    }
}

static void
look(struct relay *relay)
{
    struct pause *each = relay->beside.queues[PLACE_LOOKS].first;
    relay->beside.queues[PLACE_LOOKS] = (struct pause_queue){0};
    for (struct pause *next; each != NULL; each = next) {
        next = each->next;
        each->place = PLACE_RESTS;
        take_look(relay, each);
    }
}

static void
begin(struct relay *relay, struct pause *pause)
{
    if (pause->doubt == DOUBT_NONE) {
        attempts_go_on(relay, pause);
        return;
    }
    producer_forget_topic(relay->producer, pause->topic); /* it may have been healed */
    append(relay, pause, PLACE_LOOKS);
}

/* Looks at all of them. */
static void
wake(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    beside->rest_until_us = CLOCK_NEVER;
    for (size_t i = 0; i < beside->pause_count; i++) {
        struct pause *pause = beside->pauses[i];
        if (pause->place != PLACE_RESTS || !may_be_tried(pause))
            continue;
        if (relay->now_us >= pause->retry_at_us - pause->backoff.delay_us / TOGETHER)
            begin(relay, pause);
        else if (pause->retry_at_us < beside->rest_until_us)
            beside->rest_until_us = pause->retry_at_us;
    }
}

void
attempts_turn(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    if (beside->paused || !loading_is_done(relay))
        return;
    if (relay->now_us >= beside->rest_until_us)
        wake(relay);
    if (beside->queues[PLACE_LOOKS].first != NULL)
        look(relay);
}
