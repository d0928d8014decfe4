/* committing.c: what goes into a transaction, and when it ends. Called by sending.c for each event, and by exact.c, which says whether
 * anything may be sent at all. */
#include "relay/inside.h"

#include <stdio.h>
#include <string.h>

void
exact_commit(struct relay *relay, const struct record *record, uint64_t serial)
{
    char text[RECORD_TEXT_SIZE];
    struct exact *exact = &relay->exact;
    exact->asked = *record;
    snprintf(exact->asked.relay, sizeof exact->asked.relay, "%s", relay->settings->relay);
    exact->asked.epoch = relay->self.epoch;
    exact->asked.commit = exact->committed.commit + 1;
    exact->asked.place = relay->seen.here;
    exact->asked.aside = exact->aside;
    snprintf(exact->asked.cluster, sizeof exact->asked.cluster, "%s",
             producer_found(relay->producer)->cluster);
    exact->asked_serial = serial;
    exact->committing = true;
    record_format(&exact->asked, text);
    producer_commit(relay->producer, text, relay->now_us);
}

/* What is in it is to be committed before anything else is handed over. */
static bool
is_full(const struct relay *relay)
{
    const struct exact *exact = &relay->exact;
    return exact->events >= (size_t)relay->settings->transaction_events || rounds_await_commit(relay) ||
           (exact->events > 0 && relay->now_us - exact->opened_us >= relay->settings->transaction_time_us);
}

bool
exact_lets_send(const struct relay *relay)
{
    const struct exact *exact = &relay->exact;
    if (exact->state == EXACT_OFF)
        return true;
    return exact->state == EXACT_ON && !exact->committing && !is_full(relay) &&
           !producer_wants_commit(relay->producer);
}

void
exact_sent(struct relay *relay)
{
    if (relay->exact.events++ == 0)
        relay->exact.opened_us = relay->now_us;
}

void
exact_passed(struct relay *relay)
{
    if (exact_is_on(relay))
        exact_sent(relay);
}

bool
exact_is_open(const struct relay *relay)
{
    return relay->exact.state == EXACT_ON && (relay->exact.events > 0 || relay->exact.committing) &&
           producer_state(relay->producer) == PRODUCER_READY;
}

const struct record_sides *
exact_sides(const struct relay *relay)
{
    return &relay->exact.committed.sides;
}

/* What the database knows for sure has no place in the record any more. */
static void
keep_sides_at_work(const struct relay *relay, struct record_sides *sides)
{
    size_t kept = 0;
    for (size_t i = 0; i < sides->count; i++)
        if (side_is_at_work(relay, sides->list[i].number))
            sides->list[kept++] = sides->list[i];
    sides->count = kept;
}

struct recording {
    struct record *record;
    uint64_t serial;
};

static void
record_side(void *context, const struct page *page)
{
    struct recording *recording = context;
    int64_t progress = pipeline_side_progress(page, recording->serial);
    if (progress != 0)
        CHECK(record_sides_set(&recording->record->sides, (struct record_side){page->side, progress}));
}

/* The position behind `last`, the stream's last event in the transaction. */
static void
record_position(const struct relay *relay, struct record *record, const struct event *last)
{
    const struct page *page = last->page;
    bool whole = page->last_of_tick && last == &page->events[page->count - 1];
    record->at = whole ? (struct journal_position){page->tick_seq, 0}
                       : (struct journal_position){page->tick_seq - 1, last->id};
    for (const struct page *each = relay->pipeline.head; each != page->later; each = each->later)
        if (each->side == 0 && each->count > 0 &&
            each->first_serial + each->count > relay->pipeline.committed)
            record_chain_add(&record->chain, (struct journal_name){each->tick_seq, each->tick_nonce});
}

/* The record of everything that was handed over, and of what was passed over between. */
static void
commit_events(struct relay *relay)
{
    struct pipeline *pipeline = &relay->pipeline;
    const struct event *next = pipeline_next(pipeline);
    uint64_t serial = next != NULL ? pipeline_serial(next) : pipeline->next_serial;
    const struct event *last = pipeline_last_before(pipeline, serial);
    struct record record = relay->exact.committed;
    struct recording recording = {&record, serial};
    keep_sides_at_work(relay, &record.sides);
    if (last != NULL)
        record_position(relay, &record, last);
    pipeline_ask_commit(pipeline, serial, record_side, &recording);
    exact_commit(relay, &record, serial);
}

/* When nothing is sent any more, and before the lead is given away, the record is written once again without the side work that the database knows
 * for sure by now: a rebase that has forgotten such work does not find it there, and a copy of the database finds the row that knows it. */
#define QUIET_US (INT64_C(1) * 1000000)

bool
exact_tidies(const struct relay *relay)
{
    const struct exact *exact = &relay->exact;
    bool quiet = relay->state == RELAY_DRAINING || relay->pipeline.pages == 0;
    struct record_sides sides = exact->committed.sides;
    if (!relay->owns || !leading_holds_lease(relay) || relay->undurable || !quiet ||
        !loading_is_done(relay) || exact->state != EXACT_ON || exact->committing || exact->events > 0 ||
        producer_state(relay->producer) != PRODUCER_READY)
        return false;
    keep_sides_at_work(relay, &sides);
    return sides.count < exact->committed.sides.count;
}

static int64_t
tidy(struct relay *relay)
{
    int64_t at_us = relay->exact.committed_us + (relay->state == RELAY_DRAINING ? 0 : QUIET_US);
    if (!exact_tidies(relay))
        return INT64_MAX;
    if (relay->now_us < at_us)
        return at_us;
    struct record record = relay->exact.committed;
    keep_sides_at_work(relay, &record.sides);
    exact_commit(relay, &record, relay->pipeline.committed);
    return INT64_MAX;
}

int64_t
exact_end_transaction(struct relay *relay, bool more)
{
    const struct exact *exact = &relay->exact;
    if (!exact_is_open(relay))
        return tidy(relay);
    if (exact->committing)
        return INT64_MAX;
    if (more && exact_lets_send(relay))
        return exact->opened_us + relay->settings->transaction_time_us;
    const struct pipeline *pipeline = &relay->pipeline;
    bool all_written = pipeline->refused == 0 && pipeline->held == 0 && pipeline->passed == 0;
    if (pipeline->events_out == 0 && all_written) /* I1: the position passes nothing that is nowhere */
        commit_events(relay);
    return INT64_MAX;
}

void
exact_say_who_waits(const struct relay *relay, struct outcome *obstacle)
{
    size_t used = strlen(obstacle->message);
    if (exact_is_on(relay))
        snprintf(obstacle->message + used, sizeof obstacle->message - used,
                 "; until then all topics wait: Kafka can end no transaction there");
}
