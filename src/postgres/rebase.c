/* rebase.c: calls rebase_plan and rebase of schema/002_relays.sql as the owner of the schema. Called by `outboxd rebase`;
 * decides nothing. */
#include "postgres/rebase.h"

#include "postgres/failure.h"
#include "postgres/schema.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rebase {
    PGconn *connection;
    char *conninfo;
};

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

static bool
accept(PGconn *connection, PGresult *result, struct error *error)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return true;
    return failed(connection, result, error);
}

static bool
ask(PGconn *connection, const char *sql, PGresult **result, struct error *error)
{
    *result = PQexec(connection, sql);
    return accept(connection, *result, error);
}

static bool
tell(PGconn *connection, const char *sql, struct error *error)
{
    PGresult *result;
    if (!ask(connection, sql, &result, error))
        return false;
    PQclear(result);
    return true;
}

static bool
become_owner(PGconn *connection, struct error *error)
{
    PGresult *result;
    if (!ask(connection, sql_owner, &result, error))
        return false;
    bool good = PQntuples(result) == 1;
    if (!good)
        error_set(error, ERROR_UNUSABLE, "database \"%s\" has no outbox", PQdb(connection));
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
        good = tell(connection, PQgetvalue(result, 0, 0), error);
    PQclear(result);
    return good;
}

static bool
has_functions(PGconn *connection, struct error *error)
{
    PGresult *result;
    if (!ask(connection, "select version from outbox.schema_version", &result, error))
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
    if (tell(connection, sql_session, error) && become_owner(connection, error) &&
        has_functions(connection, error))
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
    free(rebase->conninfo);
    free(rebase);
}

static int64_t
number_at(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static bool
truth_at(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

/* One row for each relay; one with NULLs when there is none. */
static void
read_plan(const PGresult *result, struct rebase_plan *plan)
{
    *plan = (struct rebase_plan){.needed = truth_at(result, 0, 0),
                                 .moved = truth_at(result, 0, 1),
                                 .set_back = truth_at(result, 0, 2),
                                 .highest = number_at(result, 0, 3),
                                 .renumbered = number_at(result, 0, 4)};
    int rows = PQntuples(result);
    plan->relays = must_calloc((size_t)rows, sizeof *plan->relays);
    for (int row = 0; row < rows && !PQgetisnull(result, row, 5); row++)
        plan->relays[plan->relay_count++] =
            (struct rebase_relay){.name = must_strdup(PQgetvalue(result, row, 5)),
                                  .wrong = must_strdup(PQgetvalue(result, row, 6)),
                                  .unconfirmed = number_at(result, row, 7),
                                  .killed = truth_at(result, row, 8)};
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
    bool good = ask(rebase->connection, sql, &result, error);
    free(sql);
    if (!good)
        return error_prefix(error, "cannot look at the outbox");
    read_plan(result, plan);
    PQclear(result);
    if (!ask(rebase->connection, "select count(*) from outbox.event", &result, error))
        return error_prefix(error, "cannot look at the outbox");
    plan->events = number_at(result, 0, 0);
    PQclear(result);
    return true;
}

/* One transaction. */
static bool
try_it(struct rebase *rebase, struct admin_patience *patience, const char *sql, struct rebase_plan *done,
       struct error *error)
{
    char timeout[64];
    snprintf(timeout, sizeof timeout, "set lock_timeout = %d", admin_lock_timeout_ms(patience));
    if (!tell(rebase->connection, timeout, error))
        return false;
    PGresult *result = admin_exec(patience, rebase->connection, sql);
    if (!accept(rebase->connection, result, error))
        return false;
    read_plan(result, done);
    PQclear(result);
    return true;
}

bool
rebase_run(struct rebase *rebase, bool same_xids, admin_listener *waits, void *context,
           struct rebase_plan *done, struct error *error)
{
    struct admin_patience patience = admin_patience_make(rebase->conninfo, waits, context);
    char *sql = call_sql("rebase", same_xids);
    bool good;
    *done = (struct rebase_plan){0};
    do
        good = try_it(rebase, &patience, sql, done, error);
    while (!good && admin_try_again(&patience, rebase->connection, error));
    free(sql);
    admin_patience_end(&patience);
    return good || error_prefix(error, "nothing was changed");
}

/* ---- the position in Kafka ---- */

bool
rebase_position_look(struct rebase *rebase, const char *relay, struct rebase_position *position,
                     struct error *error)
{
    static const char sql[] =
        "select j.confirmed_seq, coalesce(j.confirmed_id, 0), j.exact_seq is not null,"
        " coalesce(j.exact_seq, 0), coalesce(j.exact_id, 0)"
        " from outbox.journal j join outbox.relay r on r.name = j.relay and r.retired_at is null"
        " where j.relay = $1 order by j.seq desc limit 1";
    PGresult *result = PQexecParams(rebase->connection, sql, 1, NULL, &relay, NULL, NULL, 0);
    *position = (struct rebase_position){0};
    if (!accept(rebase->connection, result, error))
        return error_prefix(error, "cannot look at the journal");
    position->known = PQntuples(result) == 1;
    if (position->known)
        *position = (struct rebase_position){.known = true,
                                             .exact = truth_at(result, 0, 2),
                                             .confirmed_seq = number_at(result, 0, 0),
                                             .confirmed_id = number_at(result, 0, 1),
                                             .exact_seq = number_at(result, 0, 3),
                                             .exact_id = number_at(result, 0, 4)};
    PQclear(result);
    return true;
}

bool
rebase_position_run(struct rebase *rebase, const char *relay, struct error *error)
{
    PGresult *result =
        PQexecParams(rebase->connection, "select outbox.rebase_position($1)", 1, NULL, &relay, NULL, NULL, 0);
    if (!accept(rebase->connection, result, error))
        return error_prefix(error, "nothing was changed");
    bool known = truth_at(result, 0, 0);
    PQclear(result);
    return known ||
           error_set(error, ERROR_UNUSABLE, "nothing was changed: relay \"%s\" was retired meanwhile", relay);
}
