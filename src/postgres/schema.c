/* schema.c: runs the migration script in a database, again and again until nobody is in its way. Called by
 * `outboxd migrate`; what the script says is decided in schema_script.c and schema/. */
#include "postgres/schema.h"

#include "postgres/failure.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
notices_end(struct notices *notices, admin_listener *listener, void *context)
{
    CHECK(fclose(notices->stream) == 0);
    if (listener != NULL)
        for (char *rest = notices->text, *line; (line = strsep(&rest, "\n")) != NULL;)
            if (line[0] != '\0')
                listener(context, line);
    free(notices->text);
}

/* One try of the whole transaction. */
static bool
run_script(struct admin_patience *patience, PGconn *connection, const char *script, struct error *error)
{
    PGresult *result = admin_exec(patience, connection, script);
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

static bool
run_until_done(struct admin_patience *patience, PGconn *connection, const char *script,
               admin_listener *listener, struct error *error)
{
    for (;;) {
        struct notices notices;
        notices_begin(&notices);
        PQsetNoticeReceiver(connection, notices_receive, &notices);
        bool done = run_script(patience, connection, script, error);
        notices_end(&notices, done ? listener : NULL, patience->context);
        if (done)
            return true;
        if (!admin_try_again(patience, connection, error))
            return false;
    }
}

bool
schema_migrate(const char *conninfo, const struct schema_wish *wish, admin_listener *listener,
               admin_listener *waits, void *context, struct error *error)
{
    char *script;
    if (!schema_script(&script, wish, error))
        return false;
    PGconn *connection;
    bool done = admin_connect(&connection, conninfo, "outboxd migrate", error);
    if (done) {
        struct admin_patience patience = admin_patience_make(conninfo, waits, context);
        done = run_until_done(&patience, connection, script, listener, error);
        admin_patience_end(&patience);
        PQfinish(connection);
    }
    free(script);
    return done;
}
