/* load_writer.c: one ugly writer: its connection, its transactions and how they end (load.h). */
#include "support/load_writer.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS_IN_TRANSACTION 5
#define LONG_TRANSACTION_US 10000000

uint64_t
writer_random(struct writer *writer)
{
    uint64_t x = writer->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    writer->random = x;
    return x * UINT64_C(2685821657736338717);
}

int
writer_draw(struct writer *writer, int limit)
{
    return (int)((writer_random(writer) >> 33) % (uint64_t)limit);
}

bool
writer_chance(struct writer *writer, int percent)
{
    return writer_draw(writer, 100) < percent;
}

void
writer_dawdle(struct writer *writer, int limit_us)
{
    int64_t end_us = clock_monotonic_us() + writer_draw(writer, limit_us + 1);
    for (int64_t left_us; !writer->load->stop && (left_us = end_us - clock_monotonic_us()) > 0;)
        nanosleep(&(struct timespec){.tv_nsec = (left_us < 20000 ? left_us : 20000) * 1000}, NULL);
}

/* What a load that kills its own backends and locks hot rows must expect; 42704 is a prepared transaction that was lost with the primary, for
 * the writer did not wait for the standby. */
static bool
failure_is_expected(const PGconn *connection, const PGresult *result)
{
    static const char *const expected[] = {"57P0", "40P01", "40001", "55P03", "53", "08", "25P03", "42704"};
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == NULL)
        return PQstatus(connection) == CONNECTION_BAD;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strncmp(sqlstate, expected[i], strlen(expected[i])) == 0)
            return true;
    return false;
}

static bool
result_good(struct writer *writer, const char *sql, const PGresult *result, int64_t *value)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_COPY_IN || status == PGRES_TUPLES_OK) {
        if (value != NULL && PQntuples(result) > 0)
            *value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        return true;
    }
    if (!failure_is_expected(writer->connection, result))
        test_fail("load: %.300s: %s", sql ? sql : "copy", PQerrorMessage(writer->connection));
    return false;
}

bool
writer_run(struct writer *writer, const char *sql, int64_t *value)
{
    /* no SQL: the end of a COPY */
    PGresult *result = sql ? PQexec(writer->connection, sql) : PQgetResult(writer->connection);
    bool good = result_good(writer, sql, result, value);
    PQclear(result);
    while (sql == NULL && (result = PQgetResult(writer->connection)) != NULL)
        PQclear(result);
    return good;
}

static void
ignore_notice(void *context, const char *message)
{
    (void)context, (void)message; /* being killed is what these sessions are for */
}

static bool
session_prepare(struct writer *writer)
{
    /* the long transaction goes by another name: the killer would hardly ever let it reach its end */
    bool long_one = writer == &writer->load->long_writer;
    PQsetNoticeProcessor(writer->connection, ignore_notice, NULL);
    return writer_run(writer,
                      long_one ? "set application_name = 'load-long'"
                               : "set application_name = 'load-writer'",
                      NULL) &&
           writer_run(writer, "set lock_timeout = '3s'", NULL) &&
           (!writer_chance(writer, 40) || writer_run(writer, "set synchronous_commit = off", NULL));
}

bool
writer_connect(struct writer *writer)
{
    if (writer->connection != NULL && PQstatus(writer->connection) == CONNECTION_OK)
        return true;
    while (!writer->load->stop) {
        PQfinish(writer->connection);
        writer->connection = PQconnectdb(writer->load->options.writer);
        if (PQstatus(writer->connection) == CONNECTION_OK && session_prepare(writer))
            return true;
        writer_dawdle(writer, 100000);
    }
    return false;
}

static void
transaction_undo(struct writer *writer)
{
    if (PQstatus(writer->connection) == CONNECTION_OK &&
        PQtransactionStatus(writer->connection) != PQTRANS_IDLE)
        writer_run(writer, "rollback", NULL);
}

static void
count_committed(struct writer *writer)
{
    writer->totals.committed++;
    atomic_fetch_add(&writer->load->committed_events, writer->emitted_in_transaction);
}

/* Two-phase commit, with the second phase a while later, or left to load_stop(). */
static bool
transaction_prepare(struct writer *writer, bool orphan)
{
    char gid[64], sql[128];
    snprintf(gid, sizeof gid, "load-%d-%d-%" PRIu64, (int)getpid(), writer->number,
             ++writer->prepared_so_far);
    snprintf(sql, sizeof sql, "prepare transaction '%s'", gid);
    if (!writer_run(writer, sql, NULL))
        return false;
    writer->totals.prepared++;
    if (orphan)
        return true;
    writer_dawdle(writer, 1500000);
    bool commit = !writer_chance(writer, 20);
    snprintf(sql, sizeof sql, "%s prepared '%s'", commit ? "commit" : "rollback", gid);
    if (!writer_run(writer, sql, NULL))
        return false; /* killed: load_stop() finds it */
    if (commit)
        count_committed(writer);
    return true;
}

