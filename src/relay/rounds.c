/* rounds.c: a paused topic catches up: rounds of one tick each, from the row of the journal behind which its events wait to the newest, read
 * beside the stream with the events of other topics left out. Called by side.c, one question at a time.
 *
 *      from_seq          to_seq = newest then         newest now
 *   -----|====== round 1 =====|====== round 2 ============|
 *
 * When the stream has met none of its events behind a round, the stream takes them from there on. Else a round that was short is followed by
 * one while which no tick is opened, of one topic at a time; then nothing is left. An attempt at a topic begins with few events: it may be
 * refused. */
#include "relay/inside.h"

#include "base/log.h"

#include <string.h>

#define FIRST_EVENTS 100
#define EVENTS 5000
/* A live event is read after a page of these, and sent after all of them: while there are live ones, so many events and bytes of all topics
 * are in the pipeline at most, some milliseconds' worth. */
#define LIVE_EVENTS 500
#define LIVE_BYTES (INT64_C(256) * 1024)
/* What comes in the time of such a round is read in a moment, in which no tick is opened for others. Far from Postgres a round takes longer,
 * and becomes no shorter. */
#define SHORT_US (INT64_C(1) * 1000000)
#define SHORT_MOST_US (INT64_C(5) * 1000000)

/* What the rounds have in the pipeline. */
struct load {
    int64_t events, bytes;
};

static struct load
weigh(const struct relay *relay)
{
    struct load load = {0};
    for (size_t i = 0; i < relay->beside.out_count; i++) {
        load.events += relay->beside.outs[i]->out_events;
        load.bytes += relay->beside.outs[i]->out_bytes;
    }
    return load;
}

static bool
has_room(const struct relay *relay)
{
    const struct load load = weigh(relay);
    return relay->beside.out_count < ROUNDS_OUT_MOST &&
           (!side_is_live(relay) || (load.events < LIVE_EVENTS && load.bytes < LIVE_BYTES));
}

static void
ask_page(struct relay *relay, struct pause *pause)
{
    int64_t events = pause->tried ? EVENTS : FIRST_EVENTS, bytes = leading_page_limit(relay);
    if (side_is_live(relay)) {
        const struct load load = weigh(relay);
        events = events < LIVE_EVENTS - load.events ? events : LIVE_EVENTS - load.events;
        bytes = bytes < LIVE_BYTES - load.bytes ? bytes : LIVE_BYTES - load.bytes;
    }
    reader_ask_page(pause->reader, events, bytes, relay->now_us);
    relay_asked(relay, REQUEST_ROUND_PAGE);
}

static bool
reads_in_pieces(const struct relay *relay)
{
    return reader_has_more(relay->reader) || relay->catching_up || relay->late_tick.snapshot != NULL;
}

struct pause *
rounds_out(const struct relay *relay, int64_t number)
{
    for (size_t i = 0; i < relay->beside.out_count; i++)
        if (relay->beside.outs[i]->number == number)
            return relay->beside.outs[i];
    return NULL;
}

static void
push(struct relay *relay, struct pause *pause, struct page *page)
{
    struct beside *beside = &relay->beside;
    CHECK(beside->out_count < ROUNDS_OUT_MOST);
    if (pause->place == PLACE_PROBES && page->count > 0)
        beside->probing = pause;
    attempts_leave(relay, pause);
    pause->out = true;
    beside->outs[beside->out_count++] = pause;
    pause->out_events = (int64_t)page->count;
    pause->out_bytes = (int64_t)page->cost;
    pause->round_events += page->count;
    page->pause = pause;
    side_push(relay, page, pause->number);
    pause->out_serial = relay->pipeline.next_serial;
}

bool
rounds_await_commit(const struct relay *relay)
{
    const struct pause *ending = relay->beside.ending;
    const struct page *sending = relay->pipeline.sending;
    if (ending == NULL || !ending->out || ending->out_serial <= relay->pipeline.committed)
        return false;
    return sending == NULL || sending->first_serial + sending->next >= ending->out_serial;
}

static void
came_back(struct relay *relay, struct pause *pause)
{
    struct beside *beside = &relay->beside;
    for (size_t i = 0; i < beside->out_count; i++)
        if (beside->outs[i] == pause)
            beside->outs[i--] = beside->outs[--beside->out_count];
    if (beside->probing == pause)
        beside->probing = NULL;
    pause->out = false;
}

static bool
met_none(const struct pause *pause)
{
    return pause->passed_seq <= pause->from_seq && pause->after_id == 0;
}

