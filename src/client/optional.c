/* optional.c: outbox_optional: a step of a unit under a savepoint. Its failure rolls back to there; the unit goes on. */
#include "client/client.h"

#include <stdio.h>

/* The name says the depth, so that nested steps do not meet, and whose it is. */
static bool
mark(struct outbox_unit *unit, const char *command, unsigned depth, struct outbox_error *error)
{
    char sql[64];
    snprintf(sql, sizeof sql, "%s outbox_%u", command, depth);
    return wire_must(unit, &(struct statement){.sql = sql}, NULL, error);
}

static bool
roll_back_to(struct outbox_unit *unit, unsigned depth, struct outbox_error *error)
{
    char sql[128];
    snprintf(sql, sizeof sql, "rollback to savepoint outbox_%u; release savepoint outbox_%u", depth, depth);
    return wire_must(unit, &(struct statement){.sql = sql}, NULL, error);
}

static void
undo(struct outbox_unit *unit, unsigned depth)
{
    struct outbox_error why = {0};
    if (unit->state == UNIT_ENDED)
        return;
    if (PQstatus(unit->connection) == CONNECTION_OK && roll_back_to(unit, depth, &why)) {
        memset(&unit->refused, 0, sizeof unit->refused);
        unit_heal(unit);
        return;
    }
    if (why.kind == OUTBOX_ERROR_NONE)
        failure_set(&why, OUTBOX_ERROR_CONNECTION, "the connection is lost, and the transaction rolled back");
    else if (why.kind == OUTBOX_ERROR_SQL)
        why.kind = OUTBOX_ERROR_BROKEN; /* our savepoint is gone: the work has ended more than its own */
    unit_end(unit, &why);
}

struct step {
    struct outbox_unit *unit;
    unsigned depth;
    bool done;
};

static void
end(struct step *step)
{
    step->unit->depth = step->depth - 1;
    if (!step->done)
        undo(step->unit, step->depth);
}

bool
outbox_optional(struct outbox_unit *unit, outbox_work *work, void *context, struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (work == NULL)
        return failure_missing(error, "work");
    if (!unit_usable(unit, error) || !mark(unit, "savepoint", unit->depth + 1, error))
        return false;
    UNWOUND(end) struct step step = {.unit = unit, .depth = ++unit->depth};
    step.done = work_run(unit, work, context, error) && mark(unit, "release savepoint", step.depth, error);
    return step.done;
}
