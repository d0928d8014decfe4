/* judge_live.c: what judge.h promises while things happen. Called by producer.c at each event, by cluster.c at each record, and by what answers
 * for Postgres at each row. */
#include "simulator/judge.h"

#include "event/page.h"
#include "simulator/cluster.h"
#include "simulator/instance.h"
#include "simulator/process.h"
#include "simulator/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void
judge_sending(const struct process *process, const struct event *event)
{
    int64_t tick = event->page->tick_seq;
    if (tick > database.durable_seq)
        world_find("I3: process %d sends event %" PRId64 " of tick %" PRId64 ", which is not durable",
                   process->number, event->id, tick);
    int64_t fenced_us = (world.now_us - process->fenced_from_us) * process->clock_permille / 1000;
    if (process->fenced_from_us != 0 && fenced_us > process->settings.lease_us / 2)
        world_find("I4: process %d sends event %" PRId64 ", although another one has led for %" PRId64
                   " ms, which is more than half a lease",
                   process->number, event->id, fenced_us / MS);
}

void
judge_asking(const struct process *process, const char *statement)
{
    const struct instance *instance = process->instance;
    bool commits = instance != NULL && instance->committing && !instance->over;
    if (commits && (strcmp(statement, "outboxd_held") == 0 || strcmp(statement, "outboxd_copy") == 0))
        world_find("process %d reads %s, of which nothing can be sent while it commits", process->number,
                   statement);
}

/* ---- I1 and I2, as things happen ---- */

static bool
is_somewhere(const struct row *row)
{
    return row->published != 0 || row->discarded || tables_letter(row->id) != NULL ||
           tables_held(row->id) != NULL || tables_wait_for_topic(row);
}

void
judge_position(bool in_kafka, int64_t seq, int64_t id)
{
    for (size_t i = 0; i < database.rows_count; i++) {
        struct row *row = database.rows[i];
        bool behind = row->tick != 0 && (row->tick <= seq || (row->tick == seq + 1 && row->id <= id));
        if (row->passed == 0 && behind)
            row->passed = ++world.order;
        if (row->confirmed == 0 && !in_kafka && row->tick != 0 && row->tick <= seq)
            row->confirmed = ++world.order;
        if (row->passed != 0 && row->published == 0 && !is_somewhere(row))
            world_find("I1: %s says %" PRId64 "/%" PRId64 ", and event %" PRId64 " of tick %" PRId64
                       " is nowhere",
                       in_kafka ? "the position in Kafka" : "the journal", seq, id, row->id, row->tick);
    }
}

void
judge_record(const char *text)
{
    int64_t seq, id;
    CHECK(sscanf(text, "v1 relay=%*s seq=%" SCNd64 " id=%" SCNd64, &seq, &id) == 2);
    judge_position(true, seq, id);
}

static bool
is_given_up(const struct row *row)
{
    for (size_t i = 0; i < tables.requests_count; i++)
        if (tables.requests[i]->row == row && strcmp(tables.requests[i]->kind, "discard") == 0)
            return true;
    return false;
}

/* In Kafka, or in the transaction that is open. */
static bool
is_appended(const struct row *row)
{
    const struct kafka_log *log = &cluster.logs[model_lane(row->topic, row->key, row->id)];
    for (size_t i = 0; i < log->count; i++) {
        const struct copy *copy = log->copies[i];
        bool stands = cluster_shows(copy) || copy->transaction == cluster.ongoing;
        if (copy->row == row && cluster_is_first_hand(copy) && stands)
            return true;
    }
    return false;
}

