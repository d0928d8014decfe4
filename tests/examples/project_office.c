/* project_office.c: see project_office.h. */
#include "project_office.h"

#include "fixture.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define GRANTS                                                                                               \
    "grant select, insert on project, workflow to " POSTGRES_WRITER ";"                                      \
    "grant update (initial_workflow_id) on project to " POSTGRES_WRITER ";"                                  \
    "grant select, update (projects_left) on owner to " POSTGRES_WRITER ";"                                  \
    "insert into owner (name, projects_left) select 'owner ' || i, 1000000 from generate_series(1, 8) i"

struct office
office_open(struct postgres *postgres)
{
    struct office office = {.postgres = postgres};
    office.database = example_database(postgres, "project", GRANTS);
    office.conninfo = postgres_conninfo(postgres, office.database, POSTGRES_WRITER);
    office.serializable =
        must_format("%s options='-c default_transaction_isolation=serializable'", office.conninfo);
    office.admin = postgres_open(postgres, office.database, POSTGRES_ADMIN);
    return office;
}

void
office_close(struct office *office)
{
    free(office->serializable);
    PQfinish(office->admin);
    postgres_free(office->postgres);
}

void
office_expect(const struct office *office, int64_t projects)
{
    PGconn *admin = office->admin;
    cr_expect_eq(postgres_int(admin, "select count(*) from project"), projects);
    cr_expect_eq(postgres_int(admin, "select count(*) from project p where not exists"
                                     " (select from workflow w where w.project_id = p.id)"),
                 0, "a project was left without its workflows");
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.event"), projects);
    cr_expect_eq(
        postgres_int(
            admin, "select count(*) from project p join outbox.event e"
                   " on e.key = convert_to(p.id::text, 'UTF8') and e.topic = '" PROJECT_TOPIC "'"
                   " and convert_from(e.payload, 'UTF8')::jsonb = jsonb_build_object("
                   "   'project_id', p.id::text, 'owner_id', p.owner_id::text, 'workflows',"
                   "   (select jsonb_agg(w.name order by w.id) from workflow w where w.project_id = p.id))"),
        projects, "an event does not tell what was created");
    cr_expect_eq(postgres_int(admin, "select 8000000 - sum(projects_left) from owner"), projects,
                 "an owner has paid for what was not created");
}

struct command
office_start(const char *word, const char *conninfo, const char *const *arguments)
{
    char *limit = must_format("%d", (int)(10000 * wait_patience()));
    const char *all[32] = {"--timeout-ms", limit};
    for (size_t count = 2; *arguments != NULL; arguments++) {
        cr_assert_lt(count, sizeof all / sizeof *all - 1);
        all[count++] = *arguments;
    }
    struct command command = command_start("project", word, conninfo, all);
    free(limit);
    return command;
}

void
office_create(const struct office *office, int code, const char *words, const char *const *arguments)
{
    struct command command = office_start("create", office->conninfo, arguments);
    command_expect(&command, code, words);
}
