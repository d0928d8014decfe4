/* loading.c: what was passed over before is read when a lead begins, in pieces, so that heartbeats come in between: there may be millions of dead
 * letters, and nothing is sent before it is known which keys they hold. How many there are is for the metrics only, and is counted
 * later. Called by leading.c, answers.c and look.c. */
#include "relay/inside.h"

#include <string.h>

/* A piece is read in some ten milliseconds: heartbeats wait for it. The bytes are those of keys. */
#define PIECE_ROWS 2000
#define PIECE_BYTES (INT64_C(16) * 1024 * 1024)
/* While rows are counted nothing is read: that takes a hundredth of the time, as far as it took that long and the answer was not late. */
#define COUNT_SHARE 100
#define COUNT_MOST_US (INT64_C(30) * 1000000)
#define COUNT_FIRST_US (INT64_C(1) * 1000000)

void
loading_begin(struct relay *relay)
{
    struct aside *aside = &relay->aside;
    aside->loading = ASIDE_APPLY;
    aside->applied = 0;
    holds_clear(&aside->holds);
    ahead_clear(&aside->ahead);
    aside->ahead_tick = 0;
    aside->loaded_hold = 0;
    aside->refusal_count = 0;
    aside->asked_count = 0;
    aside->dead = aside->held = 0;
    aside->changed = true;
    aside->count_at_us = relay->now_us + COUNT_FIRST_US;
}

bool
loading_is_done(const struct relay *relay)
{
    return relay->aside.loading == ASIDE_LOADED;
}

bool
loading_applies(const struct relay *relay)
{
    return relay->aside.loading == ASIDE_APPLY && relay->aside.applied < exact_sides(relay)->count;
}

/* Exactly once: what Kafka says of the work that was beside the stream, the database is to say too. */
static void
ask_apply(struct relay *relay, const struct record_side *side)
{
    struct journal_row_next next = leading_next_row(relay);
    aside_ask_apply(relay->session, &next, side->number, side->progress, relay->now_us);
    relay_asked(relay, REQUEST_APPLY);
}

void
loading_ask(struct relay *relay)
{
    struct aside *aside = &relay->aside;
    const char *name = relay->settings->relay;
    if (aside->loading == ASIDE_APPLY && !loading_applies(relay))
        aside->loading = ASIDE_HOLDS;
    switch (aside->loading) {
    case ASIDE_APPLY:
        ask_apply(relay, &exact_sides(relay)->list[aside->applied]);
        return;
    case ASIDE_HOLDS:
        aside_ask_holds(relay->session, name, aside->loaded_hold, PIECE_ROWS, PIECE_BYTES, relay->now_us);
        relay_asked(relay, REQUEST_HOLDS);
        return;
    case ASIDE_AHEAD:
        aside_ask_ahead(relay->session, name, aside->loaded_letter, PIECE_ROWS, relay->now_us);
        relay_asked(relay, REQUEST_AHEAD);
        return;
    case ASIDE_WAITING:
        look_ask(relay);
        return;
    case ASIDE_LOADED:
        return;
    }
}

/* ---- the answers ---- */

bool
loading_answer_apply(struct relay *relay, struct error *error)
{
    bool written;
    if (!answers_appended(relay, &written, error))
        return false;
    if (written)
        exact_rely(relay);
    relay->aside.applied += written;
    return true;
}

static void
wait_for_tick(struct aside *aside, int64_t tick)
{
    aside->ahead_tick = tick > aside->ahead_tick ? tick : aside->ahead_tick;
}

static void
take_hold(void *context, const struct aside_hold *row)
{
    struct relay *relay = context;
    const struct topic *topic = topic_intern_always(relay->topics, row->topic, strlen(row->topic));
    struct hold hold = {.topic = topic, .number = row->number, .tick = row->tick, .id = row->event_id};
    memcpy(hold.key, row->key, sizeof hold.key);
    holds_load(&relay->aside.holds, &hold);
    wait_for_tick(&relay->aside, row->held_tick);
    relay->aside.loaded_hold = row->number;
}

bool
loading_answer_holds(struct relay *relay, struct error *error)
{
    int count;
    if (!aside_read_holds(relay->session, take_hold, relay, &count, error))
        return false;
    if (count > 0)
        return true;
    relay->aside.loading = ASIDE_AHEAD;
    relay->aside.loaded_letter = (struct aside_place){relay->confirmed.seq + 1, relay->confirmed.id};
    return true;
}

static void
take_letter(void *context, struct aside_place place)
{
    struct relay *relay = context;
    struct aside *aside = &relay->aside;
    wait_for_tick(aside, place.tick);
    aside->loaded_letter = place;
    ahead_add(&aside->ahead, place.tick, place.event_id);
}

bool
loading_answer_ahead(struct relay *relay, struct error *error)
{
    int count;
    if (!aside_read_ahead(relay->session, take_letter, relay, &count, error))
        return false;
    if (count == 0)
        relay->aside.loading = ASIDE_WAITING;
    return true;
}

/* ---- how much there is ---- */

bool
loading_wants_count(const struct relay *relay)
{
    return relay->aside.changed && relay->now_us >= relay->aside.count_at_us;
}

void
loading_counted(struct relay *relay, int64_t dead, int64_t held)
{
    struct aside *aside = &relay->aside;
    aside->dead = dead;
    aside->held = held;
    aside->changed = false;
    int64_t rest_us = (relay->now_us - relay->request_sent_us) * COUNT_SHARE;
    aside->count_at_us = relay->now_us + (rest_us < COUNT_MOST_US ? rest_us : COUNT_MOST_US);
}
