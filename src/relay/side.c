/* side.c: work beside the stream: retries of dead letters, discards, copies, replays, and topics that catch up (rounds.c). Its pages travel
 * through the same pipeline as the stream's, so that what follows a retried event of the same key is sent after it (I2); each work
 * has one page there at most. When all of a page is in Kafka, the database is told how far the work is, before the confirmed position moves on
 * behind it; in exactly once the position record says the same with the events (record.h). What is in the pages: requests.c, rounds.c; which work is
 * begun: look.c; what Kafka refuses of it: refusals.c. Called by leading.c and answers.c. */
#include "relay/inside.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request that failed is tried again, no sooner than this. */
#define AGAIN_US (INT64_C(5) * 1000000)
/* Since its last live event the stream counts as one that has some. */
#define LIVE_US (INT64_C(1) * 1000000)

/* ---- which work ---- */

struct side *
side_find(const struct relay *relay, int64_t number)
{
    for (size_t i = 0; i < relay->beside.side_count; i++)
        if (relay->beside.sides[i].request.number == number)
            return (struct side *)&relay->beside.sides[i];
    return NULL;
}

/* Of a retry, what is before the event that was refused is published all the same. When its topic is paused meanwhile all of it goes on
 * waiting: what waits for the topic would come to the retried events again. A replay waits in front of the first event of such a topic. */
bool
side_passes(struct relay *relay, const struct event *event)
{
    static const struct outcome paused = {
        .kind = OUTCOME_TOPIC, .name = "PAUSED", .message = "the topic is paused: outboxd status says why"};
    if (event->page->pause != NULL)
        return event->page->pause->failed;
    struct side *side = side_find(relay, event->page->side);
    if (side == NULL)
        return true;
    bool refused = side->failed && side->why.kind == OUTCOME_EVENT && side->refused_id != 0;
    if (side->failed && (!refused || pipeline_serial(event) > side->refused_serial))
        return true;
    bool waits = side->request.kind != REQUEST_KIND_COPY && event->topic->pause != NULL;
    if (waits && !side->failed)
        side_block(relay, side, event, &paused);
    return waits;
}

bool
side_waits_for_topic(const struct relay *relay, const struct side *side)
{
    return topic_intern_always(relay->topics, side->topic, strlen(side->topic))->pause != NULL;
}

bool
side_is_at_work(const struct relay *relay, int64_t number)
{
    const struct side *side = side_find(relay, number);
    return rounds_out(relay, number) != NULL || (side != NULL && side->out);
}

void
side_clear(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    while (beside->side_count > 0)
        free(beside->sides[--beside->side_count].key_hex);
    relay->trouble_told = false; /* none of them waits for a topic any more */
    waiting_clear(&beside->waiting);
    pauses_clear(relay);
}

/* ---- in turns ---- */

void
side_push(struct relay *relay, struct page *page, int64_t number)
{
    page->side = number;
    pipeline_push(&relay->pipeline, page);
    if (page->count == 0)
        exact_passed(relay);
}

bool
side_is_live(const struct relay *relay)
{
    return relay->live_us != 0 && relay->now_us - relay->live_us < LIVE_US;
}

/* Each in its turn. */
bool
side_ask(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    size_t count = beside->side_count + PLACES;
    for (size_t i = 0; i < count; i++) {
        size_t next = (beside->turn + i) % count;
        struct side *side = next < beside->side_count ? &beside->sides[next] : NULL;
        struct pause *pause =
            side == NULL ? attempts_next(relay, (enum pause_place)(next - beside->side_count)) : NULL;
        if (side != NULL ? !requests_wants(relay, side) : pause == NULL)
            continue;
        beside->turn = next + 1;
        if (side != NULL)
            requests_ask(relay, side);
        else
            rounds_ask(relay, pause);
        if (relay->request != REQUEST_NONE)
            return true;
    }
    return false;
}

/* A retry whose topic was paused meanwhile keeps nobody waiting. */
bool
side_is_closing(const struct relay *relay)
{
    bool closing = relay->beside.closing;
    for (size_t i = 0; i < relay->beside.side_count; i++)
        closing = closing ||
                  (relay->beside.sides[i].closing && !side_waits_for_topic(relay, &relay->beside.sides[i]));
    return closing;
}

bool
side_close(struct relay *relay)
{
    struct beside *beside = &relay->beside;
    bool free = relay->counters.polls > beside->closed_at;
    beside->closed_at = relay->counters.polls;
    return free;
}

int64_t
side_deadline(const struct relay *relay, bool may_ask)
{
    const struct beside *beside = &relay->beside;
    int64_t deadline = beside->look_at_us;
    bool now = false, asks = may_ask && !beside->paused && exact_is_settled(relay);
    for (size_t i = 0; i < beside->side_count; i++) {
        const struct side *side = &beside->sides[i];
        if (side->next_us > relay->now_us && !side->out)
            deadline = side->next_us < deadline ? side->next_us : deadline;
        now = now || (asks && requests_wants(relay, side));
    }
    int64_t attempt_us = attempts_deadline(relay);
    deadline = attempt_us < deadline ? attempt_us : deadline;
    for (int place = 0; place < PLACES; place++)
        now = now || (asks && attempts_next(relay, (enum pause_place)place) != NULL);
    return now ? relay->now_us : deadline;
}

