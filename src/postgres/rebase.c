/* rebase.c: calls rebase_plan and rebase of schema/002_relays.sql as the owner of the schema. Called by `outboxd rebase`;
 * decides nothing. */
#include "postgres/rebase_parts.h"

#include "config/secrets.h"
#include "postgres/cells.h"
#include "postgres/failure.h"
#include "postgres/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The lock time-out is that of a look, which is in nobody's way. */
static const char sql_session[] =
    "set search_path = pg_catalog, pg_temp; set default_transaction_isolation = 'read committed';"
    " set default_transaction_read_only = off; set statement_timeout = 0; set lock_timeout = 3000;"
    " set synchronous_commit = on; set client_min_messages = warning";

static const char sql_owner[] =
    "select format('set role %I', pg_get_userbyid(n.nspowner)), pg_get_userbyid(n.nspowner), current_user,"
    " pg_has_role(current_user, n.nspowner, case when current_setting('server_version_num')::integer >= "
    "160000"
    "   then 'set' else 'member' end),"
    " pg_is_in_recovery(), r.rolcanlogin and r.rolname <> current_user"
    " from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'outbox'"
    " and exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'schema_version')";

/* printf arguments: the function, and twice whether the xids mean the same here. */
static const char sql_call[] =
    "with p as materialized (select * from outbox.%s(%s))"
    " select p.needed, p.moved, p.set_back, p.highest, p.renumbered, l.relay, l.wrong,"
    " (select coalesce(sum(u.events), 0) from unnest(p.masks, p.events) u(mask, events) where u.mask & "
    "l.mask "
    "<> 0),"
    " (l.last).exact_seq is not null and not (l.last).released"
    " from p left join outbox.rebase_look(%s) l on true order by l.relay";

static bool
failed(PGconn *connection, PGresult *result, struct error *error)
{
    if (PQstatus(connection) != CONNECTION_OK)
        failure_of_connection(connection, result, "lost the connection", error);
    else
        failure_of_result(result, error);
    if (error->kind == ERROR_INTERNAL)
        error->kind = ERROR_UNUSABLE;
    PQclear(result);
    return false;
}

bool
rebase_accept(struct rebase *rebase, PGresult *result, struct error *error)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_IN)
        return true;
    return failed(rebase->connection, result, error);
}

bool
rebase_ask(struct rebase *rebase, const char *sql, PGresult **result, struct error *error)
{
    *result = PQexec(rebase->connection, sql);
    return rebase_accept(rebase, *result, error);
}

bool
rebase_ask_with(struct rebase *rebase, const char *sql, int count, const char *const *values,
                PGresult **result, struct error *error)
{
    *result = PQexecParams(rebase->connection, sql, count, NULL, values, NULL, NULL, 0);
    return rebase_accept(rebase, *result, error);
}

bool
rebase_tell(struct rebase *rebase, const char *sql, struct error *error)
{
    PGresult *result;
    if (!rebase_ask(rebase, sql, &result, error))
        return false;
    PQclear(result);
    return true;
}

