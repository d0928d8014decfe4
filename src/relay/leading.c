/* leading.c: what the leader asks of Postgres: steps, pages, confirmations, heartbeats, and in quiet moments the sweeping of
 * the ring; answers.c takes what comes back. Called by relay_turn while the relay owns the newest epoch. One rule holds it together: at most one journalled
 * tick is unread, so that a tick spans a whole outage and the journal does not grow with the backlog. */
#include "relay/inside.h"

#include "base/clock.h"
#include "postgres/registry.h"

/* While there is always more to read, what is confirmed is written down so often: a crash sends again at most this much.
 * Nothing is read while a confirmation waits for the disk (or a synchronous standby), so it gets a share of the time. */
#define CONFIRM_US (INT64_C(100) * 1000)
#define CONFIRM_SHARE 20
#define ROWS_AT_ONCE 256
/* Enough for 64 ticks between sending and acknowledgement; bulk is bounded by `memory` long before. */
#define PAGES_IN_FLIGHT 64
/* One slot of the ring, or one piece of the journal, is looked at a time. */
#define RETENTION_US (INT64_C(5) * 1000000)

static int64_t
heartbeat_us(const struct relay *relay)
{
    return relay->settings->lease_us / PACE_HEARTBEATS;
}

static int64_t
confirm_interval_us(const struct relay *relay)
{
    int64_t interval = relay->append_took_us * CONFIRM_SHARE;
    if (interval > heartbeat_us(relay))
        interval = heartbeat_us(relay);
    return interval > CONFIRM_US ? interval : CONFIRM_US;
}

int64_t
leading_lease_until_us(const struct relay *relay)
{
    return relay->owns && !relay->doubtful ? relay->lease_from_us + relay->settings->lease_us / 2 : 0;
}

/* Twice round the ring, and the journal beside each slot, while one slot is written: what has become old is gone before its
 * slot comes round again, however narrow the slots are. */
int64_t
leading_retention_us(const struct relay *relay)
{
    int64_t interval = relay->facts.slot_width_us / (relay->facts.slots * INT64_C(4));
    return interval < RETENTION_US ? interval : RETENTION_US;
}

bool
leading_holds_lease(const struct relay *relay)
{
    return relay->now_us < leading_lease_until_us(relay);
}

void
leading_drop(struct relay *relay)
{
    reader_drop(relay->reader);
    tick_clear(&relay->late_tick);
    pipeline_clear(&relay->pipeline);
    /* else the next lead commits at once, before it knows what was beside the stream */
    relay->exact.events = 0;
    side_clear(relay);
    loading_begin(relay);
    relay->verdict.trouble.active = false;
    relay->verdict.suspecting = false;
    relay->dropping = false;
}

void
leading_begin(struct relay *relay, bool kept)
{
    struct journal_row *row = &relay->seen;
    relay->lease_from_us = relay->request_sent_us;
    relay->appended_at_us = relay->request_sent_us;
    tick_edge_set(&relay->edge, row->edge.snapshot, row->edge.w, row->edge.lo_id);
    relay->sequence = row->sequence;
    relay->sequence_file = row->sequence_file;
    if (!kept) {
        CHECK(relay->pipeline.pages == 0 && !reader_has_more(relay->reader));
        relay->confirmed = row->confirmed;
        relay->loaded_seq = row->confirmed.seq;
        relay->journal_low = 0;
        relay->begun_seq = row->confirmed.seq; /* who led before has read so far */
        side_clear(relay);
        loading_begin(relay);
        relay->highest_id = row->confirmed.id > row->edge.lo_id ? row->confirmed.id : row->edge.lo_id;
    }
    relay->dirty = relay->confirmed.seq != row->confirmed.seq || relay->confirmed.id != row->confirmed.id;
    relay->catching_up = true;
    relay->poll_interval_us = relay->settings->poll_busy_us;
    relay->poll_at_us = relay->now_us;
    relay->trouble_told = false;
    relay->progress_told = false;
    relay->retention_at_us = relay->now_us + leading_retention_us(relay);
    exact_begin(relay, kept);
}

/* ---- the confirmed edge ---- */

void
leading_settle(struct relay *relay)
{
    struct pipeline_edge edge;
    if (pipeline_settle(&relay->pipeline, &edge)) {
        bool forward = edge.seq > relay->confirmed.seq ||
                       (edge.seq == relay->confirmed.seq && edge.id > relay->confirmed.id);
        CHECK(forward); /* I1 */
        relay->confirmed = (struct journal_position){edge.seq, edge.id};
        relay->dirty = true;
        ahead_confirm(&relay->aside.ahead, edge.seq, edge.id);
    }
    bool nothing_left = relay->pipeline.pages == 0 && !reader_has_more(relay->reader) && !relay->catching_up;
    if (relay->owns && nothing_left && relay->confirmed.seq < relay->loaded_seq)
        relay->confirmed =
            (struct journal_position){relay->loaded_seq, 0}; /* over ticks without events: not dirty */
}

/* ---- questions ---- */

