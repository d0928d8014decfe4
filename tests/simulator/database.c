/* database.c: see database.h. Called by statement.c for the relays and by writers.c for the application. */
#include "simulator/database.h"

#include "simulator/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct database database;

/* As outbox.relay_register() leaves it for the first relay. */
void
database_begin(void)
{
    database = (struct database){.latest_completed = DATABASE_FIRST_XID - 1};
    struct line *boot = world_alloc(sizeof *boot);
    struct transaction *transaction = database_transaction();
    database_assign(transaction);
    *boot = (struct line){
        .holder = "boot", .snapshot = "3:3:", .w = 3, .released = true, .durable = true, .by = transaction};
    boot->nonce = world_between(1, INT64_MAX - 1);
    boot->written_at_us = database_clock_us();
    database_append(boot);
    database_commit(transaction);
}

int64_t
database_clock_us(void)
{
    return world.now_us + WORLD_WALL_US + database.wall_us;
}

/* A value that nobody has flushed is forgotten; those that were logged ahead are jumped over. */
void
database_crash(void)
{
    for (size_t i = database.oldest; i < database.transactions_count; i++)
        if (database.transactions[i]->fate == FATE_RUNNING)
            database_abort(database.transactions[i]);
    database.sequence = database.sequence_logged = database.sequence_flushed;
    while (database.rows_count > 0 && database.rows[database.rows_count - 1]->id > database.sequence) {
        CHECK(database.rows[database.rows_count - 1]->by->fate == FATE_ABORTED);
        database.rows_count--;
    }
    if (database.ticked > database.rows_count)
        database.ticked = database.rows_count;
    while (database.lines_count > 0) {
        const struct line *line = database.lines[database.lines_count - 1];
        if (line != NULL && line->by->fate == FATE_COMMITTED)
            break;
        database.lines_count--;
    }
    database.incarnation++;
}

/* ---- transactions ---- */

struct transaction *
database_transaction(void)
{
    return world_alloc(sizeof(struct transaction));
}

int64_t
database_next_xid(void)
{
    return DATABASE_FIRST_XID + (int64_t)database.transactions_count;
}

void
database_assign(struct transaction *transaction)
{
    if (transaction->xid != 0)
        return;
    transaction->xid = database_next_xid();
    database.transactions =
        world_grow(database.transactions, database.transactions_count, &database.transactions_capacity);
    database.transactions[database.transactions_count++] = transaction;
}

static void
end(struct transaction *transaction, enum fate fate)
{
    transaction->fate = fate;
    transaction->ended = ++world.order;
    if (transaction->xid > database.latest_completed)
        database.latest_completed = transaction->xid;
    while (database.oldest < database.transactions_count &&
           database.transactions[database.oldest]->fate != FATE_RUNNING)
        database.oldest++;
}

void
database_commit(struct transaction *transaction)
{
    if (transaction->xid != 0)
        database.sequence_flushed = database.sequence_logged;
    end(transaction, FATE_COMMITTED);
}

void
database_abort(struct transaction *transaction)
{
    end(transaction, FATE_ABORTED);
}

/* ---- events ---- */

struct row *
database_insert(struct transaction *transaction, int topic, int key, size_t payload_size)
{
    struct row *row = world_alloc(sizeof *row);
    CHECK(transaction->xid != 0 && transaction->fate == FATE_RUNNING);
    if (database.sequence == database.sequence_logged)
        database.sequence_logged = database.sequence + model.sequence_log;
    *row = (struct row){.id = ++database.sequence,
                        .by = transaction,
                        .topic = topic,
                        .key = key,
                        .payload_size = payload_size,
                        .inserted = ++world.order,
                        .created_at_us = database_clock_us()};
    *(transaction->last != NULL ? &transaction->last->next : &transaction->first) = row;
    transaction->last = row;
    database.rows = world_grow(database.rows, database.rows_count, &database.rows_capacity);
    database.rows[database.rows_count++] = row;
    return row;
}

