/* unit.c: the life of a unit of work: begin, is it still what it was, commit, roll back. The states are drawn in client.h; only
 * the functions here change them. Called by applications and by run.c; never calls the work.
 *
 * How an end behind the unit's back is seen: watch.c reads the tag of every result, so COMMIT is known at once. The tag ROLLBACK
 * may have been one to a savepoint; then the next call asks for a setting that was made for this transaction alone. */
#include "client/client.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* A late rollback may wait so much longer (and wire.c's grace); then the connection is cut, which rolls back too. */
#define ROLLBACK_PATIENCE_US INT64_C(500000)

/* ---- edges ---- */

void
unit_doom(struct outbox_unit *unit, const struct outbox_error *why)
{
    if (unit->state != UNIT_OPEN)
        return;
    unit->state = UNIT_DOOMED;
    unit->doomed_depth = unit->depth;
    unit->why = *why;
}

void
unit_heal(struct outbox_unit *unit)
{
    if (unit->state == UNIT_DOOMED && unit->doomed_depth > unit->depth)
        unit->state = UNIT_OPEN;
}

/* After these something may be committed. */
static bool
warns(enum outbox_error_kind kind)
{
    return kind == OUTBOX_ERROR_BROKEN || kind == OUTBOX_ERROR_UNKNOWN;
}

void
unit_end(struct outbox_unit *unit, const struct outbox_error *why)
{
    if (unit->state == UNIT_ENDED && (warns(unit->why.kind) || !warns(why->kind)))
        return;
    unit->state = UNIT_ENDED;
    unit->why = *why;
}

void
unit_end_for(struct outbox_unit *unit, enum outbox_error_kind kind, const char *why)
{
    struct outbox_error error;
    failure_set(&error, kind, "%s", why);
    error.xid = kind == OUTBOX_ERROR_UNKNOWN ? unit->xid : 0;
    unit_end(unit, &error);
}

void
unit_note_end(struct outbox_unit *unit, bool lost)
{
    if (lost || PQstatus(unit->connection) != CONNECTION_OK)
        unit_end_for(unit, OUTBOX_ERROR_CONNECTION,
                     "the connection is lost, and the transaction rolled back");
    else if (unit->state != UNIT_ENDED && PQtransactionStatus(unit->connection) == PQTRANS_IDLE)
        unit_end_for(unit, OUTBOX_ERROR_BROKEN,
                     "the work rolled the transaction back, and the unit has ended");
}

/* ---- is it usable ---- */

static bool
same_transaction(struct outbox_unit *unit, struct outbox_error *error)
{
    struct statement look = {.sql = "select pg_catalog.current_setting('outbox.unit', true)"};
    PGresult *result;
    if (!wire_must(unit, &look, &result, error))
        return false;
    bool same = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "open") == 0;
    PQclear(result);
    if (!same)
        unit_end_for(unit, OUTBOX_ERROR_BROKEN, "the work rolled the transaction back and began another one");
    unit->rolled_back = false;
    unit->strayed = unit->strayed && !same;
    return same;
}

static bool
fail_with(struct outbox_error *error, const struct outbox_error *why)
{
    *error = *why;
    return false;
}

static bool
fail_refused(const struct outbox_unit *unit, struct outbox_error *error)
{
    if (unit->refused.kind == OUTBOX_ERROR_NONE)
        return failure_set(error, OUTBOX_ERROR_SQL, "a statement had failed, and the transaction with it");
    *error = unit->refused;
    return failure_prefix(error, "a statement had failed, and the transaction with it: ");
}

bool
unit_usable(struct outbox_unit *unit, struct outbox_error *error)
{
    if (unit == NULL)
        return failure_missing(error, "unit");
    if (unit->state == UNIT_OPEN)
        unit_note_end(unit, false);
    if (unit->state != UNIT_OPEN)
        return fail_with(error, &unit->why);
    if (PQpipelineStatus(unit->connection) != PQ_PIPELINE_OFF)
        return failure_set(error, OUTBOX_ERROR_USAGE, "the work left the connection in pipeline mode");
    switch (PQtransactionStatus(unit->connection)) {
    case PQTRANS_INTRANS:
        if (!unit->rolled_back || same_transaction(unit, error))
            return true;
        return unit->state == UNIT_OPEN ? false : fail_with(error, &unit->why);
    case PQTRANS_INERROR:
        return fail_refused(unit, error);
    case PQTRANS_IDLE: /* noted above */
    case PQTRANS_ACTIVE:
    case PQTRANS_UNKNOWN:
        break;
    }
    return failure_set(error, OUTBOX_ERROR_USAGE,
                       "the work left a statement running on the unit's connection");
}

