/* wire.c: runs the library's own statements, within the unit's deadline: plainly when there is none, else without blocking.
 * The server ends a late statement by itself (statement_timeout, set by unit.c); what is still silent a second after that is
 * cut off, which rolls back. Called by every file that talks to Postgres; knows nothing of units beyond deadline and watch. */
#include "client/client.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* The server's own time-out gets this long to be heard: then the connection lives on. */
#define GRACE_US INT64_C(1000000)

/* False: the time is over. */
static bool
wait_for(PGconn *connection, short events, int64_t until_us)
{
    for (;;) {
        int64_t left_us = until_us - clock_monotonic_us();
        struct pollfd socket = {.fd = PQsocket(connection), .events = events};
        int ready = poll(&socket, 1,
                         left_us <= 0         ? 0
                         : left_us > 60000000 ? 60000
                                              : (int)(left_us / 1000) + 1);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
        if (ready == 0 && left_us <= 0)
            return false;
    }
}

/* False: late. A lost connection ends the loop too; the caller sees it by PQstatus. */
static bool
flush_until(PGconn *connection, int64_t until_us)
{
    while (PQflush(connection) == 1) {
        if (!wait_for(connection, POLLIN | POLLOUT, until_us))
            return false;
        if (!PQconsumeInput(connection))
            return true;
    }
    return true;
}

static bool
answer_until(PGconn *connection, int64_t until_us)
{
    while (PQisBusy(connection)) {
        if (!wait_for(connection, POLLIN, until_us))
            return false;
        if (!PQconsumeInput(connection))
            return true;
    }
    return true;
}

/* Reads the rest of a COPY TO, however much it is: what follows it may be a COMMIT. */
static bool
skip_copy(PGconn *connection, int64_t until_us)
{
    char *row;
    int size;
    while ((size = PQgetCopyData(connection, &row, 1)) >= 0) {
        if (size > 0)
            PQfreemem(row);
        else if (!wait_for(connection, POLLIN, until_us) || !PQconsumeInput(connection))
            return false;
        if (clock_monotonic_us() >= until_us)
            return false;
    }
    return size == -1;
}

static bool
drain_results(PGconn *connection, int64_t until_us)
{
    while (PQtransactionStatus(connection) == PQTRANS_ACTIVE && clock_monotonic_us() < until_us) {
        PGresult *result = answer_until(connection, until_us) ? PQgetResult(connection) : NULL;
        ExecStatusType status = PQresultStatus(result);
        if (result == NULL)
            break;
        PQclear(result);
        if (status == PGRES_COPY_BOTH || (status == PGRES_COPY_OUT && !skip_copy(connection, until_us)))
            return false;
        if (status == PGRES_COPY_IN && PQputCopyEnd(connection, "liboutbox: the COPY was not ended") != 1)
            return false;
    }
    return PQtransactionStatus(connection) != PQTRANS_ACTIVE;
}