size_t
database_above(int64_t id)
{
    size_t low = 0, high = database.rows_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (database.rows[middle]->id > id)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct row *
database_find(int64_t id)
{
    size_t at = database_above(id - 1);
    return at < database.rows_count && database.rows[at]->id == id ? database.rows[at] : NULL;
}

/* ---- snapshots ---- */

void
database_snapshot(struct pg_snapshot *snapshot)
{
    snapshot->xmax = database.latest_completed + 1;
    snapshot->xmin = snapshot->xmax;
    snapshot->count = 0;
    for (size_t i = database.oldest; i < database.transactions_count; i++) {
        const struct transaction *transaction = database.transactions[i];
        if (transaction->xid >= snapshot->xmax)
            break;
        if (transaction->fate != FATE_RUNNING)
            continue;
        CHECK(snapshot->count < SNAPSHOT_XIPS);
        if (snapshot->count == 0)
            snapshot->xmin = transaction->xid;
        snapshot->xip[snapshot->count++] = transaction->xid;
    }
}

void
snapshot_print(const struct pg_snapshot *snapshot, char text[SNAPSHOT_TEXT_SIZE])
{
    int used = snprintf(text, SNAPSHOT_TEXT_SIZE, "%" PRId64 ":%" PRId64 ":", snapshot->xmin, snapshot->xmax);
    for (size_t i = 0; i < snapshot->count; i++)
        used += snprintf(text + used, (size_t)(SNAPSHOT_TEXT_SIZE - used), "%s%" PRId64, i > 0 ? "," : "",
                         snapshot->xip[i]);
}

void
snapshot_parse(struct pg_snapshot *snapshot, const char *text)
{
    char *at;
    snapshot->count = 0;
    snapshot->xmin = strtoll(text, &at, 10);
    CHECK(*at == ':');
    snapshot->xmax = strtoll(at + 1, &at, 10);
    CHECK(*at == ':');
    while (*at != '\0' && at[1] != '\0' && snapshot->count < SNAPSHOT_XIPS)
        snapshot->xip[snapshot->count++] = strtoll(at + 1, &at, 10);
}

bool
snapshot_shows(const struct pg_snapshot *snapshot, int64_t xid)
{
    if (xid < snapshot->xmin)
        return true;
    if (xid >= snapshot->xmax)
        return false;
    for (size_t i = 0; i < snapshot->count; i++)
        if (snapshot->xip[i] == xid)
            return false;
    return true;
}

bool
snapshot_sees(const struct pg_snapshot *snapshot, const struct transaction *transaction)
{
    return transaction->fate == FATE_COMMITTED && snapshot_shows(snapshot, transaction->xid);
}

/* ---- the journal ---- */

const struct line *
database_newest(const struct pg_snapshot *snapshot)
{
    for (size_t i = database.lines_count; i-- > 0;)
        if (database.lines[i] != NULL && snapshot_sees(snapshot, database.lines[i]->by))
            return database.lines[i];
    return NULL;
}

void
database_append(struct line *line)
{
    CHECK(line->seq == (int64_t)database.lines_count);
    database.lines = world_grow(database.lines, database.lines_count, &database.lines_capacity);
    database.lines[database.lines_count++] = line;
}

void
database_name_ticks(const struct line *line)
{
    struct pg_snapshot snapshot;
    if (line->snapshot == database.snapshot)
        return;
    database.snapshot = line->snapshot;
    snapshot_parse(&snapshot, line->snapshot);
    for (size_t i = database.ticked; i < database.rows_count; i++) {
        struct row *row = database.rows[i];
        if (row->tick == 0 && row->by->fate == FATE_COMMITTED && snapshot_shows(&snapshot, row->by->xid))
            row->tick = line->seq;
    }
    while (database.ticked < database.rows_count &&
           (database.rows[database.ticked]->tick != 0 ||
            database.rows[database.ticked]->by->fate == FATE_ABORTED))
        database.ticked++;
}

int64_t
database_trim(int64_t low, bool (*named)(int64_t seq))
{
    struct pg_snapshot now;
    database_snapshot(&now);
    const struct line *newest = database_newest(&now);
    if (newest == NULL)
        return low;
    for (int64_t seq = 0; seq < newest->confirmed.seq; seq++)
        if (!named(seq))
            database.lines[seq] = NULL;
    return newest->confirmed.seq > low ? newest->confirmed.seq : low;
}
