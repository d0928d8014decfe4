/* main.c: the commands of the project example: create some projects, or a load of many. What is worth copying is in
 * create_project.c, transaction_scope.c, base_repository.c and creation_error.c. */
#include "load.h"
#include "options.h"
#include "transaction_scope.h"

#include <stdio.h>

static int
create(PGconn *db, const struct create_options *options)
{
    struct project projects[PROJECTS_MAX];
    struct project_creation_error error;
    bool done = options->count == 1
                    ? create_project_with_workflows(db, &options->requests[0], &projects[0], &error)
                    : create_projects(db, options->requests, options->count, projects, &error);
    if (transaction_scope_retries() > 0)
        fprintf(stderr, "project: run again %ld times, for others were at the same rows\n",
                transaction_scope_retries());
    if (!done) {
        fprintf(stderr, "project: %s: %s (%s): %s\n",
                error.kind == PROJECT_OUTCOME_UNKNOWN ? "it is not known what was created"
                                                      : "nothing was created",
                project_creation_kind_name(error.kind), error.constraint, error.message);
        return 1;
    }
    for (size_t i = 0; i < options->count; i++)
        printf("created id=%s workflows=%zu name=%s\n", projects[i].id, options->requests[i].workflow_count,
               options->requests[i].name);
    return 0;
}

int
main(int argc, char **argv)
{
    struct options options;
    if (!options_parse(&options, argc, argv))
        return EXIT_USAGE;
    if (options.timeout_ms > 0)
        transaction_scope_limit((int)options.timeout_ms);
    PGconn *db = PQconnectdb(options.conninfo);
    int code = EXIT_NO_POSTGRES;
    if (PQstatus(db) != CONNECTION_OK)
        fprintf(stderr, "project: cannot connect: %s", PQerrorMessage(db));
    else
        code = options.load ? load_run(options.conninfo, &options.with) : create(db, &options.create);
    PQfinish(db);
    return code;
}