/* Before the database has heard what Kafka says of the work that was beside the stream, no row says that Kafka is not asked any more. */
struct journal_row_next
leading_next_row(struct relay *relay)
{
    relay->step.confirmed = relay->confirmed;
    relay->step.exact = relay->exact.told;
    relay->step.exact.on = relay->step.exact.on || (exact_tells(relay) && loading_applies(relay));
    relay->releasing = false;
    return (struct journal_row_next){&relay->self, relay->confirmed, &relay->step.exact};
}

static void
ask_confirm(struct relay *relay, bool release)
{
    struct journal_row_next next = leading_next_row(relay);
    relay->releasing = release;
    journal_ask_confirm(relay->session, &next, release, relay->now_us);
    relay_asked(relay, REQUEST_CONFIRM);
}

static void
ask_step(struct relay *relay, bool confirm_due)
{
    relay->step = (struct journal_step){.last = &relay->edge,
                                        .next_lo = relay->sequence,
                                        .confirmed = relay->confirmed,
                                        .exact = relay->exact.told,
                                        .dirty = confirm_due,
                                        .heartbeat_us = heartbeat_us(relay)};
    journal_ask_step(relay->session, &relay->self, &relay->step, relay->now_us);
    relay_asked(relay, REQUEST_STEP);
}

/* A quarter of `memory` at most, so that one page is read while others are out. */
static int64_t
page_most(const struct relay *relay)
{
    int64_t share = relay->settings->memory_bytes / 4;
    return relay->settings->batch_bytes < share ? relay->settings->batch_bytes : share;
}

/* And what is read well within the lease, for there is no heartbeat while a page is under way: behind a slow network, a leader that reads for
 * longer than its lease is replaced, and the next one reads the same page. */
int64_t
leading_page_limit(const struct relay *relay)
{
    int64_t most = page_most(relay);
    return most < relay->pace.bytes ? most : relay->pace.bytes;
}

void
leading_took_page(struct relay *relay, enum pace_kind kind, int64_t bytes)
{
    struct pace_page page = {.bytes = bytes, .took_us = relay->now_us - relay->request_sent_us};
    pace_took(&relay->pace, kind, page, heartbeat_us(relay), page_most(relay));
}

void
leading_lost_page(struct relay *relay)
{
    bool read = relay->request == REQUEST_PAGE || relay->request == REQUEST_SIDE_PAGE;
    pace_lost(&relay->pace, read ? relay->now_us - relay->request_sent_us : 0, heartbeat_us(relay));
}

/* I6: a page is asked for only when there is room for all of it, so that reading it never waits for Kafka. Their number is
 * bounded too: while Kafka is away, ticks of a few events each would fill the journal and the heap with small pages. */
bool
leading_has_room(const struct relay *relay)
{
    if (relay->pipeline.pages >= PAGES_IN_FLIGHT)
        return false;
    int64_t after = (int64_t)relay->pipeline.cost + leading_page_limit(relay);
    return relay->pipeline.pages == 0 || after <= relay->settings->memory_bytes;
}

bool
leading_reads_on(const struct relay *relay)
{
    return reader_has_more(relay->reader) && leading_has_room(relay);
}

static void
ask_retention(struct relay *relay)
{
    if (relay->retention_slot % 2 == 1)
        registry_ask_trim(relay->session, relay->settings->relay, relay->journal_low, relay->now_us);
    else
        registry_ask_empty(relay->session, relay->retention_slot / 2, relay->now_us);
    relay_asked(relay, REQUEST_RETENTION);
}

/* The first acknowledgements of a lead are written down at once: a process that is killed again and again still gets on. */
static bool
confirm_is_due(const struct relay *relay)
{
    return relay->dirty &&
           (!relay->progress_told || relay->now_us - relay->appended_at_us >= confirm_interval_us(relay));
}

/* How far side work is, is written down before the lead is given away: a clean stop repeats nothing. The answer that has just come may be all
 * that stood before what was acknowledged long ago: the last row says so too. */
static void
ask_while_draining(struct relay *relay)
{
    leading_settle(relay);
    bool nothing_out = relay->pipeline.events_out == 0 && !exact_is_open(relay) && !exact_tidies(relay);
    if (nothing_out)
        side_stop(relay);
    if (relay->owns && loading_is_done(relay) && aside_writes(relay))
        aside_ask_write(relay); /* a transaction that is open waits for it */
    else if (relay->owns && side_settles(relay))
        side_ask_settled(relay);
    else if (nothing_out)
        ask_confirm(relay, true);
    else if (confirm_is_due(relay) || relay->now_us - relay->appended_at_us >= heartbeat_us(relay))
        ask_confirm(relay, false);
}

/* Ticks that were journalled before: read them to their end before the next one is opened. */
static void
ask_unread(struct relay *relay)
{
    if (reader_has_more(relay->reader)) {
        if (!leading_has_room(relay))
            return;
        reader_ask_page(relay->reader, relay->settings->batch_events, leading_page_limit(relay),
                        relay->now_us);
        relay_asked(relay, REQUEST_PAGE);
    } else if (relay->late_tick.snapshot != NULL) {
        journal_ask_late(relay->session, &relay->late_tick, relay->now_us);
        relay_asked(relay, REQUEST_LATE);
    } else {
        journal_ask_rows(relay->session, relay->settings->relay, relay->loaded_seq, ROWS_AT_ONCE,
                         relay->now_us);
        relay_asked(relay, REQUEST_ROWS);
    }
}

