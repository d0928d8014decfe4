/* workflow_repository.h: persists the workflows of a project, by base_repository. */
#ifndef EXAMPLE_WORKFLOW_REPOSITORY_H
#define EXAMPLE_WORKFLOW_REPOSITORY_H

#include "base_repository.h"

bool workflow_insert(struct outbox_unit *unit, const char *project_id, const char *name, char id[ROW_ID_SIZE],
                     struct outbox_error *error);

#endif