/* ---- begin ---- */

static bool
check_options(const struct outbox_options *options, struct outbox_error *error)
{
    if ((unsigned)options->isolation > OUTBOX_SERIALIZABLE)
        return failure_set(error, OUTBOX_ERROR_USAGE, "options.isolation: %d is none",
                           (int)options->isolation);
    if (options->attempts < 0 || options->timeout_ms < 0)
        return failure_set(error, OUTBOX_ERROR_USAGE, "options: attempts and timeout_ms cannot be negative");
    if (options->deferrable && !(options->read_only && options->isolation == OUTBOX_SERIALIZABLE))
        return failure_set(error, OUTBOX_ERROR_USAGE,
                           "options.deferrable needs read_only and OUTBOX_SERIALIZABLE");
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != NULL)
            return failure_set(error, OUTBOX_ERROR_USAGE, "options.reserved is not zero");
    return true;
}

static bool
check_connection(PGconn *connection, const struct watch *watch, struct outbox_error *error)
{
    if (watch->unit != NULL)
        return failure_set(error, OUTBOX_ERROR_USAGE,
                           "a unit is open on this connection; outbox_run joins it");
    if (PQstatus(connection) != CONNECTION_OK)
        return failure_of_result(error, connection, NULL);
    if (PQtransactionStatus(connection) != PQTRANS_IDLE || PQpipelineStatus(connection) != PQ_PIPELINE_OFF)
        return failure_set(error, OUTBOX_ERROR_USAGE,
                           "the connection is busy, or inside a transaction that was not begun by a unit");
    return true;
}

/* One round trip. The setting marks this transaction; it and the time-out end with it. */
static bool
send_begin(struct outbox_unit *unit, struct outbox_error *error)
{
    static const char *const levels[] = {"", " isolation level read committed",
                                         " isolation level repeatable read", " isolation level serializable"};
    const struct outbox_options *options = &unit->options;
    char timeout[64] = "";
    if (unit->deadline_us != CLOCK_NEVER) {
        /* rounded up: what the server ends is late by our clock too */
        int64_t left_ms = (unit->deadline_us - clock_monotonic_us()) / 1000 + 1;
        snprintf(timeout, sizeof timeout, "; set local statement_timeout = %lld",
                 (long long)(left_ms > 0 ? left_ms : 1));
    }
    char sql[256];
    snprintf(sql, sizeof sql, "begin%s%s%s; set local outbox.unit = 'open'%s", levels[options->isolation],
             options->read_only ? " read only" : "", options->deferrable ? " deferrable" : "", timeout);
    return wire_must(unit, &(struct statement){.sql = sql}, NULL, error);
}

struct outbox_unit *
unit_begin(PGconn *connection, const struct outbox_options *options, int64_t deadline_us,
           struct outbox_error *error)
{
    static const struct outbox_options defaults;
    if (connection == NULL) {
        failure_set(error, OUTBOX_ERROR_CONNECTION, "there is no connection");
        return NULL;
    }
    struct watch *watch = watch_make(connection);
    struct outbox_unit *unit = calloc(1, sizeof *unit);
    if (watch == NULL || unit == NULL) {
        failure_set(error, OUTBOX_ERROR_MEMORY, "no memory for a unit");
        goto failed;
    }
    *unit = (struct outbox_unit){.connection = connection,
                                 .watch = watch,
                                 .options = options != NULL ? *options : defaults,
                                 .deadline_us = deadline_us};
    if (!check_options(&unit->options, error) || !check_connection(connection, watch, error))
        goto failed;
    if (send_begin(unit, error)) {
        watch->unit = unit; /* not before BEGIN, as it is detached before COMMIT */
        return unit;
    }
    outbox_rollback(unit);
    return NULL;
failed:
    free(unit);
    return NULL;
}

struct outbox_unit *
outbox_begin(PGconn *connection, const struct outbox_options *options, struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    int64_t deadline_us = CLOCK_NEVER;
    if (options != NULL && options->timeout_ms > 0)
        deadline_us = clock_monotonic_us() + (int64_t)options->timeout_ms * 1000;
    return unit_begin(connection, options, deadline_us, error);
}

/* ---- the end ---- */

/* Before the last statement, not behind it: a thread that is cancelled there leaves no unit that others would join. */
static void
detach(struct outbox_unit *unit)
{
    if (unit->watch != NULL)
        unit->watch->unit = NULL;
}

