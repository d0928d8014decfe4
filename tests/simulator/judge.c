/* judge.c: see judge.h; what is looked at in the end. Called by run.c. It knows nothing of ticks: it looks at what was
 * committed when, and at what stands in Kafka in which order. */
#include "simulator/judge.h"

#include "http/snapshot.h"
#include "simulator/cluster.h"
#include "simulator/instance.h"
#include "simulator/process.h"
#include "simulator/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* With the policy `skip` those of its key do not wait for an event that was refused, whether anybody has written that down or not. */
bool
judge_out_of_order(const struct row *row)
{
    return row->skipped ||
           (row->refused && (model.policy_switches || model.settings.dead_letter_policy == DEAD_LETTER_SKIP));
}

/* ---- at the end ---- */

/* Counts what a consumer sees. */
static void
count_copies(void)
{
    for (size_t i = 0; i < database.rows_count; i++)
        database.rows[i]->copies = database.rows[i]->transactional_copies = 0;
    for (int lane = 0; lane < MODEL_LANES; lane++)
        for (size_t i = 0; i < cluster.logs[lane].count; i++) {
            const struct copy *copy = cluster.logs[lane].copies[i];
            if (!cluster_shows(copy) || !cluster_is_first_hand(copy))
                continue;
            copy->row->copies++;
            copy->row->transactional_copies += copy->transaction != NULL;
        }
}

static const struct row *
find_missing(void)
{
    for (size_t i = 0; i < database.rows_count; i++) {
        const struct row *row = database.rows[i];
        if (row->by->fate == FATE_COMMITTED && row->published == 0 && !row->discarded)
            return row;
    }
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

/* What waits; NULL: nothing does. */
static const char *
left(void)
{
    if (tables.letters_count > 0)
        return "a dead letter";
    if (tables.held_count > 0)
        return "an event that waits behind a dead letter";
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.topics[i] != NULL)
            return "a paused topic";
    for (size_t i = 0; i < tables.requests_count; i++)
        if (!tables.requests[i]->done)
            return "a request";
    return NULL;
}

/* What the metrics say of it. */
static bool
is_counted(void)
{
    struct snapshot snapshot = {0};
    bool nothing = true;
    for (int i = 0; nothing && i < MODEL_PROCESSES; i++) {
        if (processes[i].relay == NULL)
            continue;
        relay_observe(processes[i].relay, process_clock_us(&processes[i]), &snapshot);
        nothing = snapshot.dead_letters == 0 && snapshot.held_events == 0;
        snapshot_clear(&snapshot);
    }
    return nothing;
}

bool
judge_is_drained(void)
{
    return find_missing() == NULL && left() == NULL && is_confirmed() && is_counted();
}

static const char *
where(const struct row *row)
{
    if (tables_letter(row->id) != NULL)
        return "still a dead letter";
    if (tables_held(row->id) != NULL)
        return "still waiting behind a dead letter";
    if (tables_wait_for_topic(row))
        return "still waiting for its topic";
    return row->passed != 0 ? "lost: it was confirmed" : "still not in Kafka";
}

void
judge_missing(void)
{
    const struct row *row = find_missing();
    if (row != NULL)
        world_find("P1: event %" PRId64 " of xid %" PRId64 " is %s", row->id, row->by->xid, where(row));
    else if (left() != NULL)
        world_find("P5: everything is in Kafka, and %s is left", left());
    else if (!is_confirmed())
        world_find("everything is in Kafka, and the journal does not say so");
    else if (!is_counted())
        world_find("everything is in Kafka, and the metrics say that something was put aside");
}

static bool
is_same_run(const struct copy *a, const struct copy *b)
{
    return a->by == b->by && a->lead == b->lead;
}

/* P2, word for word: if a transaction had committed before an event was inserted, its events of the same key come first; events of one
 * transaction come in the order of their ids. Of each event the first copy counts; of the run of `only`, which has no event twice, each. */
static void
judge_order(int lane, int key, const struct copy *only)
{
    const struct kafka_log *log = &cluster.logs[lane];
    int64_t newest_insert = 0, newest_id = 0, newest = 0;
    const struct transaction *by = NULL;
    int64_t look = ++world.order;
    for (size_t i = 0; i < log->count; i++) {
        const struct copy *copy = log->copies[i];
        struct row *row = copy->row;
        bool counts =
            cluster_shows(copy) && cluster_is_first_hand(copy) && row->key == key && !judge_out_of_order(row);
        if (!counts || (only != NULL && !is_same_run(copy, only)))
            continue;
        if (row->looked == look && only != NULL)
            world_find("P3: instance %d has sent event %" PRId64 " twice in one lead", only->by->serial,
                       row->id);
        if (row->looked == look)
            continue;
        row->looked = look;
        if (row->by->ended < newest_insert || (row->by == by && row->id < newest_id))
            world_find("P2: event %" PRId64 " of key %s stands behind %" PRId64 ", which it comes before",
                       row->id, model_key_name(key), newest);
        newest = row->inserted > newest_insert ? row->id : newest;
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
            judge_order(lane, key, log->copies[i]);
    }
}

static bool
is_exact(void)
{
    return model.settings.delivery == DELIVERY_EXACTLY_ONCE && !model.switches;
}

static int
compare_beside(const void *left, const void *right)
{
    const struct copy *a = *(const struct copy *const *)left, *b = *(const struct copy *const *)right;
    if (a->row->id != b->row->id)
        return a->row->id < b->row->id ? -1 : 1;
    return a->replay != b->replay ? (a->replay < b->replay ? -1 : 1) : 0;
}

/* What a request asks for comes once, too: copies of dead letters, and what one replay sends again. */
static void
judge_beside(const struct kafka_log *log)
{
    const struct copy **beside = world_alloc((log->count + 1) * sizeof(const struct copy *));
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++)
        if (!cluster_is_first_hand(log->copies[i]) && cluster_shows(log->copies[i]))
            beside[count++] = log->copies[i];
    qsort(beside, count, sizeof(const struct copy *), compare_beside);
    for (size_t i = 1; i < count; i++)
        if (compare_beside(&beside[i - 1], &beside[i]) == 0)
            world_find("P3: exactly once, and event %" PRId64 " is there twice, copied or replayed",
                       beside[i]->row->id);
}

static void
judge_row(const struct row *row)
{
    if (row->copies > 0 && row->by->fate != FATE_COMMITTED)
        world_find("P1: event %" PRId64 " of xid %" PRId64 " was published, and never committed", row->id,
                   row->by->xid);
    if (is_exact() ? row->copies > 1 : row->transactional_copies > 1)
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
            judge_order(lane, key, NULL);
        judge_runs(lane);
        if (is_exact())
            judge_beside(&cluster.logs[lane]);
    }
}
