/* fate.c: what became of a transaction whose COMMIT was not answered. Called by applications after OUTBOX_ERROR_UNKNOWN, on
 * a connection that works again. */
#include "client/client.h"

#include <inttypes.h>
#include <stdio.h>

static enum outbox_fate
read_fate(const PGresult *result)
{
    const char *said = PQgetvalue(result, 0, 0); /* "" for NULL: older than what the server remembers */
    return strcmp(said, "committed") == 0     ? OUTBOX_FATE_COMMITTED
           : strcmp(said, "aborted") == 0     ? OUTBOX_FATE_ROLLED_BACK
           : strcmp(said, "in progress") == 0 ? OUTBOX_FATE_IN_PROGRESS
                                              : OUTBOX_FATE_FORGOTTEN;
}

bool
outbox_was_committed(PGconn *connection, uint64_t xid, enum outbox_fate *fate, struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (fate == NULL)
        return failure_missing(error, "fate");
    if (xid == 0)
        return failure_set(error, OUTBOX_ERROR_USAGE, "0 is no transaction");
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, xid);
    const char *values[] = {number};
    PGresult *result =
        PQexecParams(connection, "select pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8)", 1,
                     NULL, values, NULL, NULL, 0);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool answered = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (answered)
        *fate = read_fate(result);
    else if (sqlstate != NULL && strcmp(sqlstate, "22023") == 0) /* "is in the future": another history */
        *fate = OUTBOX_FATE_FORGOTTEN;
    else
        failure_of_result(error, connection, result);
    bool done = answered || (sqlstate != NULL && strcmp(sqlstate, "22023") == 0);
    PQclear(result);
    return done;
}

const char *
outbox_version(void)
{
    return OUTBOXD_VERSION;
}