static bool
become_owner(struct rebase *rebase, struct error *error)
{
    PGresult *result;
    if (!rebase_ask(rebase, sql_owner, &result, error))
        return false;
    bool good = PQntuples(result) == 1;
    if (!good)
        error_set(error, ERROR_UNUSABLE, "database \"%s\" has no outbox; `outboxd migrate` makes it",
                  PQdb(rebase->connection));
    else if (PQgetvalue(result, 0, 4)[0] == 't')
        good = error_set(error, ERROR_UNUSABLE, "this server is a standby: connect to the primary");
    else if (PQgetvalue(result, 0, 5)[0] == 't') /* whose functions would run with our rights */
        good =
            error_set(error, ERROR_UNUSABLE, "the schema belongs to \"%s\", which can log in: connect as it",
                      PQgetvalue(result, 0, 1));
    else if (PQgetvalue(result, 0, 3)[0] != 't')
        good = error_set(error, ERROR_UNUSABLE,
                         "role \"%s\" may not act for the owner of the schema: grant \"%s\" to \"%s\"",
                         PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
    else
        good = rebase_tell(rebase, PQgetvalue(result, 0, 0), error);
    PQclear(result);
    return good;
}

static bool
has_functions(struct rebase *rebase, struct error *error)
{
    PGresult *result;
    if (!rebase_ask(rebase, "select version from outbox.schema_version", &result, error))
        return false;
    long version = PQntuples(result) == 1 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return version >= SCHEMA_VERSION ||
           error_set(error, ERROR_UNUSABLE,
                     "the schema is at version %ld, this outboxd needs %d: run outboxd migrate first",
                     version, SCHEMA_VERSION);
}

bool
rebase_open(struct rebase **rebase, const char *conninfo, struct error *error)
{
    PGconn *connection;
    *rebase = NULL;
    if (!admin_connect(&connection, conninfo, "outboxd rebase", error))
        return false;
    *rebase = must_calloc(1, sizeof **rebase);
    (*rebase)->connection = connection;
    (*rebase)->conninfo = must_strdup(conninfo);
    if (rebase_tell(*rebase, sql_session, error) && become_owner(*rebase, error) &&
        has_functions(*rebase, error))
        return true;
    rebase_close(*rebase);
    *rebase = NULL;
    return false;
}

void
rebase_close(struct rebase *rebase)
{
    if (rebase == NULL)
        return;
    PQfinish(rebase->connection);
    if (rebase->stream != NULL)
        CHECK(fclose(rebase->stream) == 0);
    free(rebase->lines);
    secrets_wipe(rebase->conninfo);
    free(rebase);
}

/* One row for each relay; one with NULLs when there is none. */
static void
read_plan(const PGresult *result, struct rebase_plan *plan)
{
    *plan = (struct rebase_plan){.needed = cell_truth(result, 0, 0),
                                 .moved = cell_truth(result, 0, 1),
                                 .set_back = cell_truth(result, 0, 2),
                                 .highest = cell_number(result, 0, 3),
                                 .renumbered = cell_number(result, 0, 4)};
    int rows = PQntuples(result);
    plan->relays = must_calloc((size_t)rows, sizeof *plan->relays);
    for (int row = 0; row < rows && !PQgetisnull(result, row, 5); row++)
        plan->relays[plan->relay_count++] =
            (struct rebase_relay){.name = must_strdup(PQgetvalue(result, row, 5)),
                                  .wrong = must_strdup(PQgetvalue(result, row, 6)),
                                  .unconfirmed = cell_number(result, row, 7),
                                  .killed = cell_truth(result, row, 8)};
}

void
rebase_plan_free(struct rebase_plan *plan)
{
    for (size_t i = 0; i < plan->relay_count; i++) {
        free(plan->relays[i].name);
        free(plan->relays[i].wrong);
    }
    free(plan->relays);
    *plan = (struct rebase_plan){0};
}

static char *
call_sql(const char *function, bool same_xids)
{
    const char *same = same_xids ? "true" : "false";
    return must_format(sql_call, function, same, same);
}

bool
rebase_look(struct rebase *rebase, bool same_xids, struct rebase_plan *plan, struct error *error)
{
    PGresult *result;
    char *sql = call_sql("rebase_plan", same_xids);
    *plan = (struct rebase_plan){0};
    bool good = rebase_ask(rebase, sql, &result, error);
    free(sql);
    if (!good)
        return error_prefix(error, "cannot look at the outbox");
    read_plan(result, plan);
    PQclear(result);
    if (!rebase_ask(rebase, "select count(*) from outbox.event", &result, error))
        return error_prefix(error, "cannot look at the outbox");
    plan->events = cell_number(result, 0, 0);
    PQclear(result);
    return true;
}

static bool
try_it(struct rebase *rebase, struct admin_patience *patience, const char *sql, PGresult **result,
       struct error *error)
{
    char timeout[64];
    snprintf(timeout, sizeof timeout, "set lock_timeout = %d", admin_lock_timeout_ms(patience));
    if (!rebase_tell(rebase, timeout, error))
        return false;
    *result = admin_exec(patience, rebase->connection, sql);
    return rebase_accept(rebase, *result, error);
}

bool
rebase_try(struct rebase *rebase, const char *sql, admin_listener *waits, void *context, PGresult **result,
           struct error *error)
{
    struct admin_patience patience = admin_patience_make(rebase->conninfo, waits, context);
    bool good;
    do
        good = try_it(rebase, &patience, sql, result, error);
    while (!good && admin_try_again(&patience, rebase->connection, error));
    admin_patience_end(&patience);
    return good || error_prefix(error, "nothing was changed");
}

bool
rebase_run(struct rebase *rebase, bool same_xids, admin_listener *waits, void *context,
           struct rebase_plan *done, struct error *error)
{
    PGresult *result = NULL;
    char *sql = call_sql("rebase", same_xids);
    *done = (struct rebase_plan){0};
    bool good = rebase_try(rebase, sql, waits, context, &result, error);
    free(sql);
    if (!good)
        return false;
    read_plan(result, done);
    PQclear(result);
    return true;
}
