/* exact.c: delivery exactly once. Position and events are committed to Kafka in one transaction, so Kafka knows how far the relay is,
 * and the journal follows. Called each turn by sending.c, and by leading.c and answers.c for what it asks of Postgres.
 *
 * Order of a start: take the epoch in the journal, fence the older instances, then read the position (kafka/transaction.c), compare
 * it with the journal (reconcile.c), then send. What an older process still commits before it is fenced is read with the position; what it
 * tries afterwards, Kafka refuses. So safety rests on Kafka's fencing; the lease only keeps two processes from fencing each other
 * all the time. After anything but a success the instance is ended, and the next one starts in the same order. */
#include "relay/inside.h"

#include "base/log.h"
#include "relay/reconcile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_wanted(const struct relay *relay)
{
    return relay->settings->delivery == DELIVERY_EXACTLY_ONCE;
}

void
exact_begin(struct relay *relay, bool kept)
{
    struct exact *exact = &relay->exact;
    exact->journal = relay->seen.exact;
    if (kept) /* what we were not told that it is written is written again */
        return;
    exact_rely(relay);
    exact->told = relay->seen.exact;
    if (exact->told.position.seq == JOURNAL_EXACT_ANEW && !is_wanted(relay))
        exact->told.on = false;
    exact->state = is_wanted(relay) || exact->told.on ? EXACT_UNKNOWN : EXACT_OFF;
    exact->based = exact->state == EXACT_OFF;
    exact->committed.sides.count = 0; /* until the position is read */
    exact->committing = false;
    if (exact->state == EXACT_UNKNOWN)
        producer_end(relay->producer, relay->now_us, "the position is read anew");
}

void
exact_rely(struct relay *relay)
{
    relay->exact.aside = (struct journal_name){relay->self.seq, relay->self.nonce};
    relay->exact.anchors = false;
}

void
exact_anchor(struct relay *relay)
{
    relay->exact.anchors = exact_is_on(relay);
}

bool
exact_anchors(const struct relay *relay)
{
    return relay->exact.anchors;
}

/* A durable row says already that Kafka is the truth. */
static bool
journal_says(const struct exact *exact)
{
    return exact->journal.on && exact->journal.position.seq != JOURNAL_EXACT_ANEW;
}

bool
exact_is_on(const struct relay *relay)
{
    return relay->exact.state != EXACT_OFF;
}

bool
exact_is_settled(const struct relay *relay)
{
    return relay->exact.state == EXACT_OFF || relay->exact.state == EXACT_ON;
}

void
exact_text(const struct relay *relay, char *text, size_t size)
{
    const struct exact *exact = &relay->exact;
    if (exact->refused)
        snprintf(text, size, "no transactions: %s: %s", exact->refusal.name, exact->refusal.message);
    else
        snprintf(text, size, "reading the position from Kafka");
}

bool
exact_lets_read(const struct relay *relay)
{
    return relay->exact.based;
}

/* ---- the truth ---- */

/* What was in the way is not any more. */
static void
heal(struct relay *relay)
{
    if (!relay->exact.refused)
        return;
    relay->exact.refused = false;
    relay->trouble_told = false;
    log_info("transactions work again", LOG_END);
}

/* The position was read: what does our journal know of it? */
static void
take_found(struct relay *relay)
{
    struct exact *exact = &relay->exact;
    const struct position_found *found = producer_found(relay->producer);
    struct error error;
    exact->ever = true;
    exact->found_any = found->text != NULL;
    if (!exact->at_commit)
        heal(relay);
    exact->state = EXACT_FOUND;
    if (!exact->found_any || record_parse(&exact->found, found->text, &error))
        return;
    exact->found_any = false;
    if (!reconcile_is_anew(&exact->journal)) { /* else the journal is right, whatever is there */
        (void)error_prefix(&error, "topic outboxd-position-%s-%s", relay->settings->source,
                           relay->settings->relay);
        relay_fail(relay, &error);
    }
}

bool
exact_asks_names(const struct relay *relay)
{
    return relay->exact.state == EXACT_FOUND && producer_state(relay->producer) == PRODUCER_READY;
}

void
exact_ask_names(struct relay *relay)
{
    char seqs[RECORD_SEQS_SIZE], sides[RECORD_SEQS_SIZE];
    const struct record *found = relay->exact.found_any ? &relay->exact.found : NULL;
    record_seqs(found, relay->confirmed, seqs);
    record_side_numbers(found, sides);
    relay->exact.names_from = relay->confirmed;
    relay->exact.names_of = producer_statistics(relay->producer)->instances;
    journal_ask_names(relay->session, relay->settings->relay, seqs, sides, relay->now_us);
    relay_asked(relay, REQUEST_NAMES);
}

