/* rounds.c: a paused topic catches up: rounds of one tick each, from the row of the journal behind which its events wait to the newest, read
 * beside the stream with the events of other topics left out. Called by side.c, one question at a time.
 *
 *      from_seq          to_seq = newest then         newest now
 *   -----|====== round 1 =====|====== round 2 ============|          a round that was short is followed by one while which no tick is
 *                                                                    opened; then nothing is left, and the stream takes its events again
 *
 * An attempt at a topic begins with few events: it may be refused. */
#include "relay/inside.h"

#include "base/log.h"

#include <string.h>

#define FIRST_EVENTS 100
#define EVENTS 5000
/* What comes in the time of such a round is read in a moment, in which no tick is opened for others. */
#define SHORT_US (INT64_C(1) * 1000000)

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

void
rounds_close(struct relay *relay, struct pause *pause, bool closing)
{
    relay->beside.closing += closing;
    relay->beside.closing -= pause->closing;
    pause->closing = closing;
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
    page->pause = pause;
    side_push(relay, page, pause->number);
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

/* The stream has read every tick up to the end of the last round, and none behind it. */
static bool
has_caught_up(const struct relay *relay, const struct pause *pause)
{
    return pause->from_seq == pause->to_seq && relay->begun_seq <= pause->to_seq && !reads_in_pieces(relay);
}

/* From here on the stream takes its events; those that it has read and not looked at were part of a round. */
static void
end(struct relay *relay, struct pause *pause)
{
    passing_settle(relay, pause);
    pauses_end(pause);
    rounds_close(relay, pause, false);
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
    relay->beside.asked_number = pause->number;
    relay->beside.asked_progress = progress;
    relay->beside.asked_new_to = progress == SIDE_ROUND ? round_end(relay, pause) : 0;
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
    bool waits =
        pause->from_seq == pause->to_seq && relay->begun_seq <= pause->to_seq && reads_in_pieces(relay);
    return !waits && relay->beside.out_count < ROUNDS_OUT_MOST;
}

void
rounds_ask(struct relay *relay, struct pause *pause)
{
    if (pause->place == PLACE_TELLS) {
        rounds_ask_settle(relay, pause, 0, &pause->why);
        return;
    }
    if (pause->round == ROUND_LATE) {
        journal_ask_late(relay->session, &pause->tick, relay->now_us);
        relay_asked(relay, REQUEST_ROUND_LATE);
    } else if (pause->round == ROUND_READING) {
        reader_ask_page(pause->reader, pause->tried ? EVENTS : FIRST_EVENTS, leading_page_limit(relay),
                        relay->now_us);
        relay_asked(relay, REQUEST_ROUND_PAGE);
    } else if (has_caught_up(relay, pause)) {
        end(relay, pause);
        return;
    } else if (pause->from_seq == pause->to_seq || pause->round == ROUND_READ) {
        ask_next_round(relay, pause);
    } else {
        pause->round_from_us = relay->now_us;
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
        pause->failed = pause->tried = false;
        rounds_close(relay, pause, false);
        pause->number = 0;
        pause->round = ROUND_IDLE;
        reader_drop(pause->reader);
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
        bool was_short = relay->now_us - pause->round_from_us < SHORT_US;
        rounds_close(relay, pause, was_short && pause->round == ROUND_READ && pause->round_from_us != 0);
        pause->round = ROUND_IDLE;
        pause->number = number;
        pause->from_seq = pause->to_seq;
        pause->to_seq = new_to;
        pause->after_id = 0;
    } else if (progress > pause->after_id) {
        pause->after_id = progress;
    }
    if (failed || pause->place == PLACE_TELLS)
        attempts_rest(relay, pause);
    else
        attempts_go_on(relay, pause);
}
