/* work.c: calls a work, and judges what it left behind: a statement that is still running, a pipeline, an end of the transaction
 * that is not the unit's; also when it does not return. Called by run.c and optional.c; what the work says of itself counts only
 * as far as that is true. */
#include "client/client.h"

/* What was running may have been a COMMIT. UNKNOWN is for what can be asked for. */
static void
cut_running(struct outbox_unit *unit)
{
    unit_end_for(unit, unit->xid != 0 ? OUTBOX_ERROR_UNKNOWN : OUTBOX_ERROR_BROKEN,
                 "the work left a statement running, which may have been a COMMIT, and its end was not seen");
    unit->strayed = true;
    wire_cut(unit->connection);
}

static void
settle_running(struct outbox_unit *unit)
{
    struct outbox_error why;
    if (wire_drain(unit)) {
        failure_set(&why, OUTBOX_ERROR_USAGE,
                    "the work left a statement running on the unit's connection, or pipeline mode");
        unit_doom(unit, &why);
        return;
    }
    cut_running(unit);
}

static bool
is_running(PGconn *connection)
{
    return PQtransactionStatus(connection) == PQTRANS_ACTIVE ||
           PQpipelineStatus(connection) != PQ_PIPELINE_OFF;
}

void
work_settle(struct outbox_unit *unit)
{
    PGconn *connection = unit->connection;
    if (is_running(connection))
        settle_running(unit);
    /* what the server said meanwhile, and that it has gone: a COMMIT that is not sent is not unknown */
    bool heard = true;
    for (int i = 0; i < 2 && heard; i++) /* the second time finds the end behind what the first one read */
        heard = PQconsumeInput(connection) == 1;
    unit_note_end(unit, !heard);
}

/* Fills what a work that said no left out: from what the server refused last, or by a text; words of its own get the server's
 * SQLSTATE. What may be committed all the same is said whatever the work says. */
static void
explain(struct outbox_unit *unit, struct outbox_error *error)
{
    bool refused = PQtransactionStatus(unit->connection) == PQTRANS_INERROR;
    if (unit->state == UNIT_ENDED && unit->strayed)
        *error = unit->why;
    else if (error->kind == OUTBOX_ERROR_NONE && unit->state != UNIT_OPEN)
        *error = unit->why;
    else if (error->kind == OUTBOX_ERROR_NONE && refused)
        *error = unit->refused;
    else if (error->kind == OUTBOX_ERROR_WORK && refused && error->sqlstate[0] == '\0')
        memcpy(error->sqlstate, unit->refused.sqlstate, sizeof error->sqlstate);
    if (error->kind == OUTBOX_ERROR_NONE)
        failure_set(error, OUTBOX_ERROR_WORK, "the work failed and gave no reason");
    if (error->kind == OUTBOX_ERROR_SQL && wire_ended_late(unit, error->sqlstate))
        error->kind = OUTBOX_ERROR_TIMEOUT;
}

struct call {
    struct outbox_unit *unit;
    bool returned;
};

/* An exception is on its way, or the end of the thread: nobody may wait for a statement now, which can take for ever. */
static void
leave(struct call *call)
{
    struct outbox_error why;
    call->unit->works--;
    if (call->returned)
        return;
    failure_set(&why, OUTBOX_ERROR_WORK,
                "the work did not return: an exception or the end of its thread left it");
    unit_doom(call->unit, &why);
    if (is_running(call->unit->connection))
        cut_running(call->unit);
}

static bool
call_work(struct outbox_unit *unit, outbox_work *work, void *context, struct outbox_error *error)
{
    UNWOUND(leave) struct call call = {.unit = unit};
    unit->works++;
    bool willing = work(unit, context, error);
    call.returned = true;
    return willing;
}

bool
work_run(struct outbox_unit *unit, outbox_work *work, void *context, struct outbox_error *error)
{
    bool willing = call_work(unit, work, context, error);
    work_settle(unit);
    if (!willing) {
        explain(unit, error);
        return false;
    }
    memset(error, 0, sizeof *error); /* what it met on its way and got over */
    return unit_usable(unit, error);
}
