/* blockers.c: asks Postgres who is in the way. Called by admin.c while a transaction waits; changes nothing, and whatever it
 * is refused leaves the names out. */
#include "postgres/blockers.h"

#include "postgres/admin.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

/* A prepared transaction has no process: pg_blocking_pids() says 0, and its locks are found by its number, which it holds
 * locked as well. Of its locks on the same object, those that hinder nobody but an access exclusive lock do not count. */
/* clang-format off */
static const char sql_blockers[] =
    "with b as materialized (select distinct unnest(pg_catalog.pg_blocking_pids($1)) as pid),"
    " w as materialized (select * from pg_catalog.pg_locks where pid = $1 and not granted)"
    " select string_agg(who, '; '), bool_and(autovacuum) from ("
    "  select format('process %s (%s%s%s%s); pg_terminate_backend(%1$s) ends it', a.pid,"
    "    coalesce('user ' || quote_ident(a.usename), a.backend_type),"
    "    ', ' || quote_literal(nullif(a.application_name, '')), ', ' || a.state,"
    "    ', its statement began ' || date_trunc('second', clock_timestamp() - a.query_start) || ' ago') as who,"
    "   a.backend_type = 'autovacuum worker' as autovacuum"
    "  from b join pg_catalog.pg_stat_activity a on a.pid = b.pid"
    " union"
    "  select format('the prepared transaction %L of user %I, %s old; rollback prepared %1$L (or commit prepared)"
    " in database %I ends it', p.gid, p.owner, date_trunc('second', clock_timestamp() - p.prepared), p.database), false"
    "  from b, w, pg_catalog.pg_prepared_xacts p"
    "   join pg_catalog.pg_locks x on x.transactionid = p.transaction and x.pid is null and x.granted"
    "   join pg_catalog.pg_locks h on h.virtualtransaction = x.virtualtransaction and h.pid is null and h.granted"
    "  where b.pid = 0 and (h.locktype, h.database, h.relation, h.page, h.tuple, h.transactionid, h.classid, h.objid, h.objsubid)"
    "    is not distinct from (w.locktype, w.database, w.relation, w.page, w.tuple, w.transactionid, w.classid, w.objid, w.objsubid)"
    "   and (w.mode = 'AccessExclusiveLock' or h.mode not in ('AccessShareLock', 'RowShareLock'))) t";
/* clang-format on */

/* Names that came from elsewhere must not steer a terminal. */
static void
take_names(struct blockers *blockers, const char *text)
{
    snprintf(blockers->names, sizeof blockers->names, "%s", text);
    for (char *at = blockers->names; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

void
blockers_look(struct blockers *blockers, const char *conninfo, int backend_pid)
{
    struct error ignored;
    char pid[16];
    if (blockers->connection == NULL &&
        !admin_connect(&blockers->connection, conninfo, "outboxd", &ignored)) {
        blockers->connection = NULL;
        return;
    }
    snprintf(pid, sizeof pid, "%d", backend_pid);
    PGresult *result = PQexecParams(blockers->connection, sql_blockers, 1, (const Oid[]){23},
                                    (const char *const[]){pid}, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && !PQgetisnull(result, 0, 0)) {
        take_names(blockers, PQgetvalue(result, 0, 0));
        blockers->autovacuum = PQgetvalue(result, 0, 1)[0] == 't';
    }
    PQclear(result);
}

void
blockers_close(struct blockers *blockers)
{
    PQfinish(blockers->connection);
    *blockers = (struct blockers){0};
}
