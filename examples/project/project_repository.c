/* project_repository.c: see project_repository.h. */
#include "project_repository.h"

bool
project_insert(struct outbox_unit *unit, const char *owner_id, const char *name, char id[ROW_ID_SIZE],
               struct outbox_error *error)
{
    const struct column columns[] = {{"owner_id", owner_id}, {"name", name}};
    return row_create(unit, "project", columns, 2, id, error);
}

bool
project_begin_with(struct outbox_unit *unit, const char *id, const char *workflow_id,
                   struct outbox_error *error)
{
    const struct column column = {"initial_workflow_id", workflow_id};
    return row_update(unit, "project", id, &column, 1, error);
}
