/* watch.c: sees every result that libpq makes on a connection, the application's own included, through libpq's event
 * system. Notes what the server refused and whether the work ended the transaction behind its unit's back; costs no round
 * trip. Only records: what it means is decided in unit.c. */
#include "client/client.h"

#include <libpq-events.h>
#include <stdlib.h>

/* A tag says what was done; ROLLBACK stands for "rollback" and for "rollback to savepoint". */
static void
see_command(struct outbox_unit *unit, const char *tag)
{
    bool committed = strcmp(tag, "COMMIT") == 0, prepared = strcmp(tag, "PREPARE TRANSACTION") == 0;
    bool began = strcmp(tag, "BEGIN") == 0 || strcmp(tag, "START TRANSACTION") == 0;
    struct outbox_error why;
    unit->may_write = unit->may_write || began || strcmp(tag, "SET") == 0;
    unit->strayed = unit->strayed || committed || prepared;
    if (committed || prepared) {
        failure_set(&why, OUTBOX_ERROR_BROKEN,
                    "the work sent %s: what it had written before is %s, and the unit has ended", tag,
                    committed ? "committed" : "prepared");
        unit_end(unit, &why);
    } else if (began && unit->rolled_back) {
        failure_set(&why, OUTBOX_ERROR_BROKEN,
                    "the work sent ROLLBACK and %s: this is another transaction than the unit's", tag);
        unit_end(unit, &why);
    } else if (strcmp(tag, "ROLLBACK") == 0) {
        unit->rolled_back = true;
    }
}

/* The first refusal explains; after it the server says 25P02 to everything. */
static void
see_refusal(struct outbox_unit *unit, PGconn *connection, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL && strcmp(sqlstate, "25P02") != 0)
        failure_of_result(&unit->refused, connection, result);
}

static void
see_result(struct watch *watch, const PGEventResultCreate *event)
{
    if (watch->unit == NULL)
        return;
    ExecStatusType status = PQresultStatus(event->result);
    if (status == PGRES_FATAL_ERROR)
        see_refusal(watch->unit, event->conn, event->result);
    if (watch->ours)
        return;
    const char *tag = PQcmdStatus(event->result);
    if (watch->unit->rolled_back && strcmp(tag, "ROLLBACK") != 0)
        watch->unit->strayed = true; /* also by an error: a procedure may commit before it fails */
    if (status == PGRES_COMMAND_OK)
        see_command(watch->unit, tag);
}

static void
see_reset(struct watch *watch)
{
    if (watch->unit == NULL)
        return;
    struct outbox_error why;
    failure_set(&why, OUTBOX_ERROR_CONNECTION,
                "the connection was reset inside the unit, which is rolled back");
    unit_end(watch->unit, &why);
}

static void
see_destroy(struct watch *watch)
{
    if (watch == NULL || watch->unit == NULL)
        return;
    struct outbox_error why;
    failure_set(&why, OUTBOX_ERROR_CONNECTION, "the work called PQfinish on the unit's connection");
    unit_end(watch->unit, &why);
    watch->unit->connection = NULL;
    watch->unit->watch = NULL;
}

static int
receive(PGEventId id, void *information, void *unused)
{
    (void)unused;
    if (id == PGEVT_RESULTCREATE) {
        const PGEventResultCreate *event = information;
        struct watch *watch = PQinstanceData(event->conn, receive);
        if (watch != NULL)
            see_result(watch, event);
    } else if (id == PGEVT_CONNRESET) {
        const PGEventConnReset *event = information;
        struct watch *watch = PQinstanceData(event->conn, receive);
        if (watch != NULL)
            see_reset(watch);
    } else if (id == PGEVT_CONNDESTROY) {
        const PGEventConnDestroy *event = information;
        struct watch *watch = PQinstanceData(event->conn, receive);
        see_destroy(watch);
        free(watch);
    }
    return 1;
}

struct watch *
watch_find(PGconn *connection)
{
    return PQinstanceData(connection, receive);
}

struct watch *
watch_make(PGconn *connection)
{
    struct watch *watch = watch_find(connection);
    if (watch != NULL)
        return watch;
    watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    /* refused when an earlier try got as far as this and no further: then it is registered, and that is what is wanted */
    (void)PQregisterEventProc(connection, receive, "liboutbox", NULL);
    if (!PQsetInstanceData(connection, receive, watch)) {
        free(watch);
        return NULL;
    }
    return watch;
}