static bool
transaction_end(struct writer *writer, bool orphan)
{
    bool two_phases = !writer->load->options.no_prepared && (orphan || writer_chance(writer, 4));
    if (writer_chance(writer, 30))
        writer_dawdle(writer, 50000);
    if (two_phases)
        return transaction_prepare(writer, orphan);
    if (writer_chance(writer, 8)) {
        writer->totals.rolled_back++;
        return writer_run(writer, "rollback", NULL);
    }
    if (!writer_run(writer, "commit", NULL))
        return false;
    count_committed(writer);
    return true;
}

static int
draw_rows(struct writer *writer)
{
    int kind = writer_draw(writer, 200);
    return kind == 0 ? 2000 : kind < 20 ? 50 : 1 + writer_draw(writer, 5);
}

/* Lock the row, then emit: the order that P2 promises to keep. */
static bool
change_then_emit(struct writer *writer, int key, int rows)
{
    char sql[128];
    int64_t counter = 0;
    snprintf(sql, sizeof sql, "update load.counter set n = n + %d where key = %d returning n - %d", rows, key,
             rows - 1);
    if (!writer_run(writer, sql, &counter))
        return false;
    if (writer_chance(writer, 10))
        writer_dawdle(writer, 20000);
    return writer_emit(writer, key, rows, counter);
}

/* Emit, then lock: only what had committed before the insert comes first. */
static bool
emit_then_change(struct writer *writer, int key, int rows)
{
    char sql[128];
    snprintf(sql, sizeof sql, "update load.counter set n = n + 1 where key = %d", key);
    return writer_emit(writer, key, rows, 0) && writer_run(writer, sql, NULL);
}

static bool
transaction_body(struct writer *writer)
{
    bool emit_first = writer_chance(writer, 10);
    int keys = writer->load->options.keys, count = writer_chance(writer, 60) ? 1 : 2 + writer_draw(writer, 4);
    int stride = keys / KEYS_IN_TRANSACTION;
    /* key 0, the empty one, is hot */
    int key = writer_chance(writer, 10) ? 0 : writer_draw(writer, stride > 0 ? stride : 1);
    if (writer_chance(writer, 50) && !writer_run(writer, "select pg_current_xact_id()", NULL))
        return false; /* an xid long before the first event */
    if (writer_chance(writer, 30))
        writer_dawdle(writer, 30000);
    /* ascending keys: this load is ugly, but deadlocks only waste its time */
    for (; count > 0 && key < keys; count--, key += 1 + writer_draw(writer, stride > 0 ? stride : 1)) {
        int rows = draw_rows(writer);
        if (!(emit_first ? emit_then_change(writer, key, rows) : change_then_emit(writer, key, rows)))
            return false;
    }
    return !writer_chance(writer, 10) || writer_emit_keyless(writer);
}

void
writer_transaction(struct writer *writer)
{
    /* one in 400 prepares and walks away; it holds no lock, or it would stop its keys for good */
    bool orphan = !writer->load->options.no_prepared && writer_draw(writer, 400) == 0;
    writer->emitted_in_transaction = 0;
    bool done = writer_run(writer, "begin", NULL) &&
                (orphan ? writer_emit_keyless(writer) : transaction_body(writer)) &&
                transaction_end(writer, orphan);
    writer->totals.emitted += writer->emitted_in_transaction;
    if (done)
        return;
    writer->totals.failed++;
    transaction_undo(writer);
}

void
writer_long_transaction(struct writer *writer)
{
    int64_t end_us = clock_monotonic_us() + writer_draw(writer, LONG_TRANSACTION_US);
    writer->emitted_in_transaction = 0;
    bool going = writer_run(writer, "begin", NULL);
    while (going && !writer->load->stop && clock_monotonic_us() < end_us) {
        going = change_then_emit(writer, LOAD_KEYS_MAX, 1);
        writer_dawdle(writer, 100000);
    }
    if (going && writer_run(writer, "commit", NULL))
        count_committed(writer);
    else
        writer->totals.failed++;
    writer->totals.emitted += writer->emitted_in_transaction;
    transaction_undo(writer);
}