static void
set_told(struct relay *relay, const struct record *record)
{
    relay->exact.told =
        (struct journal_exact){.on = true, .position = record->at, .nonce = record->chain.names[0].nonce};
}

/* Everything up to `start` is published, and nothing after it. */
static void
start_from(struct relay *relay, struct journal_position start)
{
    struct exact *exact = &relay->exact;
    if (exact->based)
        leading_drop(relay);
    relay->dirty = relay->dirty || record_compare(start, relay->confirmed) != 0;
    relay->confirmed = start;
    relay->loaded_seq = start.seq;
    relay->begun_seq = start.seq;
    relay->catching_up = true;
    exact->based = true;
}

/* What was passed over and is not covered by a position yet asks for a transaction. */
static void
count_passed(struct relay *relay)
{
    relay->exact.events = pipeline_unsent_settled(&relay->pipeline);
    relay->exact.opened_us = relay->now_us;
}

/* What was asked to be committed is. */
static void
take_along(struct relay *relay)
{
    struct exact *exact = &relay->exact;
    exact->at_commit = false;
    exact->in_vain = 0;
    heal(relay);
    pipeline_commit(&relay->pipeline, exact->asked_serial, sending_count, relay);
    count_passed(relay);
}

static bool
is_here(const struct journal_place *place, const struct journal_place *here)
{
    return place->sysid == here->sysid && place->timeline == here->timeline && place->dbid == here->dbid;
}

/* One transaction's record. The position alone does not tell: one that only retries a dead letter, say, leaves it as it is. */
static bool
is_same(const struct record *a, const struct record *b)
{
    return record_compare(a->at, b->at) == 0 && a->epoch == b->epoch && a->commit == b->commit;
}

/* The last instance's commit was in doubt: it has happened if the position says so. A position that is neither the last one that we
 * knew nor the one that we asked for was committed by another process that has led meanwhile. Behind a promotion, and in a restored database,
 * the position is committed anew, before any event: its place shuts out who leads there still. */
static void
go_on(struct relay *relay, const struct reconciled *result)
{
    struct exact *exact = &relay->exact;
    const struct record *found = &exact->found;
    bool as_known = exact->based && is_same(found, &exact->committed);
    bool as_asked = exact->based && exact->committing && is_same(found, &exact->asked);
    if (as_asked)
        take_along(relay);
    else if (!as_known)
        start_from(relay, result->start);
    pipeline_forget_asked(&relay->pipeline);
    exact->committing = false;
    exact->committed = *found;
    set_told(relay, found);
    exact->told.on = is_wanted(relay);
    exact->state = exact->told.on == journal_says(exact) ? EXACT_ON : EXACT_TELLING;
    if (exact->told.on && !is_here(&found->place, &relay->seen.here))
        exact_commit(relay, found,
                     relay->pipeline.committed); /* before anything is published an old primary is shut out */
}

/* So far the journal was the truth: what it says is committed to Kafka before anything else is. */
static bool
base(struct relay *relay, struct journal_position start, const struct journal_name *names, size_t count,
     struct error *error)
{
    struct record record;
    if (!record_make(&record, start, names, count))
        return error_set(error, ERROR_INTERNAL,
                         "row %" PRId64 " of the journal is gone and needed; run `outboxd rebase`",
                         start.seq + (start.id > 0));
    start_from(relay, start);
    relay->exact.told = relay->exact.journal; /* also when an earlier attempt has come as far as that */
    relay->exact.state = EXACT_BASING;
    log_info("the position goes to Kafka: delivered exactly once from here on",
             LOG_INT("tick", record.at.seq), LOG_INT("id", record.at.id), LOG_END);
    exact_commit(relay, &record, relay->pipeline.committed);
    return true;
}

bool
exact_answer_names(struct relay *relay, struct error *error)
{
    struct exact *exact = &relay->exact;
    struct journal_known known;
    struct journal_row row = relay->seen;
    struct reconciled result;
    if (!journal_read_names(relay->session, &known, error))
        return false;
    row.exact = exact->journal;
    /* Somebody has taken the lead, and may have committed before we fenced him: the journal is looked at before anything. */
    relay->doubtful = relay->doubtful || known.epoch != relay->self.epoch;
    /* The instance has ended meanwhile, or the edge has moved over ticks without events: the journal is asked again. */
    bool stale = !exact_asks_names(relay) ||
                 exact->names_of != producer_statistics(relay->producer)->instances ||
                 record_compare(relay->confirmed, exact->names_from) != 0;
    if (stale || relay->doubtful) {
        free(known.names);
        return true;
    }
    const struct reconcile_facts facts = {.relay = relay->settings->relay,
                                          .config = relay->settings->file,
                                          .kafka = exact->found_any ? &exact->found : NULL,
                                          .last = exact->based ? &exact->committed : NULL,
                                          .cluster = producer_found(relay->producer)->cluster,
                                          .row = &row,
                                          .confirmed = relay->confirmed,
                                          .known = known};
    reconcile(&facts, &result);
    bool good = reconcile_allows(&result, error);
    if (good && result.verdict == RECONCILE_GO_ON)
        go_on(relay, &result);
    else if (good)
        good = base(relay, result.start, known.names, known.count, error);
    free(known.names);
    return good;
}

