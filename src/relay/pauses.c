/* pauses.c: topics that take nothing. The stream passes their events over, which wait in the database, behind a row of the journal; from there
 * they catch up in rounds beside the stream when the topic is tried again. Called by sending.c when a topic refuses, by aside.c when
 * something is written down, and by side.c, which asks and answers for what is beside the stream. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
pauses_set_state(struct relay *relay, struct pause *pause, enum pause_state state)
{
    relay->beside.wanted += state == PAUSE_WANTED;
    relay->beside.wanted -= pause->state == PAUSE_WANTED;
    pause->state = state;
}

static struct pause *
add(struct relay *relay, struct topic *topic)
{
    struct beside *beside = &relay->beside;
    struct pause *pause = must_calloc(1, sizeof *pause);
    pause->topic = topic;
    pause->since_us = clock_wall_us();
    pause->backoff = attempts_backoff(relay);
    pause->index = beside->pause_count;
    beside->wanted++; /* PAUSE_WANTED */
    beside->pauses = must_realloc(beside->pauses, beside->pause_count + 1, sizeof(struct pause *));
    beside->pauses[beside->pause_count++] = pause;
    topic->pause = pause;
    return pause;
}

void
pauses_end(struct pause *pause)
{
    pause->topic->pause = NULL;
    pause->ended = true;
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
        pauses_end(beside->pauses[i]);
        release(beside->pauses[i]);
    }
    free(beside->pauses);
    beside->pauses = NULL;
    beside->pause_count = 0;
    beside->wanted = 0;
    beside->out_count = 0;
    beside->probing = beside->ending = NULL;
    beside->closing = false;
    memset(beside->queues, 0, sizeof beside->queues);
}

void
pauses_forget(struct relay *relay, struct pause *pause)
{
    struct beside *beside = &relay->beside;
    struct pause *last = beside->pauses[--beside->pause_count];
    CHECK(pause->ended && pause->place == PLACE_RESTS && beside->pauses[pause->index] == pause);
    beside->pauses[last->index = pause->index] = last;
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

static const struct outcome asked = {
    .kind = OUTCOME_TOPIC, .name = WAITING_PAUSED, .message = "somebody has paused it: outboxd resume"};

bool
pauses_is_resumed(const struct pause *pause)
{
    return !pause->by_hand && strcmp(pause->why.name, asked.name) == 0;
}

const struct pause *
pauses_first_trouble(const struct relay *relay)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++) {
        const struct pause *pause = relay->beside.pauses[i];
        if (!pause->by_hand && !pause->ended && !pauses_is_resumed(pause))
            return pause;
    }
    return NULL;
}

/* ---- a topic refuses ---- */

/* The transaction that its events are lost with has to be ended first, and that waits for partitions, too (sending.c). */
static void
tell(const struct relay *relay, const struct pause *pause)
{
    bool all_wait = exact_is_on(relay) && relay->verdict.waiting.active;
    log_error(all_wait ? "topic takes nothing, and all others wait until Kafka can end the transaction"
                       : "topic paused: its events wait, the others flow; tried again with back-off",
              LOG_STR("topic", pause->topic->name), LOG_STR("error", pause->why.name),
              LOG_STR("why", pause->why.message), LOG_END);
}

/* True: it is another reason than before. */
static bool
learn(const struct relay *relay, struct pause *pause, const struct outcome *why)
{
    bool news = strcmp(pause->why.name, why->name) != 0;
    pause->why = *why;
    if (news)
        tell(relay, pause);
    return news;
}

/* An attempt to catch up failed, or another of its events came back with it. */
static void
fail_round(struct relay *relay, struct pause *pause, const struct outcome *why, bool sent)
{
    if (pause->failed)
        return;
    pause->failed = pause->out;
    attempts_failed(relay, pause, sent);
    (void)learn(relay, pause, why);
}

void
pauses_refused(struct relay *relay, struct topic *topic, const struct outcome *why, bool sent)
{
    struct pause *pause = topic->pause;
    relay->topic_refused = relay->topic_refused || sent;
    if (pause == NULL) {
        pause = add(relay, topic);
        pause->why = *why;
        pause->doubt = sent ? DOUBT_BROKER : DOUBT_TOPIC;
        pause->retry_at_us = relay->now_us + backoff_next_us(&pause->backoff);
        tell(relay, pause);
    } else if (pause->state == PAUSE_PASSES) {
        fail_round(relay, pause, why, sent);
    }
}

