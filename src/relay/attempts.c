/* attempts.c: which paused topics are to be tried, and whose turn it is. Thousands may rest; nothing here looks at all of them but when the
 * time of one has come. Called by sending.c in each turn, by pauses.c and rounds.c when something has changed, and by side.c, which asks. */
#include "relay/inside.h"

#include "base/clock.h"

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
    if (may_be_tried(pause))
        append(relay, pause, PLACE_WORKS);
}

struct pause *
attempts_next(const struct relay *relay, enum pause_place place)
{
    struct pause *first = relay->beside.queues[place].first;
    return first != NULL && rounds_wants(relay, first) ? first : NULL;
}

/* ---- time ---- */

/* Looks at all of them. */
void
attempts_turn(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    if (relay->now_us < beside->rest_until_us || beside->paused || !loading_is_done(relay))
        return;
    beside->rest_until_us = CLOCK_NEVER;
    for (size_t i = 0; i < beside->pause_count; i++) {
        struct pause *pause = beside->pauses[i];
        if (pause->place != PLACE_RESTS || !may_be_tried(pause))
            continue;
        if (relay->now_us >= pause->retry_at_us)
            append(relay, pause, PLACE_WORKS);
        else if (pause->retry_at_us < beside->rest_until_us)
            beside->rest_until_us = pause->retry_at_us;
    }
}
