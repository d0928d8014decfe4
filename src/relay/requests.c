/* requests.c: the pages of what people have asked for: a dead letter and what waits behind it, its copy, replays. Called by side.c, one
 * question at a time. */
#include "relay/inside.h"

#include <fnmatch.h>

/* Of a page of what waits behind a dead letter; a live event is sent after all of it. */
#define EVENTS 5000
#define LIVE_EVENTS 1000
/* A replay sends few events at a time, and looks at as many ids for them as takes some ten milliseconds: live ones come first. */
#define REPLAY_EVENTS 1000
#define REPLAY_IDS_LEAST 1000
#define REPLAY_IDS_MOST 50000
#define QUICK_US (INT64_C(10) * 1000)
#define SLOW_US (INT64_C(40) * 1000)
/* What has nothing for it is passed by without a word; so often people, and who leads next, hear how far it is. */
#define TELL_US (INT64_C(5) * 1000000)

bool
requests_of_letter(enum request_kind kind)
{
    return kind == REQUEST_KIND_RETRY || kind == REQUEST_KIND_DISCARD;
}

/* ---- asking ---- */

/* One that waits for a topic keeps no other from its work. */
static bool
has_turn(const struct relay *relay, const struct side *side)
{
    bool replays = side->request.kind == REQUEST_KIND_REPLAY;
    size_t before = 0, out = 0, most = replays ? REPLAYS_AT_WORK : LETTERS_AT_WORK;
    for (size_t i = 0; i < relay->beside.side_count; i++) {
        const struct side *other = &relay->beside.sides[i];
        if (other->request.kind == REQUEST_KIND_COPY ||
            replays != (other->request.kind == REQUEST_KIND_REPLAY))
            continue;
        out += other->out;
        before += other->blocked == NULL && other->request.number < side->request.number;
    }
    if (side->blocked != NULL)
        return side->blocked->pause == NULL && out < most;
    return (before < most || side->closing) && out < most;
}

/* Everything before the dead letter is settled: nothing of its key can be refused in front of it any more. */
static bool
is_settled_before(const struct relay *relay, const struct waiting_request *request)
{
    const struct journal_position *confirmed = &relay->confirmed;
    return confirmed->seq >= request->tick ||
           (confirmed->seq == request->tick - 1 && confirmed->id >= request->event_id);
}

bool
requests_wants(const struct relay *relay, const struct side *side)
{
    bool behind = relay->confirmed.seq >= relay->aside.ahead_tick;
    if (side->out || side->cancelled || relay->now_us < side->next_us || !behind || exact_anchors(relay))
        return false;
    if (side->request.kind == REQUEST_KIND_REPLAY)
        return has_turn(relay, side);
    if (side->request.gone)
        return true;
    if (relay->exact.committing)
        return false; /* what comes would be read in vain: push_letter() */
    return side->request.kind == REQUEST_KIND_COPY ||
           (is_settled_before(relay, &side->request) && !side_waits_for_topic(relay, side) &&
            has_turn(relay, side));
}

/* Ids up to here are looked at for its next page. */
static int64_t
replay_window(const struct side *side)
{
    return side->upto - side->after > side->ids ? side->after + side->ids : side->upto;
}

static void
choose_ids(struct side *side, int64_t took_us)
{
    if (took_us < QUICK_US && side->ids < REPLAY_IDS_MOST)
        side->ids *= 2;
    else if (took_us > SLOW_US && side->ids > REPLAY_IDS_LEAST)
        side->ids /= 2;
}

/* No more are looked for than fit into the page: they would be read to be cut off. */
static void
ask_held(struct relay *relay, const struct waiting_request *request)
{
    int64_t bytes = leading_page_limit(relay);
    int64_t events = side_is_live(relay) ? LIVE_EVENTS : EVENTS, fit = bytes / EVENT_OVERHEAD + 1;
    relay->beside.asked_events = events < fit ? events : fit;
    waiting_ask_held(relay->session, relay->settings->relay, request, relay->beside.asked_events, bytes,
                     relay->now_us);
}

static int64_t
replay_events(const struct waiting_request *request)
{
    return request->rate > 0 && request->rate < REPLAY_EVENTS ? request->rate : REPLAY_EVENTS;
}

static void
ask_replay(struct relay *relay, struct side *side)
{
    const struct waiting_request *request = &side->request;
    if (side->ids == 0)
        side->ids = REPLAY_IDS_LEAST;
    if (!side->found) {
        waiting_ask_first(relay->session, request, side->after, side->upto, relay->now_us);
        relay_asked(relay, REQUEST_SIDE_FIRST);
        return;
    }
    waiting_ask_replay(relay->session, relay->settings->relay, request, side->after, replay_window(side),
                       replay_events(request), leading_page_limit(relay), relay->now_us);
    relay_asked(relay, REQUEST_SIDE_PAGE);
}

void
requests_ask(struct relay *relay, struct side *side)
{
    const struct waiting_request *request = &side->request;
    relay->beside.asked_number = request->number;
    if (request->gone) {
        side_ask_settle(relay, side, 0, 0, "there is no such dead letter any more");
        return;
    }
    if (request->kind == REQUEST_KIND_REPLAY) {
        ask_replay(relay, side);
        return;
    }
    if (request->kind == REQUEST_KIND_COPY) {
        if (relay->settings->dead_letter_topic == NULL) {
            side_ask_settle(relay, side, 0, 0, "no topic is configured for copies");
            return;
        }
        waiting_ask_copy(relay->session, relay->settings->relay, request, relay->settings->dead_letter_topic,
                         relay->now_us);
    } else {
        ask_held(relay, request);
    }
    relay_asked(relay, REQUEST_SIDE_PAGE);
}