/* ---- what the database is told ---- */

void
side_ask_settle(struct relay *relay, const struct side *side, int64_t progress, int64_t events,
                const char *outcome)
{
    struct journal_row_next next = leading_next_row(relay);
    const struct aside_refusal refusal = {.event_id = side->refused_id,
                                          .count = side->refused_count,
                                          .error = side->why.name,
                                          .message = side->why.message,
                                          .copy = relay->settings->dead_letter_topic != NULL};
    relay->beside.asked_number = side->request.number;
    relay->beside.asked_progress = progress;
    snprintf(relay->beside.asked_outcome, SIDE_OUTCOME_SIZE, "%s", outcome != NULL ? outcome : "");
    aside_ask_settle(relay->session, &next, side->request.number, progress, events, outcome,
                     side->refused_id != 0 ? &refusal : NULL, relay->now_us);
    relay_asked(relay, REQUEST_SETTLE);
}

static int64_t
acknowledged(const struct page *page)
{
    int64_t events = 0;
    for (size_t i = 0; i < page->count; i++)
        events += page->events[i].state == EVENT_ACKNOWLEDGED;
    return events;
}

/* How the request ends with this page; NULL: it goes on. */
static const char *
outcome_of(const struct side *side, int64_t progress, char text[SIDE_OUTCOME_SIZE])
{
    if (progress == SIDE_WHOLE)
        return "done";
    if (side->refused_id == 0 || side->request.kind == REQUEST_KIND_REPLAY)
        return NULL;
    snprintf(text, SIDE_OUTCOME_SIZE, "event %" PRId64 " was refused: %s", side->refused_id, side->why.name);
    return text;
}

bool
side_settles(struct relay *relay)
{
    struct page *page;
    while ((page = pipeline_side(&relay->pipeline)) != NULL && page->pause == NULL &&
           side_find(relay, page->side) == NULL)
        pipeline_side_done(&relay->pipeline); /* nobody asks for it any more */
    return page != NULL;
}

/* Nothing more is sent, and nothing is out: what was not sent goes on waiting where it is. In exactly once the position says how far it is. */
void
side_stop(struct relay *relay)
{
    struct page *page = relay->pipeline.head;
    if (page == NULL || page->side == 0 || exact_is_on(relay))
        return;
    for (size_t i = page->settled; i < page->count; i++)
        if (page->events[i].state == EVENT_UNSENT)
            pipeline_set_aside(&relay->pipeline, &page->events[i], EVENT_PASSED);
}

/* Everything before the refused event is published. */
static bool
has_reached_refused(const struct page *page, const struct side *side)
{
    size_t i = 0;
    while (i < page->count && page->events[i].state == EVENT_ACKNOWLEDGED)
        i++;
    return i < page->count && page->events[i].id == side->refused_id;
}

void
side_ask_settled(struct relay *relay)
{
    char text[SIDE_OUTCOME_SIZE];
    struct page *page = pipeline_side(&relay->pipeline);
    struct pause *pause = page->pause;
    int64_t progress = pipeline_side_progress(page, UINT64_MAX);
    if (pause != NULL) {
        rounds_ask_settle(relay, pause, progress, pause->failed ? &pause->why : NULL);
        return;
    }
    struct side *side = side_find(relay, page->side);
    if (side->failed && side->refused_id != 0 && !has_reached_refused(page, side))
        side->refused_id = side->refused_count = 0; /* it is found again */
    if (progress == 0 && side->request.kind == REQUEST_KIND_REPLAY)
        progress = side->before;
    side_ask_settle(relay, side, progress, acknowledged(page), outcome_of(side, progress, text));
}

static void
settled(struct relay *relay, struct side *side, int64_t progress)
{
    bool replays = side->request.kind == REQUEST_KIND_REPLAY;
    side->out = false;
    if (progress > 0)
        side->request.progress = progress;
    if (relay->beside.asked_outcome[0] != '\0') {
        look_forget(relay, side, relay->beside.asked_outcome);
        return;
    }
    if (!side->failed)
        side_unblock(relay, side);
    else if (side->next_us <= relay->now_us)
        side->next_us = relay->now_us + AGAIN_US;
    if (side->failed && replays)
        side->after = progress;
    if (side->failed && look_spares(relay, side)) {
        look_forget(relay, side, SIDE_PUT_OFF);
        return;
    }
    side->failed = false;
    side->refused_id = side->refused_count = 0;
}

bool
side_answer_settle(struct relay *relay, struct error *error)
{
    bool written;
    int64_t number = relay->beside.asked_number, progress = relay->beside.asked_progress;
    if (!answers_appended(relay, &written, error))
        return false;
    if (!written)
        return true;
    exact_rely(relay);
    relay->aside.changed = true;
    struct side *side = side_find(relay, number);
    struct pause *pause = pauses_numbered(relay, number);
    struct page *page = pipeline_side(&relay->pipeline);
    if (side != NULL)
        settled(relay, side, progress);
    else if (pause != NULL)
        rounds_settled(relay, pause, progress, relay->answer, relay->beside.asked_new_to);
    if (page != NULL && page->side == number)
        pipeline_side_done(&relay->pipeline);
    return true;
}
