/* project_rivals.c: the project example with sixteen creators at once: clashes, creators who are in each other's way, programs
 * killed in the midst of it, and what Kafka has in the end. */
#include "project_office.h"

#include "support/checker.h"
#include "support/consumer.h"
#include "support/kafka.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static bool
somebody_waits(const struct office *office)
{
    return postgres_int(office->admin,
                        "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                        "' and datname = current_database() and wait_event_type = 'Lock'") > 0;
}

/* The owner is changed by somebody else while the first of two projects waits for the row: a serialization failure, in a scope
 * inside a scope. */
Test(project_rivals, a_serialization_failure_runs_the_outermost_scope_again)
{
    struct office office = office_open(postgres_shared());
    PGconn *rival = postgres_open(office.postgres, office.database, POSTGRES_ADMIN);
    postgres_exec(rival, "begin; update owner set projects_left = projects_left - 1 where id = 1");
    struct command command = office_start("create", office.serializable,
                                          ARGUMENTS("--owner", "1", "--name", "apollo", "--workflow", "fly",
                                                    "--name", "gemini", "--workflow", "fly"));
    wait_for(somebody_waits(&office), 10000);
    postgres_exec(rival, "commit");
    command_expect(&command, 0, "run again 1 times");
    postgres_exec(rival, "update owner set projects_left = projects_left + 1 where id = 1");
    office_expect(&office, 2);
    PQfinish(rival);
    office_close(&office);
}

Test(project_rivals, a_creation_that_waits_too_long_gives_up_and_leaves_nothing)
{
    struct office office = office_open(postgres_shared());
    PGconn *rival = postgres_open(office.postgres, office.database, POSTGRES_ADMIN);
    postgres_exec(rival, "begin; update owner set projects_left = projects_left - 1 where id = 1");
    struct command command = command_start(
        "project", "create", office.conninfo,
        ARGUMENTS("--timeout-ms", "300", "--owner", "1", "--name", "apollo", "--workflow", "fly"));
    command_expect(&command, 1, "nothing was created: failed (): ");
    postgres_exec(rival, "rollback");
    office_expect(&office, 0);
    PQfinish(rival);
    office_close(&office);
}

/* Of every four: one names a workflow twice, and two want the same name; which of them gets it is open. */
static void
create_with_clashes(const struct office *office)
{
    struct command command =
        office_start("load", office->conninfo,
                     ARGUMENTS("--count", "400", "--threads", "16", "--owners", "8", "--clash-every", "4"));
    command_expect(&command, 0, "created=200 name_taken=100 workflow_twice=100 other=0 failed=0 unknown=0 ");
    office_expect(office, 200);
}

Test(project_rivals, sixteen_creators_for_one_owner_get_through_by_running_again, .timeout = 120)
{
    struct office office = office_open(postgres_shared());
    struct command command =
        office_start("load", office.serializable, ARGUMENTS("--count", "160", "--threads", "16"));
    char *output;
    int code = command_end(&command, &output);
    cr_expect_eq(code, 0, "%s", output);
    cr_expect_eq(command_number(output, "created="), 160);
    cr_expect_gt(command_number(output, "retries="), 0, "otherwise nobody was in the way");
    office_expect(&office, 160);
    free(output);
    office_close(&office);
}

/* ---- Postgres goes away ---- */

static struct command
load_until_postgres_stops(struct office *office, const char *count)
{
    struct command command = office_start("load", office->conninfo,
                                          ARGUMENTS("--count", count, "--threads", "4", "--owners", "8"));
    wait_for(postgres_int(office->admin, "select count(*) from project") >= 40, 30000);
    postgres_stop_fast(office->postgres);
    return command;
}

Test(project_rivals, a_server_that_restarts_is_waited_for_and_costs_each_thread_one_creation_at_most)
{
    struct office office = office_open(postgres_start(NULL));
    struct command command = load_until_postgres_stops(&office, "2000");
    command_restart_server(&command, office.postgres);
    char *output;
    command_end(&command, &output);
    long lost = command_number(output, "failed=") + command_number(output, "unknown=");
    cr_expect_eq(command_number(output, "created=") + lost, 2000);
    cr_expect_leq(lost, 4, "a stopped server was asked again and again: %s", output);
    free(output);
    office_close(&office);
}

Test(project_rivals, a_server_that_stays_away_is_given_up)
{
    struct office office = office_open(postgres_start(NULL));
    struct command command = load_until_postgres_stops(&office, "1000000");
    char *output;
    cr_expect_eq(command_end(&command, &output), 1);
    cr_expect(strstr(output, "gives up") != NULL, "%s", output);
    cr_expect_leq(command_number(output, "failed="), 4, "of a stopped server so much was wanted: %s", output);
    free(output);
    office_close(&office);
}

#define PROJECTS_A_RUN 60

/* Kills the program in the midst of it, again and again; at least PROJECTS_A_RUN are created each time. Returns how many there are
 * in the end. */
static int64_t
create_and_kill(const struct office *office, int kills)
{
    for (int i = 0; i < kills; i++) {
        char *first = must_format("%d", 1000001 * (i + 1));
        int64_t projects = postgres_int(office->admin, "select count(*) from project");
        struct command command = office_start("load", office->conninfo,
                                              ARGUMENTS("--count", "1000000", "--threads", "16", "--owners",
                                                        "8", "--clash-every", "3", "--first", first));
        wait_for(postgres_int(office->admin, "select count(*) from project") >=
                     projects + PROJECTS_A_RUN + 7 * i,
                 30000);
        kill(command.pid, SIGKILL);
        char *output;
        cr_expect_eq(command_end(&command, &output), 128 + SIGKILL, "%s", output);
        free(output);
        free(first);
    }
    wait_for(postgres_int(office->admin,
                          "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                          "' and datname = current_database()") == 0,
             20000);
    return postgres_int(office->admin, "select count(*) from project");
}

Test(project_rivals, sixteen_creators_killed_again_and_again_leave_nothing_half__P1, .timeout = 240)
{
    struct office office = office_open(postgres_shared());
    int64_t projects = create_and_kill(&office, 12);
    cr_expect_geq(projects, 12 * PROJECTS_A_RUN);
    office_expect(&office, projects);
    office_close(&office);
}

Test(project_rivals, sixteen_creators_with_clashes_and_kills_publish_one_event_for_each_project__P1,
     .timeout = 120)
{
    struct office office = office_open(postgres_shared());
    struct broker *broker = broker_start(NULL); /* the topic has one name: no other test may have used it */
    const char *topics[] = {PROJECT_TOPIC, NULL};
    broker_create_topic(broker, PROJECT_TOPIC, 3, NULL);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(office.postgres, office.database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(broker)});
    daemon_wait_ready(daemon);

    create_with_clashes(&office);
    int64_t projects = create_and_kill(&office, 3);
    office_expect(&office, projects);

    wait_for(consumer_count(broker_bootstrap(broker), PROJECT_TOPIC) >= projects, 20000);
    cr_expect_eq(daemon_terminate(daemon), 0);
    struct expected_events events = {0};
    expected_read_outbox(&events, office.admin);
    struct verdict verdict = checker_compare(&events, broker_bootstrap(broker), topics, DAEMON_SOURCE);
    cr_expect(verdict_clean(&verdict));
    cr_expect_eq(verdict.records, (size_t)projects,
                 "one event for each project, none for what was refused or killed");

    expected_free(&events);
    daemon_free(daemon);
    broker_free(broker);
    office_close(&office);
}
