/* project.c: the project example as its readers run it: a project and its workflows are there together or not at all, whatever
 * rule is broken. */
#include "project_office.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(project, a_project_and_its_workflows_and_its_event_are_committed_together__P1)
{
    struct office office = office_open(postgres_shared());
    office_create(&office, 0, "created id=1 workflows=2 name=apollo",
                  ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "build", "--workflow", "fly"));
    office_expect(&office, 1);
    cr_expect_eq(postgres_int(office.admin, "select count(*) from project p join workflow w"
                                            " on w.id = p.initial_workflow_id where w.name = 'build'"),
                 1);
    office_close(&office);
}

Test(project, a_broken_rule_leaves_nothing_and_is_called_by_its_constraint__P1)
{
    struct office office = office_open(postgres_shared());
    office_create(&office, 0, "created",
                  ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "build"));
    const struct {
        const char *words;
        const char *const *arguments;
    } cases[] = {
        {"name_taken (project_name_key)", /* unique */
         ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly")},
        {"workflow_twice (workflow_name_key)", /* unique, when something is written already */
         ARGUMENTS("--owner", "1", "--name", "gemini", "--workflow", "fly", "--workflow", "fly")},
        {"owner_unknown (project_owner_fkey)", /* foreign key */
         ARGUMENTS("--owner", "9", "--name", "gemini", "--workflow", "fly")},
        {"name_empty (project_name_given)", /* check */
         ARGUMENTS("--owner", "1", "--name", " ", "--workflow", "fly")},
        {"workflow_empty (workflow_name_given)",
         ARGUMENTS("--owner", "1", "--name", "gemini", "--workflow", "fly", "--workflow", "")},
        {"without_workflow (project_has_workflow)", /* deferred: only COMMIT finds it */
         ARGUMENTS("--owner", "1", "--name", "gemini")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        office_create(&office, 1, cases[i].words, cases[i].arguments);
        office_expect(&office, 1);
    }
    office_close(&office);
}

Test(project, a_spent_quota_and_rules_that_the_program_does_not_know_leave_nothing__P1)
{
    struct office office = office_open(postgres_shared());
    const char *const *apollo = ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly");
    const struct {
        const char *rule, *words, *undo;
    } cases[] = {
        {"update owner set projects_left = 0 where id = 1", "quota_spent (owner_projects_left)",
         "update owner set projects_left = 1000000 where id = 1"},
        {"alter table workflow add color text not null", "rule_broken (workflow.color)",
         "alter table workflow drop color"},
        {"alter table outbox.event add constraint closed check (false) not valid", "rule_broken (closed)",
         "alter table outbox.event drop constraint closed"},
        {"revoke insert on workflow from " POSTGRES_WRITER, "failed (): permission denied",
         "grant insert on workflow to " POSTGRES_WRITER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        postgres_exec(office.admin, "%s", cases[i].rule);
        office_create(&office, 1, cases[i].words, apollo);
        postgres_exec(office.admin, "%s", cases[i].undo);
        office_expect(&office, 0);
    }
    office_create(&office, 0, "created", apollo);
    office_close(&office);
}

/* ---- scopes inside a scope ---- */

Test(project, several_projects_are_created_in_one_transaction)
{
    struct office office = office_open(postgres_shared());
    office_create(&office, 0, "created id=2 workflows=2 name=gemini",
                  ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly", "--name", "gemini",
                            "--workflow", "build", "--workflow", "fly"));
    office_expect(&office, 2);
    cr_expect_eq(postgres_int(office.admin, "select count(distinct xid) from outbox.event"), 1);
    office_close(&office);
}

Test(project, a_scope_that_fails_fails_the_one_around_it)
{
    struct office office = office_open(postgres_shared());
    office_create(&office, 1, "workflow_twice (workflow_name_key)",
                  ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly", "--name", "gemini",
                            "--workflow", "fly", "--workflow", "fly"));
    office_expect(&office, 0);
    office_create(&office, 1, "without_workflow (project_has_workflow)", /* inside, nothing had failed yet */
                  ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly", "--name", "gemini"));
    office_expect(&office, 0);
    office_close(&office);
}

/* A standby that does not exist is waited for by the one session that asks for it. */
Test(project, a_commit_that_is_not_answered_is_reported_as_unknown)
{
    struct office office =
        office_open(postgres_start("synchronous_standby_names = 'nobody'\nsynchronous_commit = local\n"));
    char *patient = must_format("%s options='-c synchronous_commit=on'", office.conninfo);
    struct command command =
        office_start("create", patient, ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly"));
    wait_for(
        postgres_int(office.admin, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'") > 0,
        10000);
    postgres_exec(office.admin, "select pg_terminate_backend(pid) from pg_stat_activity"
                                " where wait_event = 'SyncRep'");
    command_expect(&command, 1, "it is not known what was created: outcome_unknown");
    office_expect(&office, 1); /* this time it was */
    free(patient);
    office_close(&office);
}

Test(project, wrong_options_exit_64_and_an_absent_server_69)
{
    const struct {
        int code;
        const char *word;
        const char *const *arguments;
    } cases[] = {
        {64, "build", ARGUMENTS("--owner", "1", "--name", "apollo")},
        {64, "create", ARGUMENTS("--owner", "one", "--name", "apollo")},
        {64, "create", ARGUMENTS("--owner", "1")},
        {64, "create", ARGUMENTS("--owner", "1", "--workflow", "fly", "--name", "apollo")},
        {64, "load", ARGUMENTS("--clash-every", "2")},
        {64, "load", ARGUMENTS("--threads", "65")},
        {69, "load", ARGUMENTS("--count", "1")},
        {0, "create", ARGUMENTS("--help")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct command command = command_start("project", cases[i].word, "host=/nowhere", cases[i].arguments);
        command_expect(&command, cases[i].code, cases[i].code == 69 ? "cannot connect" : "usage: project");
    }
}
