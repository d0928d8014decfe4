/* workflow_repository.c: see workflow_repository.h. */
#include "workflow_repository.h"

bool
workflow_insert(struct outbox_unit *unit, const char *project_id, const char *name, char id[ROW_ID_SIZE],
                struct outbox_error *error)
{
    const struct column columns[] = {{"project_id", project_id}, {"name", name}};
    return row_create(unit, "workflow", columns, 2, id, error);
}