/* Of ticks behind the last round, the stream has none of its events: it has met none, and none is left in its pages. */
static bool
has_none(const struct relay *relay, const struct pause *pause)
{
    if (!met_none(pause))
        return false;
    for (const struct page *page = relay->pipeline.sending; page != NULL; page = page->later)
        for (size_t i = page->next; page->side == 0 && page->tick_seq > pause->from_seq && i < page->count;
             i++)
            if (page->events[i].topic == pause->topic && page->events[i].state == EVENT_UNSENT)
                return false;
    return true;
}

/* The stream has read every tick up to the end of the last round, and none behind it, or none with an event of this topic. */
static bool
has_caught_up(const struct relay *relay, const struct pause *pause)
{
    if (pause->round != ROUND_IDLE || reads_in_pieces(relay))
        return false;
    return (pause->from_seq == pause->to_seq && relay->begun_seq <= pause->to_seq) || has_none(relay, pause);
}

/* From here on the stream takes its events; those that it has read and not looked at were part of a round. */
static void
end(struct relay *relay, struct pause *pause)
{
    passing_settle(relay, pause);
    pauses_end(pause);
    attempts_give_way(relay, pause);
    struct page *page = page_new(pause->to_seq);
    page->side_end = SIDE_WHOLE;
    push(relay, pause, page);
    log_info("topic caught up", LOG_STR("topic", pause->topic->name), LOG_END);
}

/* Up to where the next round goes: the last tick that the stream has read. After a long quiet the journal has been trimmed of its row, and
 * that of the confirmed one, with no event in between, stands for it. */
static int64_t
round_end(const struct relay *relay, const struct pause *pause)
{
    if (relay->begun_seq <= pause->to_seq)
        return pause->to_seq;
    return relay->begun_seq > relay->confirmed.seq ? relay->begun_seq : relay->confirmed.seq;
}

void
rounds_ask_settle(struct relay *relay, const struct pause *pause, int64_t progress, const struct outcome *why)
{
    struct journal_row_next next = leading_next_row(relay);
    /* one that has to wait for its turn to end goes on then, from what is the newest tick then */
    bool waits =
        relay->beside.ending != pause && pause->round_events < EVENTS && pause->from_seq < pause->to_seq;
    relay->beside.asked_number = pause->number;
    relay->beside.asked_progress = progress;
    relay->beside.asked_new_to = progress == SIDE_ROUND && !waits ? round_end(relay, pause) : 0;
    aside_ask_settle_topic(relay->session, &next, pause->number, progress, relay->beside.asked_new_to, why,
                           relay->now_us);
    relay_asked(relay, REQUEST_SETTLE);
}

/* The round is over without any event, or the first one is to begin. */
static void
ask_next_round(struct relay *relay, struct pause *pause)
{
    pause->round = ROUND_READ;
    rounds_ask_settle(relay, pause, SIDE_ROUND, NULL);
}

bool
rounds_wants(const struct relay *relay, const struct pause *pause)
{
    bool level = pause->from_seq == pause->to_seq && relay->begun_seq <= pause->to_seq;
    bool waits = pause->round == ROUND_IDLE && (level || met_none(pause)) && reads_in_pieces(relay);
    return !waits && has_room(relay);
}

void
rounds_ask(struct relay *relay, struct pause *pause)
{
    if (pause->place == PLACE_TELLS) {
        rounds_ask_settle(relay, pause, 0, &pause->why);
        return;
    }
    if (pause->place == PLACE_ENDS)
        relay->beside.ending = pause;
    if (pause->round == ROUND_LATE) {
        journal_ask_late(relay->session, &pause->tick, relay->now_us);
        relay_asked(relay, REQUEST_ROUND_LATE);
    } else if (pause->round == ROUND_READING) {
        ask_page(relay, pause);
    } else if (has_caught_up(relay, pause)) {
        end(relay, pause);
        return;
    } else if (pause->from_seq == pause->to_seq || pause->round == ROUND_READ) {
        ask_next_round(relay, pause);
    } else {
        pause->round_events = 0;
        journal_ask_round(relay->session, relay->settings->relay, pause->from_seq, pause->to_seq,
                          relay->now_us);
        relay_asked(relay, REQUEST_ROUND);
    }
    relay->beside.asked_number = pause->number;
}

bool
rounds_answer(struct relay *relay, struct error *error)
{
    struct journal_row *rows = NULL;
    int64_t epoch;
    size_t count = 0;
    struct pause *pause = pauses_numbered(relay, relay->beside.asked_number);
    if (!journal_read_rows(relay->session, &epoch, &rows, &count, error))
        return false;
    bool good = pause == NULL || count == 2;
    if (!good)
        error_set(error, ERROR_INTERNAL,
                  "a row of the journal is gone, behind which events of the paused topic %s wait; run "
                  "`outboxd rebase`",
                  pause->topic->name);
    if (good && pause != NULL) {
        const struct tick_edge *from = &rows[0].edge;
        tick_clear(&pause->tick);
        pause->tick.seq = rows[1].seq;
        pause->tick.nonce = rows[1].nonce;
        pause->tick.snapshot = must_strdup(rows[1].edge.snapshot);
        pause->tick.hi_id = rows[1].hi_id;
        tick_edge_set(&pause->tick.from, from->snapshot, from->w, from->lo_id);
        bool empty = strcmp(from->snapshot, rows[1].edge.snapshot) == 0;
        pause->round = empty ? ROUND_READ : ROUND_LATE;
    }
    journal_rows_free(rows, count);
    return good;
}

