/* owner_repository.c: see owner_repository.h. */
#include "owner_repository.h"

/* Not row_update: two who had read the same number would write the same one. */
bool
owner_spend_project(struct outbox_unit *unit, const char *owner_id, struct outbox_error *error)
{
    return outbox_query(unit, "update owner set projects_left = projects_left - 1 where id = $1", 1,
                        &owner_id, NULL, error);
}
