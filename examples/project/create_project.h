/* create_project.h: the use case "somebody creates a project with its workflows": together or not at all. */
#ifndef EXAMPLE_CREATE_PROJECT_H
#define EXAMPLE_CREATE_PROJECT_H

#include "creation_error.h"

struct project_request {
    const char *owner_id; /* decimal */
    const char *name;
    const char *const *workflows; /* their names; the project begins with the first one */
    size_t workflow_count;
};

struct project {
    char id[24]; /* decimal; valid when it was created */
};

/* Creates a project, its workflows and the event `project.created` in one transaction; inside a transaction_scope of the same
 * connection it becomes a part of that. Blocks for as long as Postgres takes. */
OUTBOX_MUST_CHECK bool create_project_with_workflows(PGconn *db, const struct project_request *request,
                                                     struct project *project,
                                                     struct project_creation_error *error);

/* The same for several projects: all of them or none. */
OUTBOX_MUST_CHECK bool create_projects(PGconn *db, const struct project_request *requests, size_t count,
                                       struct project *projects, struct project_creation_error *error);

#endif
