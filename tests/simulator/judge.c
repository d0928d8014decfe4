/* judge.c: see judge.h. Called by producer.c at each event, and by run.c at the end. It knows nothing of ticks: it looks at what was
 * committed when, and at what stands in Kafka in which order. */
#include "simulator/judge.h"

#include "event/page.h"
#include "simulator/cluster.h"
#include "simulator/instance.h"
#include "simulator/process.h"

#include <inttypes.h>

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

/* Counts what a consumer sees. */
static void
count_copies(void)
{
    for (size_t i = 0; i < database.rows_count; i++)
        database.rows[i]->copies = database.rows[i]->transactional_copies = 0;
    for (int lane = 0; lane < MODEL_LANES; lane++)
        for (size_t i = 0; i < cluster.logs[lane].count; i++) {
            const struct copy *copy = cluster.logs[lane].copies[i];
            if (!cluster_shows(copy))
                continue;
            copy->row->copies++;
            copy->row->transactional_copies += copy->transaction != NULL;
        }
}

static const struct row *
find_missing(void)
{
    count_copies();
    for (size_t i = 0; i < database.rows_count; i++)
        if (database.rows[i]->by->fate == FATE_COMMITTED && database.rows[i]->copies == 0)
            return database.rows[i];
    return NULL;
}

/* The confirmed tick, of which there is a row, and those before it hold every event. */
static bool
is_confirmed(void)
{
    struct pg_snapshot now, tick;
    database_snapshot(&now);
    const struct line *confirmed = database.lines[database_newest(&now)->confirmed.seq];
    CHECK(confirmed != NULL);
    snapshot_parse(&tick, confirmed->snapshot);
    for (size_t i = 0; i < database.rows_count; i++)
        if (database.rows[i]->by->fate == FATE_COMMITTED && !snapshot_shows(&tick, database.rows[i]->by->xid))
            return false;
    return true;
}

bool
judge_is_drained(void)
{
    return find_missing() == NULL && is_confirmed();
}

/* The first row of the journal, of those that are left, whose snapshot shows it. */
static int64_t
tick_of(const struct row *row)
{
    struct pg_snapshot snapshot;
    for (size_t i = 0; i < database.lines_count; i++) {
        const struct line *line = database.lines[i];
        if (line == NULL || line->by->fate != FATE_COMMITTED)
            continue;
        snapshot_parse(&snapshot, line->snapshot);
        if (snapshot_shows(&snapshot, row->by->xid))
            return line->seq;
    }
    return INT64_MAX;
}

void
judge_missing(void)
{
    const struct row *row = find_missing();
    struct pg_snapshot now;
    if (row == NULL) {
        if (!is_confirmed())
            world_find("everything is in Kafka, and the journal does not say so");
        return;
    }
    database_snapshot(&now);
    const struct line *newest = database_newest(&now);
    bool passed = newest->confirmed.seq >= tick_of(row);
    world_find("P1: event %" PRId64 " of xid %" PRId64 " is %s", row->id, row->by->xid,
               passed ? "lost: the journal says that it is confirmed" : "still not in Kafka");
}

static bool
is_same_run(const struct copy *a, const struct copy *b)
{
    return a->by == b->by && a->lead == b->lead;
}

/* P2, word for word: if a transaction had committed before an event was inserted, its events of the same key come first; events of one
 * transaction come in the order of their ids. Of each event the first copy counts; of the run of `only`, which has no event twice, each. */
static void
judge_order(int lane, int topic, int key, const struct copy *only)
{
    const struct kafka_log *log = &cluster.logs[lane];
    int64_t newest_insert = 0, newest_id = 0;
    const struct transaction *by = NULL;
    int64_t look = ++world.order;
    for (size_t i = 0; i < log->count; i++) {
        const struct copy *copy = log->copies[i];
        struct row *row = copy->row;
        bool counts = cluster_shows(copy) && row->topic == topic && row->key == key;
        if (!counts || (only != NULL && !is_same_run(copy, only)))
            continue;
        if (row->looked == look && only != NULL)
            world_find("P3: instance %d has sent event %" PRId64 " twice in one lead", only->by->serial,
                       row->id);
        if (row->looked == look)
            continue;
        row->looked = look;
        if (row->by->ended < newest_insert || (row->by == by && row->id < newest_id))
            world_find("P2: event %" PRId64 " of key %s stands behind one that it comes before", row->id,
                       model_key_name(key));
        newest_insert = row->inserted > newest_insert ? row->inserted : newest_insert;
        newest_id = row->by == by && newest_id > row->id ? newest_id : row->id;
        by = row->by;
    }
}

/* A copy beyond the first is of a run that was sent again, by another instance or in another lead: within each run everything is in
 * order, and once. */
static void
judge_runs(int lane)
{
    const struct kafka_log *log = &cluster.logs[lane];
    for (size_t i = 0; i < log->count; i++) {
        bool begins = i == 0 || !is_same_run(log->copies[i], log->copies[i - 1]);
        for (int key = 0; begins && key < model.keys; key++)
            judge_order(lane, lane / MODEL_PARTITIONS, key, log->copies[i]);
    }
}

static void
judge_row(const struct row *row)
{
    bool exact = model.settings.delivery == DELIVERY_EXACTLY_ONCE && !model.switches;
    if (row->copies > 0 && row->by->fate != FATE_COMMITTED)
        world_find("P1: event %" PRId64 " of xid %" PRId64 " was published, and never committed", row->id,
                   row->by->xid);
    if (exact ? row->copies > 1 : row->transactional_copies > 1)
        world_find("P3: exactly once, and event %" PRId64 " is there %zu times", row->id, row->copies);
}

void
judge_everything(void)
{
    count_copies();
    for (size_t i = 0; i < database.rows_count; i++)
        judge_row(database.rows[i]);
    for (int lane = 0; lane < MODEL_LANES; lane++) {
        for (int key = 0; key < model.keys; key++)
            judge_order(lane, lane / MODEL_PARTITIONS, key, NULL);
        judge_runs(lane);
    }
}
