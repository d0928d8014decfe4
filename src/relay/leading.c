/* leading.c: what the leader says to Postgres: steps, pages, confirmations, heartbeats, and in quiet moments the sweeping of
 * the ring. Called by relay_turn while the relay owns the newest epoch. One rule holds it together: at most one journalled
 * tick is unread, so that a tick spans a whole outage and the journal does not grow with the backlog. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "postgres/registry.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* While there is always more to read, what is confirmed is written down so often: a crash sends again at most this much. */
#define CONFIRM_US (INT64_C(100) * 1000)
/* One slot of the ring, or one piece of the journal, at a time. */
#define RETENTION_US (INT64_C(5) * 1000000)
#define RETENTION_SOON_US (INT64_C(200) * 1000)
/* outbox.journal_trim deletes so many rows a call: when it did, more is waiting. */
#define TRIM_ROWS 10000
#define ROWS_AT_ONCE 256

static int64_t
heartbeat_us(const struct relay *relay)
{
    return relay->settings->lease_us / 4;
}

bool
leading_holds_lease(const struct relay *relay)
{
    return relay->owns && !relay->doubtful &&
           relay->now_us - relay->lease_from_us < relay->settings->lease_us / 2;
}

void
leading_drop(struct relay *relay)
{
    reader_drop(relay->reader);
    tick_clear(&relay->late_tick);
    pipeline_clear(&relay->pipeline);
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
        relay->highest_id = row->confirmed.id > row->edge.lo_id ? row->confirmed.id : row->edge.lo_id;
    }
    relay->dirty = relay->confirmed.seq != row->confirmed.seq || relay->confirmed.id != row->confirmed.id;
    relay->catching_up = true;
    relay->poll_interval_us = relay->settings->poll_busy_us;
    relay->poll_at_us = relay->now_us;
    relay->trouble_told = false;
    relay->retention_at_us = relay->now_us + RETENTION_US;
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
    }
    bool nothing_left = relay->pipeline.pages == 0 && !reader_has_more(relay->reader) && !relay->catching_up;
    if (relay->owns && nothing_left && relay->confirmed.seq < relay->loaded_seq)
        relay->confirmed =
            (struct journal_position){relay->loaded_seq, 0}; /* over ticks without events: not dirty */
}

/* ---- answers ---- */

/* Reads back the ticks between the confirmed one and the newest; those without events have the snapshot of the one before. */
static bool
take_rows(struct relay *relay, const struct journal_row *rows, size_t count, struct error *error)
{
    if (count == 0 || rows[0].seq != relay->loaded_seq)
        return error_set(error, ERROR_INTERNAL,
                         "row %" PRId64 " of the journal is gone, although it is needed", relay->loaded_seq);
    for (size_t i = 1; i < count; i++) {
        if (rows[i].seq != rows[i - 1].seq + 1)
            return error_set(error, ERROR_INTERNAL, "row %" PRId64 " of the journal is missing",
                             rows[i - 1].seq + 1);
        if (strcmp(rows[i].edge.snapshot, rows[i - 1].edge.snapshot) == 0) {
            relay->loaded_seq = rows[i].seq;
            continue;
        }
        struct tick *tick = &relay->late_tick;
        const struct tick_edge *from = &rows[i - 1].edge;
        tick_clear(tick);
        tick->seq = rows[i].seq;
        tick->snapshot = must_strdup(rows[i].edge.snapshot);
        tick->hi_id = rows[i].hi_id;
        tick_edge_set(&tick->from, from->snapshot, from->w, from->lo_id);
        return true;
    }
    relay->catching_up = relay->loaded_seq < relay->self.seq;
    return true;
}

static bool
answer_rows(struct relay *relay, struct error *error)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    if (!journal_read_rows(relay->session, &rows, &count, error))
        return false;
    bool good = take_rows(relay, rows, count, error);
    journal_rows_free(rows, count);
    return good;
}

static void
begin_tick(struct relay *relay, struct tick *tick)
{
    bool partly = tick->seq == relay->confirmed.seq + 1;
    relay->loaded_seq = tick->seq;
    relay->counters.ticks++;
    relay->counters.tick_events_so_far = 0;
    reader_begin(relay->reader, tick, partly ? relay->confirmed.id : 0);
}

static bool
answer_late(struct relay *relay, struct error *error)
{
    if (!journal_read_late(relay->session, &relay->late_tick, error))
        return false;
    begin_tick(relay, &relay->late_tick);
    relay->catching_up = relay->loaded_seq < relay->self.seq;
    return true;
}

static bool
answer_page(struct relay *relay, struct error *error)
{
    struct page *page = NULL;
    if (!reader_read_page(relay->reader, &page, error))
        return false;
    relay->counters.tick_events_so_far += (int64_t)page->count;
    if (page->last_of_tick)
        relay->counters.tick_events = relay->counters.tick_events_so_far;
    pipeline_push(&relay->pipeline, page);
    return true;
}