/* In a pipeline every statement's results end in a NULL; two of them are the end of everything. */
static bool
drain_pipeline(PGconn *connection, int64_t until_us)
{
    if (!PQpipelineSync(connection) || !flush_until(connection, until_us))
        return false;
    for (int ends = 0; ends < 2 && clock_monotonic_us() < until_us;) {
        if (!answer_until(connection, until_us))
            return false;
        PGresult *result = PQgetResult(connection);
        ExecStatusType status = PQresultStatus(result);
        ends = result == NULL ? ends + 1 : 0;
        PQclear(result);
        if (PQstatus(connection) != CONNECTION_OK || status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
            return false;
    }
    return PQexitPipelineMode(connection) == 1;
}

bool
wire_drain(struct outbox_unit *unit)
{
    PGconn *connection = unit->connection;
    bool bounded = unit->deadline_us != CLOCK_NEVER, was_nonblocking = PQisnonblocking(connection) != 0;
    int64_t now_us = clock_monotonic_us(),
            until_us =
                bounded ? (now_us > unit->deadline_us ? now_us : unit->deadline_us) + GRACE_US : CLOCK_NEVER;
    PQsetnonblocking(connection, 1);
    bool piped = PQpipelineStatus(connection) != PQ_PIPELINE_OFF;
    bool done = piped ? drain_pipeline(connection, until_us)
                      : flush_until(connection, until_us) && drain_results(connection, until_us);
    PQsetnonblocking(connection, was_nonblocking);
    return done && PQstatus(connection) == CONNECTION_OK;
}

static bool
is_copy(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Takes all results of what was sent and keeps the last; stops at a COPY, whose data the caller sends or reads. */
static bool
take_results(PGconn *connection, int64_t until_us, PGresult **last)
{
    for (;;) {
        if (!answer_until(connection, until_us))
            return false;
        PGresult *next = PQgetResult(connection);
        if (next == NULL)
            return true;
        PQclear(*last);
        *last = next;
        if (is_copy(next) || PQstatus(connection) != CONNECTION_OK)
            return true;
    }
}

static PGresult *
run_until(PGconn *connection, const struct statement *s, int64_t until_us, bool *late)
{
    bool was_nonblocking = PQisnonblocking(connection) != 0;
    PGresult *result = NULL;
    PQsetnonblocking(connection, 1);
    int sent = s->values == NULL ? PQsendQuery(connection, s->sql)
                                 : PQsendQueryParams(connection, s->sql, s->count, s->types, s->values,
                                                     s->lengths, s->formats, 0);
    *late = sent && !(flush_until(connection, until_us) && take_results(connection, until_us, &result));
    PQsetnonblocking(connection, was_nonblocking);
    return result;
}

static PGresult *
run_plainly(PGconn *connection, const struct statement *s)
{
    return s->values == NULL
               ? PQexec(connection, s->sql)
               : PQexecParams(connection, s->sql, s->count, s->types, s->values, s->lengths, s->formats, 0);
}

bool
wire_fail_late(struct outbox_error *error)
{
    return failure_set(error, OUTBOX_ERROR_TIMEOUT, "the deadline of the unit has passed");
}

bool
wire_ended_late(const struct outbox_unit *unit, const char *sqlstate)
{
    return strcmp(sqlstate, "57014") == 0 && clock_monotonic_us() >= unit->deadline_us;
}

bool
wire_fail(struct outbox_unit *unit, const PGresult *result, struct outbox_error *error)
{
    failure_of_result(error, unit->connection, result);
    return wire_ended_late(unit, error->sqlstate) ? wire_fail_late(error) : false;
}

PGresult *
wire_run(struct outbox_unit *unit, const struct statement *statement, struct outbox_error *error)
{
    PGconn *connection = unit->connection;
    bool late = false, bounded = unit->deadline_us != CLOCK_NEVER;
    if (bounded && clock_monotonic_us() >= unit->deadline_us) {
        wire_fail_late(error);
        return NULL;
    }
    unit->watch->ours = !statement->theirs;
    PGresult *result = bounded ? run_until(connection, statement, unit->deadline_us + GRACE_US, &late)
                               : run_plainly(connection, statement);
    unit->watch->ours = false;
    if (!late && result != NULL && PQstatus(connection) == CONNECTION_OK)
        return result;
    if (late) {
        wire_cut(connection);
        wire_fail_late(error);
    } else {
        failure_of_result(error, connection, result);
    }
    PQclear(result);
    return NULL;
}

bool
wire_must(struct outbox_unit *unit, const struct statement *statement, PGresult **result,
          struct outbox_error *error)
{
    PGresult *answer = wire_run(unit, statement, error);
    if (answer == NULL)
        return false;
    ExecStatusType status = PQresultStatus(answer);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || is_copy(answer)) {
        if (result != NULL)
            *result = answer;
        else
            PQclear(answer);
        return true;
    }
    if (status == PGRES_EMPTY_QUERY)
        failure_set(error, OUTBOX_ERROR_USAGE, "the statement is empty");
    else
        wire_fail(unit, answer, error);
    PQclear(answer);
    return false;
}

/* PQputCopyData and PQputCopyEnd answer 0 when their buffer is full, which happens only without blocking. */
static bool
put_until(PGconn *connection, const char *data, size_t size, const char *abort, int64_t until_us, bool *late)
{
    for (;;) {
        int put = data != NULL ? PQputCopyData(connection, data, (int)size) : PQputCopyEnd(connection, abort);
        if (put != 0)
            return put > 0;
        *late = !wait_for(connection, POLLIN | POLLOUT, until_us);
        if (*late || !PQconsumeInput(connection))
            return false;
    }
}

static bool
copy(struct outbox_unit *unit, const char *data, size_t size, const char *abort, PGresult **result,
     struct outbox_error *error)
{
    PGconn *connection = unit->connection;
    bool bounded = unit->deadline_us != CLOCK_NEVER, late = false;
    bool was_nonblocking = PQisnonblocking(connection) != 0;
    int64_t until_us = bounded ? unit->deadline_us + GRACE_US : CLOCK_NEVER;
    unit->watch->ours = true;
    if (bounded)
        PQsetnonblocking(connection, 1);
    late = clock_monotonic_us() >= until_us;
    bool done = !late && put_until(connection, data, size, abort, until_us, &late);
    if (done) { /* also without a deadline: the application may have left the connection non-blocking */
        late = !flush_until(connection, until_us);
        done = !late;
    }
    if (data == NULL && done) {
        late = !take_results(connection, until_us, result);
        done = !late;
    }
    if (bounded)
        PQsetnonblocking(connection, was_nonblocking);
    unit->watch->ours = false;
    if (done)
        return true;
    if (late) {
        wire_cut(connection);
        return wire_fail_late(error);
    }
    return failure_of_result(error, connection, NULL);
}

bool
wire_copy(struct outbox_unit *unit, const char *data, size_t size, struct outbox_error *error)
{
    return copy(unit, data, size, NULL, NULL, error);
}

bool
wire_copy_end(struct outbox_unit *unit, const char *abort, PGresult **result, struct outbox_error *error)
{
    *result = NULL;
    if (!copy(unit, NULL, 0, abort, result, error))
        return false;
    if (*result != NULL && PQstatus(unit->connection) == CONNECTION_OK)
        return true;
    failure_of_result(error, unit->connection, *result);
    PQclear(*result);
    *result = NULL;
    return false;
}

void
wire_cut(PGconn *connection)
{
    int socket = PQsocket(connection);
    if (socket >= 0)
        shutdown(socket, SHUT_RDWR);
    /* what had arrived before is read first; then libpq sees the end */
    while (PQstatus(connection) == CONNECTION_OK && PQconsumeInput(connection))
        ;
}
