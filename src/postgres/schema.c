/* schema.c: runs the migration script in a database, again and again until nobody is in its way. Called by
 * `outboxd migrate`; what the script says is decided in schema_script.c and schema/. */
#include "postgres/schema.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "postgres/failure.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the server said in one try, to be told only when that try committed. */
struct notices {
    char *text; /* lines, each ended by a newline */
    size_t size;
    FILE *stream;
};

static void
notices_begin(struct notices *notices)
{
    notices->stream = open_memstream(&notices->text, &notices->size);
    CHECK(notices->stream != NULL);
}

static void
notices_receive(void *context, const PGresult *result)
{
    struct notices *notices = context;
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (message != NULL)
        fprintf(notices->stream, "%s\n", message);
}

static void
notices_end(struct notices *notices, schema_listener *listener, void *context)
{
    CHECK(fclose(notices->stream) == 0);
    if (listener != NULL)
        for (char *rest = notices->text, *line; (line = strsep(&rest, "\n")) != NULL;)
            if (line[0] != '\0')
                listener(context, line);
    free(notices->text);
}

/* Two migrations at once (of two databases, roles being common to all) meet in the catalogs: one of them sees
 * a duplicate or, with an internal code, "tuple concurrently updated". The next try finds the other's work
 * done. */
static bool
worth_another_try(const char *sqlstate)
{
    static const char *const passing[] = {"55P03", "40P01", "40001", "23505",
                                          "42710", "42P06", "42P07", "XX000"};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (strcmp(sqlstate, passing[i]) == 0)
            return true;
    return false;
}

static bool
schema_connect(PGconn **connection, const char *conninfo, struct error *error)
{
    char *complaint = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &complaint);
    if (parsed == NULL) {
        error_set(error, ERROR_USAGE, "conninfo: %s", complaint ? complaint : "out of memory");
        error->message[strcspn(error->message, "\n")] = '\0';
        PQfreemem(complaint);
        return false;
    }
    PQconninfoFree(parsed);
    /* what stands before dbname gives way to the conninfo, what stands behind it does not */
    const char *const keywords[] = {"connect_timeout", "tcp_user_timeout",          "dbname",
                                    "client_encoding", "fallback_application_name", NULL};
    const char *const values[] = {"10", "30000", conninfo, "UTF8", "outboxd migrate", NULL};
    *connection = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(*connection) == CONNECTION_OK)
        return true;
    failure_of_connection(*connection, NULL, "cannot connect as the administrator", error);
    PQfinish(*connection);
    return false;
}

/* One try of the whole transaction. */
static bool
run_script(PGconn *connection, const char *script, struct error *error)
{
    PGresult *result = PQexec(connection, script);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!done && PQstatus(connection) != CONNECTION_OK)
        failure_of_connection(connection, result, "lost the connection in the middle of the migration",
                              error);
    else if (!done)
        failure_of_result(result, error);
    if (!done && error->kind == ERROR_INTERNAL)
        error->kind = ERROR_UNUSABLE;
    PQclear(result);
    if (!done && PQtransactionStatus(connection) != PQTRANS_IDLE)
        PQclear(PQexec(connection, "rollback"));
    return done;
}

static void
pause_us(int64_t microseconds)
{
    struct timespec pause = {.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000};
    nanosleep(&pause, NULL);
}

static bool
run_until_done(PGconn *connection, const char *script, schema_listener *listener, void *context,
               struct error *error)
{
    int64_t deadline_us = clock_monotonic_us() + SCHEMA_PATIENCE_US;
    struct backoff backoff = backoff_make(50000, 1000000, (uint64_t)getpid());
    for (;;) {
        struct notices notices;
        notices_begin(&notices);
        PQsetNoticeReceiver(connection, notices_receive, &notices);
        bool done = run_script(connection, script, error);
        notices_end(&notices, done ? listener : NULL, context);
        if (done)
            return true;
        if (PQstatus(connection) != CONNECTION_OK || !worth_another_try(error->sqlstate))
            return false;
        if (clock_monotonic_us() >= deadline_us)
            return error_prefix(error, "gave up after %d s", (int)(SCHEMA_PATIENCE_US / 1000000));
        pause_us(backoff_next_us(&backoff));
    }
}

bool
schema_migrate(const char *conninfo, const struct schema_wish *wish, schema_listener *listener, void *context,
               struct error *error)
{
    char *script;
    if (!schema_script(&script, wish, error))
        return false;
    PGconn *connection;
    bool done = schema_connect(&connection, conninfo, error);
    if (done) {
        done = run_until_done(connection, script, listener, context, error);
        PQfinish(connection);
    }
    free(script);
    return done;
}
