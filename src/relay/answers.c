/* answers.c: what Postgres answers to the leader: the rows of the journal become ticks, ticks become pages in the pipeline, and a
 * row that somebody else has appended ends the lead. Called by relay_turn when an answer is complete; asks nothing itself. */
#include "relay/inside.h"

#include "base/log.h"
#include "postgres/registry.h"

#include <inttypes.h>
#include <string.h>

/* Once more soon: there is more to trim. */
#define RETENTION_SOON_US (INT64_C(200) * 1000)
/* outbox.journal_trim deletes so many rows a call: when it did, more is waiting. */
#define TRIM_ROWS 10000

/* Reads back the ticks between the confirmed one and the newest; those without events have the snapshot of the one before. */
static bool
take_rows(struct relay *relay, const struct journal_row *rows, size_t count, struct error *error)
{
    if (count == 0 || rows[0].seq != relay->loaded_seq)
        return error_set(error, ERROR_INTERNAL,
                         "row %" PRId64
                         " of the journal is gone, although it is needed; run `outboxd rebase`",
                         relay->loaded_seq);
    for (size_t i = 1; i < count; i++) {
        if (rows[i].seq != rows[i - 1].seq + 1)
            return error_set(error, ERROR_INTERNAL,
                             "row %" PRId64 " of the journal is missing; run `outboxd rebase`",
                             rows[i - 1].seq + 1);
        if (strcmp(rows[i].edge.snapshot, rows[i - 1].edge.snapshot) == 0) {
            relay->loaded_seq = rows[i].seq;
            continue;
        }
        struct tick *tick = &relay->late_tick;
        const struct tick_edge *from = &rows[i - 1].edge;
        tick_clear(tick);
        tick->seq = rows[i].seq;
        tick->nonce = rows[i].nonce;
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
    int64_t epoch;
    if (!journal_read_rows(relay->session, &epoch, &rows, &count, error))
        return false;
    /* Whoever has slept for longer than rows are kept finds those of another leader, who has confirmed and trimmed ours. */
    bool ours = epoch == relay->self.epoch;
    relay->doubtful = relay->doubtful || !ours;
    bool good = !ours || take_rows(relay, rows, count, error);
    journal_rows_free(rows, count);
    return good;
}

static void
begin_tick(struct relay *relay, struct tick *tick)
{
    bool partly = tick->seq == relay->confirmed.seq + 1;
    relay->loaded_seq = tick->seq;
    relay->begun_seq = tick->seq;
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

/* An event that goes to Kafka now, not one that waits for its topic. */
static void
note_live(struct relay *relay, const struct page *page)
{
    size_t i = 0;
    while (i < page->count && page->events[i].topic->pause != NULL)
        i++;
    if (i < page->count)
        relay->live_us = relay->now_us;
}

static bool
answer_page(struct relay *relay, struct error *error)
{
    struct page *page = NULL;
    if (!reader_read_page(relay->reader, &page, error))
        return false;
    leading_took_page(relay, PACE_STREAM, reader_page_cost(relay->reader));
    relay->counters.tick_events_so_far += (int64_t)page->count;
    relay->rate_events += (int64_t)page->count;
    if (page->last_of_tick)
        relay->counters.tick_events = relay->counters.tick_events_so_far;
    note_live(relay, page);
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
        relay->progress_told |= relay->dirty;
        relay->appended_at_us = relay->request_sent_us;
        relay->append_took_us = relay->now_us - relay->request_sent_us;
        relay->undurable = !stepped->durable;
        if (stepped->durable)
            relay->exact.journal = relay->step.exact;
    }
    return true;
}

/* A step, its page and its requests to Kafka cost nearly the same for one event as for fifty. Of many events those of a moment
 * more are taken at once, and who writes them keeps the processor: beside 2,500 transactions a second, broker and all on two
 * cores, a step every 10 ms takes a fifth of their rate and one every 20 ms a tenth. Between these two rates the interval
 * grows from poll.busy to twice poll.idle; what comes more slowly is asked for as soon as may be. */
#define COLLECT_FROM_PER_S 800
#define COLLECT_FULLY_PER_S 2000
#define COLLECT_TIMES_IDLE 2
/* Long enough for one transaction of many events not to count as many transactions for long. */
#define RATE_OVER_US 100000

static void
measure_rate(struct relay *relay)
{
    int64_t elapsed_us = relay->now_us - relay->rate_from_us;
    if (elapsed_us < RATE_OVER_US)
        return;
    double events_per_s = (double)relay->rate_events * 1e6 / (double)elapsed_us;
    relay->events_per_s = (relay->events_per_s + events_per_s) / 2;
    relay->rate_from_us = relay->now_us;
    relay->rate_events = 0;
}

static int64_t
busy_interval_us(const struct relay *relay)
{
    int64_t least = relay->settings->poll_busy_us, most = COLLECT_TIMES_IDLE * relay->settings->poll_idle_us;
    double share = (relay->events_per_s - COLLECT_FROM_PER_S) / (COLLECT_FULLY_PER_S - COLLECT_FROM_PER_S);
    if (share <= 0)
        return least;
    return least + (int64_t)((double)(most - least) * (share < 1 ? share : 1));
}

/* Events keep the interval short, many of them less so; silence doubles it up to poll.idle. */
static void
schedule_poll(struct relay *relay, bool found)
{
    int64_t idle = relay->settings->poll_idle_us, doubled = relay->poll_interval_us * 2;
    measure_rate(relay);
    relay->poll_interval_us = found ? busy_interval_us(relay) : doubled < idle ? doubled : idle;
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
                     "RESTART): new events would be passed over; run `outboxd rebase`, see "
                     "docs/operations.md, \"The sequence went "
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

bool
answers_appended(struct relay *relay, bool *written, struct error *error)
{
    struct journal_stepped stepped = {0};
    bool good =
        journal_read_confirm(relay->session, &relay->self, &stepped, error) && accept(relay, &stepped, error);
    *written = good && !stepped.fenced && stepped.durable;
    relay->answer = stepped.answer;
    if (good && !stepped.fenced) {
        struct journal_position now = relay->confirmed, told = relay->step.confirmed;
        relay->dirty = now.seq != told.seq || now.id != told.id;
        if (!relay->catching_up)
            relay->loaded_seq = relay->self.seq; /* a copy of the row before: a tick without events */
        if (exact_tells(relay) && stepped.durable && relay->step.exact.on == relay->exact.told.on)
            exact_told(relay);
        if (relay->releasing)
            relay_change(relay, RELAY_STOPPED, "everything in flight is confirmed");
    }
    journal_stepped_clear(&stepped);
    return good;
}

static bool
answer_trim(struct relay *relay, struct error *error)
{
    int64_t before = relay->journal_low;
    if (!registry_read_trim(relay->session, &relay->journal_low, error))
        return false;
    if (before != 0 && relay->journal_low - before >= TRIM_ROWS) {
        relay->retention_at_us = relay->now_us + RETENTION_SOON_US;
        relay->retention_slot--; /* the same again */
    }
    return true;
}

static bool
answer_empty(struct relay *relay, struct error *error)
{
    char outcome[32];
    if (!registry_read_empty(relay->session, outcome, sizeof outcome, error))
        return false;
    if (strcmp(outcome, "emptied") == 0)
        log_info("slot emptied", LOG_INT("slot", relay->retention_slot / 2), LOG_END);
    return true;
}

/* Nothing that is published waits until a lock is free that sweeping needs. */
static bool
answer_retention(struct relay *relay, struct error *error)
{
    bool trims = relay->retention_slot % 2 == 1;
    relay->retention_at_us = relay->now_us + leading_retention_us(relay);
    bool swept = trims ? answer_trim(relay, error) : answer_empty(relay, error);
    if (!swept && error->kind != ERROR_RETRY)
        return false;
    if (!swept && !relay->sweep_refused)
        log_warning("the ring cannot be swept: it is tried again, and publishing goes on",
                    LOG_STR("why", error->message), LOG_END);
    else if (swept && relay->sweep_refused)
        log_info("the ring is swept again", LOG_END);
    relay->sweep_refused = !swept;
    relay->retention_slot = (relay->retention_slot + 1) % (2 * relay->facts.slots);
    return true;
}

/* Of what is beside the stream. */
static bool
read_beside(struct relay *relay, enum request request, struct error *error)
{
    switch (request) {
    case REQUEST_APPLY:
        return loading_answer_apply(relay, error);
    case REQUEST_HOLDS:
        return loading_answer_holds(relay, error);
    case REQUEST_AHEAD:
        return loading_answer_ahead(relay, error);
    case REQUEST_WAITING:
        return look_answer(relay, error);
    case REQUEST_ASIDE:
        return aside_answer_write(relay, error);
    case REQUEST_SETTLE:
        return side_answer_settle(relay, error);
    case REQUEST_SIDE_FIRST:
        return requests_answer_first(relay, error);
    case REQUEST_SIDE_PAGE:
        return requests_answer(relay, error);
    case REQUEST_ROUND:
        return rounds_answer(relay, error);
    case REQUEST_ROUND_LATE:
        return rounds_answer_late(relay, error);
    case REQUEST_ROUND_PAGE:
        return rounds_answer_page(relay, error);
    case REQUEST_BACKLOG:
        return backlog_answer(relay, error);
    default:
        check_failed(__FILE__, __LINE__, "an answer that nobody asked for");
    }
}

void
answers_read(struct relay *relay)
{
    struct error error;
    enum request request = relay->request;
    bool good = true, written;
    relay->request = REQUEST_NONE;
    switch (request) {
    case REQUEST_ROWS:
        good = answer_rows(relay, &error);
        break;
    case REQUEST_NAMES:
        good = exact_answer_names(relay, &error);
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
        good = answers_appended(relay, &written, &error);
        if (good && written && exact_anchors(relay))
            exact_rely(relay);
        break;
    case REQUEST_REGISTER_LATER:
        good = telling_registered(relay, &error);
        break;
    case REQUEST_TROUBLE:
        good = telling_told(relay, &error);
        break;
    case REQUEST_RETENTION:
        good = answer_retention(relay, &error);
        break;
    default:
        good = read_beside(relay, request, &error);
    }
    bool works = request == REQUEST_PAGE || request == REQUEST_STEP || request == REQUEST_CONFIRM ||
                 request == REQUEST_ASIDE;
    if (!good)
        link_failed(relay, &error);
    else if (works)
        link_healed(relay);
}