/* The pointer is still in use by whoever called the work. */
static bool
inside_a_work(struct outbox_unit *unit, const char *function, struct outbox_error *error)
{
    if (unit->works == 0)
        return false;
    failure_set(error, OUTBOX_ERROR_USAGE,
                "%s was called inside a work, which says how the unit ends by its answer", function);
    unit_doom(unit, error);
    return true;
}

void
outbox_rollback(struct outbox_unit *unit)
{
    struct outbox_error misuse;
    if (unit == NULL || inside_a_work(unit, "outbox_rollback", &misuse))
        return;
    detach(unit);
    PGconn *connection = unit->connection;
    if (connection != NULL && PQstatus(connection) == CONNECTION_OK &&
        PQtransactionStatus(connection) != PQTRANS_IDLE) {
        int64_t patient_us = clock_monotonic_us() + ROLLBACK_PATIENCE_US;
        if (unit->deadline_us < patient_us)
            unit->deadline_us = patient_us;
        struct statement rollback = {.sql = "rollback"};
        struct outbox_error ignored; /* a transaction that cannot be rolled back dies with its connection */
        if (!wire_drain(unit) || !wire_must(unit, &rollback, NULL, &ignored) ||
            PQtransactionStatus(connection) != PQTRANS_IDLE)
            wire_cut(connection);
    }
    free(unit);
}

/* For OUTBOX_ERROR_UNKNOWN: once the connection is lost it cannot be asked for any more. Known from the first emit on. */
static bool
learn_xid(struct outbox_unit *unit, struct outbox_error *error)
{
    if (unit->xid != 0 || (unit->options.read_only && !unit->may_write))
        return true;
    struct statement look = {.sql = "select pg_catalog.pg_current_xact_id_if_assigned()"};
    PGresult *result;
    if (!wire_must(unit, &look, &result, error))
        return false;
    unit->xid =
        strtoull(PQgetvalue(result, 0, 0), NULL, 10); /* NULL, which is "", when nothing was written */
    PQclear(result);
    return true;
}

/* What a proxy says, or postgres_fdw, when the server behind it did not answer. */
static bool
tells_nothing(const char *sqlstate)
{
    return strncmp(sqlstate, "08", 2) == 0 || strcmp(sqlstate, "40003") == 0;
}

static bool
fail_unknown(struct outbox_unit *unit, struct outbox_error *error)
{
    error->kind = OUTBOX_ERROR_UNKNOWN;
    error->xid = unit->xid;
    return failure_prefix(error, "COMMIT was sent and not answered: ");
}

static bool
send_commit(struct outbox_unit *unit, struct outbox_error *error)
{
    if (clock_monotonic_us() >= unit->deadline_us)
        return wire_fail_late(error); /* not sent: nothing is unknown */
    detach(unit);
    PGresult *result = wire_run(unit, &(struct statement){.sql = "commit"}, error);
    if (result == NULL)
        return unit->xid != 0 ? fail_unknown(unit, error) : false;
    bool committed = PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    if (!committed && PQresultStatus(result) == PGRES_COMMAND_OK)
        failure_set(error, OUTBOX_ERROR_SQL, "COMMIT was answered by %s", PQcmdStatus(result));
    else if (!committed)
        wire_fail(unit, result, error);
    PQclear(result);
    if (!committed && tells_nothing(error->sqlstate) && unit->xid != 0)
        return fail_unknown(unit, error);
    return committed;
}

bool
outbox_commit(struct outbox_unit *unit, struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (unit == NULL)
        return failure_missing(error, "unit");
    if (inside_a_work(unit, "outbox_commit", error))
        return false;
    work_settle(unit);
    if (unit_usable(unit, error) && learn_xid(unit, error) && send_commit(unit, error)) {
        free(unit);
        return true;
    }
    outbox_rollback(unit);
    return false;
}

/* ---- the application's own statements ---- */

PGconn *
outbox_connection(struct outbox_unit *unit)
{
    return unit != NULL ? unit->connection : NULL;
}

bool
outbox_query(struct outbox_unit *unit, const char *sql, int count, const char *const *values,
             PGresult **result, struct outbox_error *error)
{
    static const char *const none[1];
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (unit == NULL || sql == NULL)
        return failure_missing(error, unit == NULL ? "unit" : "sql");
    if (count < 0 || (count > 0 && values == NULL))
        return failure_set(error, OUTBOX_ERROR_USAGE, "count says %d, and there are no values", count);
    struct statement statement = {
        .sql = sql, .count = count, .values = count > 0 ? values : none, .theirs = true};
    return unit_usable(unit, error) && wire_must(unit, &statement, result, error);
}