/* What the stream waits for: what is passed over is to be known, and written down. Only the latter is a sign of life. */
static bool
asks_aside(struct relay *relay, bool heartbeat_due)
{
    bool loads = !loading_is_done(relay);
    if (loads && !heartbeat_due)
        loading_ask(relay);
    else if (!loads && aside_writes(relay))
        aside_ask_write(relay);
    else
        return false;
    return true;
}

/* What is done beside the stream. That something is settled is a sign of life; the others are not. */
static bool
asks_beside(struct relay *relay, bool heartbeat_due)
{
    if (side_settles(relay))
        side_ask_settled(relay);
    else if (heartbeat_due)
        return false;
    else if (relay->now_us >= relay->beside.look_at_us)
        look_ask(relay);
    else if (!backlog_asks(relay))
        return !relay->beside.paused && exact_is_settled(relay) && leading_has_room(relay) && side_ask(relay);
    return true;
}

static void
ask_stream(struct relay *relay, bool confirm_due, bool heartbeat_due)
{
    bool unread = reader_has_more(relay->reader) || relay->catching_up;
    bool due = confirm_due || heartbeat_due;
    if (unread && !relay->beside.paused) {
        if (due)
            ask_confirm(relay, false);
        else
            ask_unread(relay);
    } else if (!leading_has_room(relay) || side_is_closing(relay) || relay->beside.paused) {
        if (due)
            ask_confirm(relay, false);
    } else if (relay->now_us >= relay->retention_at_us && relay->registered && !heartbeat_due) {
        ask_retention(relay);
    } else if (relay->now_us >= relay->poll_at_us || due) {
        ask_step(relay, due); /* due by our clock, whatever the server's has done */
    }
}

/* In turns: however much there is beside the stream, and however much it has to settle, every other question is the stream's own. */
static void
ask_in_turns(struct relay *relay, bool confirm_due, bool heartbeat_due)
{
    relay->beside_turn = !relay->beside_turn;
    if (relay->beside_turn && asks_beside(relay, heartbeat_due))
        return;
    ask_stream(relay, confirm_due, heartbeat_due);
    if (!relay->beside_turn && relay->request == REQUEST_NONE)
        (void)asks_beside(relay, heartbeat_due);
}

void
leading_ask(struct relay *relay)
{
    if (relay->request != REQUEST_NONE)
        return;
    bool confirm_due = confirm_is_due(relay);
    bool heartbeat_due = relay->now_us - relay->appended_at_us >= heartbeat_us(relay);
    if (relay->state == RELAY_DRAINING) {
        ask_while_draining(relay);
    } else if (relay->undurable) {
        ask_confirm(relay, false); /* I3: a later row that waited for the standbys covers the earlier one */
    } else if (telling_is_due(relay)) {
        telling_ask(relay);
    } else if (exact_asks_names(relay)) {
        exact_ask_names(relay);
    } else if (exact_tells(relay) && loading_applies(relay)) {
        loading_ask(relay);
    } else if (exact_tells(relay)) {
        ask_confirm(relay, false);
    } else if (!exact_lets_read(relay)) {
        if (heartbeat_due)
            ask_confirm(relay, false);
    } else if (asks_aside(relay, heartbeat_due)) {
        return;
    } else if (exact_anchors(relay)) {
        ask_confirm(relay, false);
    } else {
        ask_in_turns(relay, confirm_due, heartbeat_due);
    }
}

int64_t
leading_deadline(const struct relay *relay)
{
    if (session_state(relay->session) != SESSION_IDLE || relay->request != REQUEST_NONE)
        return CLOCK_NEVER;
    if (!relay->owns || relay->doubtful)
        return relay->look_at_us;
    int64_t deadline = relay->appended_at_us + heartbeat_us(relay);
    int64_t confirm_us = relay->appended_at_us + confirm_interval_us(relay);
    if (relay->dirty && confirm_us < deadline)
        deadline = confirm_us;
    if (exact_anchors(relay) && relay->state == RELAY_LEADING) /* no work begins in a process that ends */
        deadline = relay->now_us;
    int64_t beside_us = loading_is_done(relay) ? side_deadline(relay, leading_has_room(relay)) : CLOCK_NEVER;
    if (relay->state == RELAY_LEADING && beside_us < deadline)
        deadline = beside_us;
    bool polls = relay->state == RELAY_LEADING && exact_lets_read(relay) && !reader_has_more(relay->reader) &&
                 !relay->catching_up && leading_has_room(relay) && !side_is_closing(relay) &&
                 !relay->beside.paused;
    if (polls && relay->poll_at_us < deadline)
        deadline = relay->poll_at_us;
    return deadline;
}