bool
rounds_answer_late(struct relay *relay, struct error *error)
{
    struct tick unused = {0};
    struct pause *pause = pauses_numbered(relay, relay->beside.asked_number);
    bool good = journal_read_late(relay->session, pause != NULL ? &pause->tick : &unused, error);
    if (good && pause != NULL) {
        if (pause->reader == NULL)
            pause->reader =
                reader_new_of_topic(relay->session, relay->topics, relay->settings->relay, pause->topic);
        reader_drop(pause->reader);
        reader_begin(pause->reader, &pause->tick, pause->after_id);
        pause->round = ROUND_READING;
    }
    tick_clear(&unused);
    return good;
}

bool
rounds_answer_page(struct relay *relay, struct error *error)
{
    struct page *page = NULL;
    struct pause *pause = pauses_numbered(relay, relay->beside.asked_number);
    CHECK(pause != NULL && pause->reader != NULL);
    if (!reader_read_page(pause->reader, &page, error))
        return false;
    bool last = page->last_of_tick;
    page->from_tick = pause->from_seq;
    if (last) {
        pause->round = ROUND_READ;
        page->side_end = SIDE_ROUND;
    }
    if (page->count > 0) {
        push(relay, pause, page);
        return true;
    }
    page_free(page); /* nothing of this topic so far, or any more */
    attempts_go_on(relay, pause);
    return true;
}

/* Of the one whose turn it is to end. The stream goes on for a step, at least, since the last one has. */
static void
close_ticks(struct relay *relay)
{
    relay->beside.closing = relay->counters.polls > relay->beside.closed_at;
}

/* What the next one is to be. After one with few events, however long that took, for it may have waited for others, the end is near. */
static void
judge_round(struct relay *relay, struct pause *pause)
{
    int64_t took_us = relay->now_us - pause->round_from_us, before_us = pause->round_took_us;
    bool known = pause->round_from_us != 0, shrinks = before_us == 0 || took_us < before_us * 3 / 4;
    bool was_short = known && (took_us < SHORT_US || (took_us < SHORT_MOST_US && !shrinks));
    pause->near = was_short || pause->round_events < EVENTS;
    pause->round_took_us = known ? took_us : 0;
    pause->round_from_us = relay->request_sent_us;
    if (relay->beside.ending != pause)
        return;
    if (was_short)
        close_ticks(relay);
    else if (!pause->near)
        attempts_give_way(relay, pause);
}

/* The database has it. `number`: of the attempt from now on; 0: there was none of ours. */
void
rounds_settled(struct relay *relay, struct pause *pause, int64_t progress, int64_t number, int64_t new_to)
{
    bool failed = pause->failed, proved = pause->out && !failed && progress > 0;
    came_back(relay, pause);
    if (progress == SIDE_WHOLE) {
        pauses_forget(relay, pause);
        return;
    }
    /* An earlier statement of ours was carried out unheard: how far it is, the database knows. */
    if (number == 0) {
        pause->failed = pause->tried = pause->near = false;
        pause->number = 0;
        pause->round = ROUND_IDLE;
        reader_drop(pause->reader);
        attempts_give_way(relay, pause);
        attempts_rest(relay, pause);
        relay->beside.look_at_us = relay->now_us;
        return;
    }
    if (failed || pause->place == PLACE_TELLS)
        pause->resumed = false; /* the database says why instead */
    if (failed) {
        pause->failed = pause->tried = false;
        pause->round = ROUND_IDLE;
        reader_drop(pause->reader);
    } else if (proved) {
        pause->tried = true;
        attempts_proved(relay, pause);
    }
    if (progress == SIDE_ROUND) {
        judge_round(relay, pause);
        pause->round = ROUND_IDLE;
        pause->number = number;
        pause->from_seq = pause->to_seq;
        pause->to_seq = new_to != 0 ? new_to : pause->to_seq;
        pause->after_id = 0;
    } else if (progress > pause->after_id) {
        pause->after_id = progress;
    }
    if (failed || pause->place == PLACE_TELLS)
        attempts_rest(relay, pause);
    else
        attempts_go_on(relay, pause);
}