/* ---- the answer ---- */

/* All of it is done: an empty page behind what was sent for it. With the last dead letter its hold goes; else it begins at the next one, and what
 * stands before that and was not looked at yet is sent. */
static void
end(struct relay *relay, struct side *side, struct page *page)
{
    const struct waiting_request *request = &side->request;
    bool frees = request->kind != REQUEST_KIND_COPY && request->hold != 0;
    side->closing = false;
    if (frees && request->next_id == 0)
        holds_remove(&relay->aside.holds, request->hold);
    else if (frees)
        holds_move(&relay->aside.holds, request->hold, request->next_tick, request->next_id);
    page->side_end = SIDE_WHOLE;
    side_push(relay, page, side->request.number);
    side->out = true;
}

/* There is more of it. It is taken for cut by bytes rather too soon: the server counts headers in its own encoding. */
static bool
is_full(const struct relay *relay, const struct waiting_page *read, int64_t events)
{
    return read->rows >= events || read->cost >= leading_page_limit(relay) / 2;
}

static void
push_letter(struct relay *relay, struct side *side, const struct waiting_page *read)
{
    struct page *page = read->page;
    int64_t rows = read->rows;
    if (!exact_is_settled(relay) || relay->exact.committing) {
        page_free(page); /* it is not known yet what is published: asked again */
        return;
    }
    if (rows > 0 && side->request.progress == 0 && page->count > 0)
        producer_forget_topic(relay->producer, page->events[0].topic); /* it may have been healed */
    bool alone = side->request.hold == 0 || side->request.kind == REQUEST_KIND_COPY;
    bool publishes = side->request.kind != REQUEST_KIND_DISCARD && side->request.progress == 0;
    if (rows == 0 && alone && publishes) {
        side->request.gone = true; /* retried or discarded meanwhile */
        page_free(page);
        return;
    }
    if (rows > 0 && !alone) {
        bool ends = side->request.progress != 0 && /* what came in the time of one page */
                    !is_full(relay, read, relay->beside.asked_events);
        side->closing = ends && (side->closing || side_close(relay));
        leading_took_page(relay, PACE_HELD, read->cost);
        side_push(relay, page, side->request.number);
        side->out = true;
        return;
    }
    if (!alone && holds_marks(&relay->aside.holds, side->request.hold) > 0) {
        /* events are on their way there: no tick is opened until they are written down and read */
        side->closing = side->closing || side_close(relay);
        page_free(page);
        return;
    }
    end(relay, side, page);
}

/* Between its events nothing is looked at, however far they are apart. */
bool
requests_answer_first(struct relay *relay, struct error *error)
{
    int64_t id;
    struct side *side = side_find(relay, relay->beside.asked_number);
    CHECK(side != NULL);
    if (!waiting_read_first(relay->session, &id, error))
        return false;
    side->found = id > 0;
    if (side->found)
        side->after = id - 1;
    else
        end(relay, side, page_new(0));
    return true;
}

/* Marks what a page has although the pattern does not mean it (waiting.h); returns how many are to be sent. */
static size_t
leave_out(struct relay *relay, const struct side *side, struct page *page)
{
    const char *pattern = side->request.topic;
    size_t sent = 0;
    for (size_t i = 0; i < page->count; i++) {
        struct event *event = &page->events[i];
        bool wanted = pattern == NULL || fnmatch(pattern, event->topic->name, 0) == 0;
        sent += wanted;
        if (!wanted)
            pipeline_set_aside(&relay->pipeline, event, EVENT_ASIDE);
    }
    return sent;
}

static void
push_replay(struct relay *relay, struct side *side, const struct waiting_page *read)
{
    struct page *page = read->page;
    int64_t window = replay_window(side);
    bool full = is_full(relay, read, replay_events(&side->request));
    side->before = side->after;
    side->found = full && read->rows > 0;
    side->after = side->found ? read->last_id : window;
    bool last = side->after >= side->upto;
    choose_ids(side, relay->now_us - relay->request_sent_us);
    if (page->count == 0 && !last && relay->now_us - side->told_us < TELL_US) {
        page_free(page);
        return;
    }
    page->side_end = last ? SIDE_WHOLE : side->after;
    side_push(relay, page, side->request.number);
    size_t sent = leave_out(relay, side, page);
    if (sent == 0)
        exact_passed(relay);
    side->out = true;
    side->told_us = relay->now_us;
    if (side->request.rate > 0)
        side->next_us = relay->now_us + (int64_t)sent * 1000000 / side->request.rate;
}

bool
requests_answer(struct relay *relay, struct error *error)
{
    struct waiting_page read;
    struct side *side = side_find(relay, relay->beside.asked_number);
    CHECK(side != NULL);
    if (!waiting_read_page(relay->session, relay->topics, side->request.kind, &read, error))
        return false;
    if (side->blocked != NULL)
        producer_forget_topic(relay->producer, side->blocked); /* it may have been healed */
    if (side->request.kind == REQUEST_KIND_REPLAY)
        push_replay(relay, side, &read);
    else
        push_letter(relay, side, &read);
    return true;
}
