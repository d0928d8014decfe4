/* backlog.c: see backlog.h. Called by relay/backlog.c; the SQL is in statements.h. */
#include "postgres/backlog.h"

#include "postgres/cells.h"
#include "postgres/numbers.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Somebody may have paused the relay in order to work at the tables, and heartbeats wait behind this. */
#define SQL_HARDLY_WAIT "set local lock_timeout = 100; "

void
backlog_ask(struct session *session, const char *relay, struct journal_position confirmed, int64_t now_us)
{
    char *name = PQescapeLiteral(session_connection(session), relay, strlen(relay));
    char *sql = must_format(SQL_HARDLY_WAIT "execute outboxd_backlog(%s, %" PRId64 ", %" PRId64 ")",
                            name != NULL ? name : "null", confirmed.seq, confirmed.id);
    session_ask(session, sql, now_us);
    free(sql);
    PQfreemem(name);
}

bool
backlog_read(struct session *session, int64_t *oldest_us, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot look for what waits");
    *oldest_us = cell_number(result, 0, 0);
    PQclear(result);
    return true;
}