/* What a step and a confirmation have in common. False: not ours any more, or a pooler in between. */
static bool
accept(struct relay *relay, const struct journal_stepped *stepped, struct error *error)
{
    if (stepped->backend_pid != session_backend_pid(relay->session))
        return error_set(
            error, ERROR_UNUSABLE,
            "the server process changed from %d to %d within one connection: a pooler stands in between; "
            "connect outboxd to Postgres directly (applications may pool)",
            session_backend_pid(relay->session), stepped->backend_pid);
    if (stepped->fenced) {
        relay->doubtful = true;
        return true;
    }
    relay->sequence = stepped->sequence;
    relay->lease_from_us = relay->request_sent_us;
    if (stepped->appended) {
        relay->appended_at_us = relay->request_sent_us;
        relay->undurable = !stepped->durable;
    }
    return true;
}

/* Events keep the interval short; silence doubles it up to poll.idle. */
static void
schedule_poll(struct relay *relay, bool found)
{
    const struct settings *settings = relay->settings;
    int64_t interval = found ? settings->poll_busy_us : relay->poll_interval_us * 2;
    relay->poll_interval_us = interval < settings->poll_idle_us ? interval : settings->poll_idle_us;
    relay->poll_at_us = relay->now_us + relay->poll_interval_us;
}

/* A sequence that was restarted may have passed its old value again before we look. */
static bool
same_sequence(const struct relay *relay, const struct journal_stepped *stepped, struct error *error)
{
    return stepped->sequence_file == relay->sequence_file ||
           error_set(error, ERROR_INTERNAL,
                     "the sequence outbox.event_id_seq was restarted (TRUNCATE .. RESTART IDENTITY, ALTER "
                     "SEQUENCE .. "
                     "RESTART): new events would be passed over; see docs/operations.md, \"The sequence went "
                     "backwards\"");
}

static bool
answer_step(struct relay *relay, struct error *error)
{
    struct journal_stepped stepped = {0};
    bool good = journal_read_step(relay->session, &relay->self, &relay->step, &stepped, error) &&
                same_sequence(relay, &stepped, error) && accept(relay, &stepped, error);
    if (good && !stepped.fenced) {
        relay->counters.polls++;
        tick_edge_set(&relay->edge, stepped.edge.snapshot, stepped.edge.w, stepped.edge.lo_id);
        if (stepped.appended) {
            struct journal_position now = relay->confirmed, told = relay->step.confirmed;
            relay->dirty = relay->dirty && (now.seq != told.seq || now.id != told.id);
            relay->loaded_seq = relay->self.seq;
        }
        if (stepped.found)
            begin_tick(relay, &stepped.tick);
        schedule_poll(relay, stepped.found);
    }
    journal_stepped_clear(&stepped);
    return good;
}

static bool
answer_confirm(struct relay *relay, struct error *error)
{
    struct journal_stepped stepped = {0};
    bool good =
        journal_read_confirm(relay->session, &relay->self, &stepped, error) && accept(relay, &stepped, error);
    if (good && !stepped.fenced) {
        struct journal_position now = relay->confirmed, told = relay->step.confirmed;
        relay->dirty = now.seq != told.seq || now.id != told.id;
        if (!relay->catching_up)
            relay->loaded_seq = relay->self.seq; /* a copy of the row before: a tick without events */
        if (relay->releasing)
            relay_change(relay, RELAY_STOPPED, "everything in flight is confirmed");
    }
    journal_stepped_clear(&stepped);
    return good;
}

static bool
answer_retention(struct relay *relay, struct error *error)
{
    relay->retention_at_us = relay->now_us + RETENTION_US;
    if (relay->retention_slot % 2 == 1) {
        int64_t before = relay->journal_low;
        if (!registry_read_trim(relay->session, &relay->journal_low, error))
            return false;
        if (before != 0 && relay->journal_low - before >= TRIM_ROWS) {
            relay->retention_at_us = relay->now_us + RETENTION_SOON_US;
            return true; /* the same again */
        }
    } else {
        char outcome[32];
        if (!registry_read_empty(relay->session, outcome, sizeof outcome, error))
            return false;
        if (strcmp(outcome, "emptied") == 0)
            log_info("slot emptied", LOG_INT("slot", relay->retention_slot / 2), LOG_END);
    }
    relay->retention_slot = (relay->retention_slot + 1) % (2 * relay->facts.slots);
    return true;
}