bool
exact_tells(const struct relay *relay)
{
    return relay->exact.state == EXACT_TELLING;
}

/* A row that says which of the two is the truth is durable. */
void
exact_told(struct relay *relay)
{
    if (is_wanted(relay)) {
        relay->exact.state = EXACT_ON;
        return;
    }
    relay->exact.state = EXACT_OFF;
    relay->exact.instance = false;
    producer_end(relay->producer, relay->now_us, "delivered at least once from here on");
    log_info("the journal has the position: delivered at least once from here on", LOG_END);
}

/* ---- instances ---- */

/* So often in a row librdkafka has ended a transaction and blamed nobody, not even in its log (kafka/barred.h). */
#define IN_VAIN 3
static const struct outcome gives_up = {.kind = OUTCOME_BROKER,
                                        .name = "TRANSACTION_ENDED",
                                        .message = "Kafka ends each transaction without blaming an event: "
                                                   "may the relay's principal write to every topic?"};

/* Where it was delivered exactly once before, by this process or another one, what Kafka answers today it may not tomorrow: a permission,
 * a topic that is not known everywhere yet. What we find wrong ourselves (no code of Kafka's), and what a first start meets, a person has to
 * mend first. */
static bool
may_pass(const struct exact *exact, const struct outcome *why)
{
    return why->kind != OUTCOME_TOPIC || exact->ever || (why->code != 0 && journal_says(exact));
}

/* What was in its transaction is not in Kafka, unless its last commit says otherwise to the next one. */
static void
look_back(struct relay *relay)
{
    struct exact *exact = &relay->exact;
    const struct outcome *why = producer_failure(relay->producer);
    bool started = exact->state != EXACT_UNKNOWN;
    struct error error;
    exact->instance = false;
    exact->state = EXACT_UNKNOWN;
    pipeline_rewind(&relay->pipeline);
    count_passed(relay);
    if (why->kind == OUTCOME_FENCED) {
        log_info("fenced: the journal says who leads", LOG_STR("why", why->message), LOG_END);
        relay->doubtful = relay->owns;
    }
    if (started && why->kind == OUTCOME_UNSENT && strcmp(why->name, "ENDED") != 0)
        exact->in_vain++;
    if (exact->in_vain >= IN_VAIN)
        why = &gives_up;
    else if ((started && !exact->committing) || why->kind == OUTCOME_FENCED || why->kind == OUTCOME_UNSENT)
        return;
    if (!may_pass(exact, why)) {
        error_set(&error, ERROR_UNUSABLE, "cannot deliver exactly once: %s: %s", why->name, why->message);
        relay_give_up(relay, &error);
        return;
    }
    if (!exact->refused || strcmp(exact->refusal.name, why->name) != 0) {
        relay->trouble_told = false;
        log_error("no transactions: tried again with back-off", LOG_STR("error", why->name),
                  LOG_STR("why", why->message), LOG_END);
    }
    exact->refused = true;
    exact->at_commit = started;
    exact->refusal = *why;
}

static void
take_commit(struct relay *relay)
{
    struct exact *exact = &relay->exact;
    exact->commits = producer_commits(relay->producer);
    exact->committing = false;
    exact->committed = exact->asked;
    exact->committed_us = relay->now_us;
    set_told(relay, &exact->committed);
    take_along(relay);
    if (exact->state == EXACT_BASING)
        exact->state = EXACT_TELLING;
}

void
exact_turn(struct relay *relay)
{
    struct exact *exact = &relay->exact;
    if (exact->state == EXACT_OFF)
        return;
    if (producer_commits(relay->producer) > exact->commits)
        take_commit(relay);
    switch (producer_state(relay->producer)) {
    case PRODUCER_NONE:
        if (exact->instance)
            look_back(relay);
        break;
    case PRODUCER_READY:
        if (exact->state == EXACT_UNKNOWN)
            take_found(relay);
        exact->instance = true;
        break;
    case PRODUCER_STARTING:
    case PRODUCER_ENDING:
        exact->instance = true;
        break;
    }
}
