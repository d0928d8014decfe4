/* create_project.c: one scope writes the project, its workflows and the event that tells the rest of the world. The scope
 * begins and ends the transaction, the repositories only persist, and this file says what belongs together. */
#include "create_project.h"

#include "owner_repository.h"
#include "project_repository.h"
#include "transaction_scope.h"
#include "workflow_repository.h"

#include <jansson.h>
#include <stdlib.h>

struct creation {
    const struct project_request *request;
    struct project *project;
};

static char *
write_payload(const struct project_request *request, const struct project *project)
{
    json_t *names = json_array();
    for (size_t i = 0; i < request->workflow_count; i++)
        if (json_array_append_new(names, json_string(request->workflows[i])) != 0) {
            json_decref(names);
            return NULL;
        }
    json_t *object = json_pack("{s:s, s:s, s:o}", "project_id", project->id, "owner_id", request->owner_id,
                               "workflows", names);
    char *payload = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return payload;
}

/* Its key is the project's id: whatever else will happen to the project comes after it. */
static bool
project_created_emit(struct outbox_unit *unit, const struct creation *creation, struct outbox_error *error)
{
    char *payload = write_payload(creation->request, creation->project);
    if (payload == NULL)
        return outbox_fail(error, "no event: a workflow's name is not UTF-8, or no memory");
    struct outbox_event event = {.topic = "project.created",
                                 .key = outbox_text(creation->project->id),
                                 .payload = outbox_text(payload)};
    bool done = outbox_emit(unit, &event, NULL, error);
    free(payload);
    return done;
}

static bool
create_workflows(struct outbox_unit *unit, const struct creation *creation, struct outbox_error *error)
{
    const struct project_request *request = creation->request;
    char id[ROW_ID_SIZE], first[ROW_ID_SIZE];
    for (size_t i = 0; i < request->workflow_count; i++)
        if (!workflow_insert(unit, creation->project->id, request->workflows[i], i == 0 ? first : id, error))
            return false;
    return request->workflow_count == 0 || project_begin_with(unit, creation->project->id, first, error);
}

static bool
create(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct creation *creation = context;
    const struct project_request *request = creation->request;
    return project_insert(unit, request->owner_id, request->name, creation->project->id, error) &&
           create_workflows(unit, creation, error) && owner_spend_project(unit, request->owner_id, error) &&
           project_created_emit(unit, creation, error);
}

bool
create_project_with_workflows(PGconn *db, const struct project_request *request, struct project *project,
                              struct project_creation_error *error)
{
    struct creation creation = {.request = request, .project = project};
    struct outbox_error why;
    if (transaction_scope(db, create, &creation, &why))
        return true;
    project_creation_error_fill(error, &why);
    return false;
}

/* ---- several ---- */

struct batch {
    const struct project_request *requests;
    size_t count;
    struct project *projects;
    struct project_creation_error *error;
    bool explained; /* `error` says why one of them could not be created */
};

/* Each creation is a scope of its own, inside this one. */
static bool
create_each(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct batch *batch = context;
    batch->explained = false;
    for (size_t i = 0; i < batch->count; i++)
        if (!create_project_with_workflows(outbox_connection(unit), &batch->requests[i], &batch->projects[i],
                                           batch->error)) {
            batch->explained = true;
            return outbox_fail(error, "%s", batch->error->message);
        }
    return true;
}

bool
create_projects(PGconn *db, const struct project_request *requests, size_t count, struct project *projects,
                struct project_creation_error *error)
{
    struct batch batch = {.requests = requests, .count = count, .projects = projects, .error = error};
    struct outbox_error why;
    if (transaction_scope(db, create_each, &batch, &why))
        return true;
    if (!batch.explained) /* it was COMMIT that failed */
        project_creation_error_fill(error, &why);
    return false;
}