void
leading_answer(struct relay *relay)
{
    struct error error;
    enum request request = relay->request;
    bool good = true;
    relay->request = REQUEST_NONE;
    switch (request) {
    case REQUEST_ROWS:
        good = answer_rows(relay, &error);
        break;
    case REQUEST_LATE:
        good = answer_late(relay, &error);
        break;
    case REQUEST_PAGE:
        good = answer_page(relay, &error);
        break;
    case REQUEST_STEP:
        good = answer_step(relay, &error);
        break;
    case REQUEST_CONFIRM:
        good = answer_confirm(relay, &error);
        break;
    case REQUEST_TROUBLE:
        good = registry_read_trouble(relay->session, &error);
        break;
    case REQUEST_RETENTION:
        good = answer_retention(relay, &error);
        break;
    default:
        check_failed(__FILE__, __LINE__, "an answer that nobody asked for");
    }
    if (!good)
        link_failed(relay, &error);
}

/* ---- questions ---- */

static void
ask_confirm(struct relay *relay, bool release)
{
    relay->step.confirmed = relay->confirmed;
    relay->releasing = release;
    journal_ask_confirm(relay->session, &relay->self, relay->confirmed, release, relay->now_us);
    relay_asked(relay, REQUEST_CONFIRM);
}

static void
ask_step(struct relay *relay, bool confirm_due)
{
    relay->step = (struct journal_step){.last = &relay->edge,
                                        .next_lo = relay->sequence,
                                        .confirmed = relay->confirmed,
                                        .dirty = confirm_due,
                                        .heartbeat_us = heartbeat_us(relay)};
    journal_ask_step(relay->session, &relay->self, &relay->step, relay->now_us);
    relay_asked(relay, REQUEST_STEP);
}

/* A quarter of `memory` at most, so that one page is read while others are out. */
static int64_t
page_limit(const struct relay *relay)
{
    int64_t quarter = relay->settings->memory_bytes / 4;
    return relay->settings->batch_bytes < quarter ? relay->settings->batch_bytes : quarter;
}

/* I6: a page is asked for only when there is room for all of it, so that reading it never waits for Kafka. */
static bool
has_room(const struct relay *relay)
{
    int64_t after = (int64_t)relay->pipeline.cost + page_limit(relay);
    return relay->pipeline.pages == 0 || after <= relay->settings->memory_bytes;
}

static void
ask_trouble(struct relay *relay)
{
    const struct trouble *trouble = &relay->verdict.trouble;
    char *text = NULL;
    if (trouble->active) {
        json_t *object =
            json_pack("{s:I, s:s, s:s, s:s}", "event_id", (json_int_t)trouble->event_id, "topic",
                      trouble->topic->name, "error", trouble->why.name, "message", trouble->why.message);
        text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
    }
    registry_ask_trouble(relay->session, relay->settings->relay, text, relay->now_us);
    relay_asked(relay, REQUEST_TROUBLE);
    relay->trouble_told = true;
    free(text);
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

static void
ask_while_draining(struct relay *relay)
{
    if (relay->pipeline.events_out == 0)
        ask_confirm(relay, true);
    else if (relay->now_us - relay->appended_at_us >= heartbeat_us(relay))
        ask_confirm(relay, false);
}

/* Ticks that were journalled before: read them to their end before the next one is opened. */
static void
ask_unread(struct relay *relay)
{
    if (reader_has_more(relay->reader)) {
        if (!has_room(relay))
            return;
        reader_ask_page(relay->reader, relay->settings->batch_events, page_limit(relay), relay->now_us);
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

void
leading_ask(struct relay *relay)
{
    if (relay->request != REQUEST_NONE)
        return;
    int64_t since_row = relay->now_us - relay->appended_at_us;
    bool confirm_due = relay->dirty && since_row >= CONFIRM_US;
    bool heartbeat_due = since_row >= heartbeat_us(relay);
    bool unread = reader_has_more(relay->reader) || relay->catching_up;
    if (relay->state == RELAY_DRAINING) {
        ask_while_draining(relay);
    } else if (relay->undurable) {
        ask_confirm(relay, false); /* I3: a later row that waited for the standbys covers the earlier one */
    } else if (!relay->trouble_told) {
        ask_trouble(relay);
    } else if (unread) {
        if (confirm_due || heartbeat_due)
            ask_confirm(relay, false);
        else
            ask_unread(relay);
    } else if (!has_room(relay)) {
        if (confirm_due || heartbeat_due)
            ask_confirm(relay, false);
    } else if (relay->now_us >= relay->retention_at_us) {
        ask_retention(relay);
    } else if (relay->now_us >= relay->poll_at_us || confirm_due || heartbeat_due) {
        ask_step(relay, confirm_due);
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
    if (relay->dirty && relay->appended_at_us + CONFIRM_US < deadline)
        deadline = relay->appended_at_us + CONFIRM_US;
    bool polls = relay->state == RELAY_LEADING && !reader_has_more(relay->reader) && !relay->catching_up &&
                 has_room(relay);
    if (polls && relay->poll_at_us < deadline)
        deadline = relay->poll_at_us;
    return deadline;
}