bool
pauses_looked_in_vain(struct relay *relay, struct pause *pause, const struct outcome *why)
{
    bool resumed = pause->resumed;
    attempts_failed(relay, pause, false);
    return learn(relay, pause, why) || resumed;
}

/* ---- what the database says ---- */

/* Is another pause of the same topic still to be forgotten in the database? */
static bool
is_ending(const struct relay *relay, const struct topic *topic)
{
    for (size_t i = 0; i < relay->beside.pause_count; i++)
        if (relay->beside.pauses[i]->topic == topic && relay->beside.pauses[i]->ended)
            return true;
    return false;
}

bool
pauses_want_numbers(const struct relay *relay)
{
    bool wanted = !loading_is_done(relay);
    for (size_t i = 0; i < relay->beside.pause_count && !wanted; i++)
        wanted = relay->beside.pauses[i]->state == PAUSE_PASSES && relay->beside.pauses[i]->number == 0;
    return wanted;
}

/* Somebody has resumed what nobody had paused: it is healed, as far as he knows. */
static void
try_again(struct relay *relay, struct pause *pause)
{
    if (pause->resumed || pause->state != PAUSE_PASSES)
        return;
    log_info("topic is tried again: somebody has resumed it", LOG_STR("topic", pause->topic->name), LOG_END);
    pause->resumed = true;
    attempts_asked(relay, pause);
}

static void
take_topic(struct relay *relay, const struct waiting_topic *row)
{
    struct topic *topic = topic_intern_always(relay->topics, row->name, strlen(row->name));
    struct pause *pause = topic->pause;
    if (pause == NULL && is_ending(relay, topic))
        return;
    if (pause == NULL) { /* of an earlier leader */
        pause = add(relay, topic);
        pauses_set_state(relay, pause, PAUSE_PASSES);
        if (row->since_us != 0)
            pause->since_us = row->since_us;
        pause->why.kind = OUTCOME_TOPIC;
        snprintf(pause->why.name, sizeof pause->why.name, "%s", row->error);
        snprintf(pause->why.message, sizeof pause->why.message, "%s", row->message);
        pause->doubt = strcmp(row->error, asked.name) == 0 ? DOUBT_NONE : DOUBT_BROKER;
        pause->retry_at_us = relay->now_us;
        pause->passed_seq = relay->confirmed.seq + 1; /* he may have begun with the next tick */
        if (relay->begun_seq > pause->passed_seq)
            pause->passed_seq = relay->begun_seq;
    }
    if (strcmp(row->error, WAITING_RESUMED) == 0)
        try_again(relay, pause);
    if (pause->state != PAUSE_PASSES || pause->number != 0)
        return;
    pause->number = row->number;
    pause->from_seq = row->from_seq;
    pause->to_seq = row->to_seq;
    pause->after_id = row->after_id;
    relay->beside.rest_until_us = relay->now_us;
}

static void
pause_by_hand(struct relay *relay, const char *name)
{
    struct topic *topic = topic_intern_always(relay->topics, name, strlen(name));
    struct pause *pause = topic->pause;
    if (pause == NULL && !topic->selected)
        return;
    if (pause == NULL) {
        pause = add(relay, topic);
        pause->why = asked;
    }
    pause->seen_by_hand = relay->beside.looks;
    if (pause->by_hand)
        return;
    log_info("topic paused by hand", LOG_STR("topic", name), LOG_END);
    pause->by_hand = true;
    attempts_give_way(relay, pause);
    attempts_rest(relay, pause);
}

static void
resume(struct relay *relay, struct pause *pause)
{
    log_info("topic resumed by hand", LOG_STR("topic", pause->topic->name), LOG_END);
    pause->by_hand = false;
    attempts_asked(relay, pause);
}

void
pauses_take(struct relay *relay, const struct waiting *waiting)
{
    struct beside *beside = &relay->beside;
    beside->looks++;
    for (size_t i = 0; i < waiting->topic_count; i++)
        take_topic(relay, &waiting->topics[i]);
    for (size_t i = 0; i < waiting->pause_count; i++)
        pause_by_hand(relay, waiting->pauses[i]);
    for (size_t i = 0; i < beside->pause_count; i++)
        if (beside->pauses[i]->by_hand && beside->pauses[i]->seen_by_hand != beside->looks)
            resume(relay, beside->pauses[i]);
}
