/* project_repository.h: persists projects, by base_repository. */
#ifndef EXAMPLE_PROJECT_REPOSITORY_H
#define EXAMPLE_PROJECT_REPOSITORY_H

#include "base_repository.h"

bool project_insert(struct outbox_unit *unit, const char *owner_id, const char *name, char id[ROW_ID_SIZE],
                    struct outbox_error *error);

/* The workflow has to be one of the project's own. */
bool project_begin_with(struct outbox_unit *unit, const char *id, const char *workflow_id,
                        struct outbox_error *error);

#endif