void
judge_append(const struct copy *copy)
{
    const struct row *row = copy->row;
    for (size_t i = 0; i < tables.letters_count; i++) {
        const struct letter *letter = tables.letters[i];
        bool before =
            row->tick >= letter->row->tick && row->id > letter->row->id; /* in any order that P2 allows */
        bool holds = letter->hold != 0 && letter->row->topic == copy->topic && letter->row->key == row->key;
        bool waits = holds && !judge_out_of_order(letter->row);
        if (!before || !waits || copy->replay != 0 || is_appended(letter->row) || is_given_up(letter->row))
            continue;
        world_find("I2: event %" PRId64 " of key %s is published, and event %" PRId64
                   " before it is a dead letter",
                   row->id, model_key_name(row->key), letter->row->id);
    }
}

void
judge_letter(const struct letter *letter)
{
    if (!letter->row->refused)
        world_find("event %" PRId64 " is a dead letter, and Kafka has never refused it", letter->row->id);
}

static bool
is_there(const struct row *row, int topic, int64_t replay)
{
    const struct kafka_log *log = &cluster.logs[model_lane(topic, row->key, row->id)];
    for (size_t i = 0; i < log->count; i++) {
        const struct copy *copy = log->copies[i];
        if (copy->row == row && copy->topic == topic && copy->replay == replay && cluster_shows(copy))
            return true;
    }
    return false;
}

/* It had been published and confirmed when the replay was asked for, and Kafka has never refused it. A topic that takes nothing for a while
 * is waited for. */
static bool
is_to_be_replayed(const struct asked *asked, const struct row *row)
{
    bool wanted = row->id >= asked->first_id && (asked->last_id == 0 || row->id <= asked->last_id) &&
                  (asked->topic == NULL || model_topic(asked->topic) == row->topic) &&
                  (asked->key == MODEL_KEYS || asked->key == row->key);
    return wanted && row->aside == 0 && !row->refused && row->confirmed != 0 && row->confirmed < asked->order;
}

void
judge_request(const struct asked *asked)
{
    if (!asked->done || strcmp(asked->outcome, "done") != 0)
        return;
    if (asked->row != NULL && !is_there(asked->row, MODEL_COPIES, 0))
        world_find("request %" PRId64 ": there is no copy of event %" PRId64, asked->number, asked->row->id);
    for (size_t i = 0; asked->row == NULL && i < database.rows_count; i++) {
        const struct row *row = database.rows[i];
        if (is_to_be_replayed(asked, row) && !is_there(row, row->topic, asked->number))
            world_find("request %" PRId64 ": event %" PRId64 " is not replayed", asked->number, row->id);
    }
}

/* ---- a clean stop ---- */

/* Its retry is beyond the dead letter itself: what is left of it is what waits behind. */
static bool
is_retried(const struct row *row)
{
    const struct asked *asked = tables_asked(row, false);
    return asked != NULL && strcmp(asked->kind, "retry") == 0 && asked->progress > 0;
}

/* At least once, an event that was acknowledged in this lead comes again when no row says so. The stream passes over the events of a
 * paused topic, also those that its rounds have published already. */
static bool
comes_again(const struct row *row, int64_t epoch)
{
    bool dead = tables_letter(row->id) != NULL && !is_retried(row);
    bool aside = dead || tables_held(row->id) != NULL || tables_wait_for_topic(row);
    bool in_stream = row->passed == 0 && tables.topics[row->topic] == NULL;
    return row->heard == epoch && (aside || in_stream);
}

/* What stands behind it in the journal cannot be confirmed. A process that leads again may have it in flight from an earlier lead. */
static bool
is_in_doubt(const struct row *row, const char *holder)
{
    return row->heard != row->sent && strncmp(row->sent_by, holder, SESSION_NAME_HOLDER) == 0;
}

void
judge_release(const struct line *line)
{
    for (size_t i = 0; i < database.rows_count; i++)
        if (is_in_doubt(database.rows[i], line->holder))
            return;
    for (size_t i = 0; i < database.rows_count; i++)
        if (comes_again(database.rows[i], line->epoch))
            world_find("event %" PRId64 " was acknowledged in the lead of epoch %" PRId64
                       ", which is given back, and comes again",
                       database.rows[i]->id, line->epoch);
}
