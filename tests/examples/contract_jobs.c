/* contract_jobs.c: the loop of the contract example: what is claimed, finished, released and lost; that no transaction is open while the
 * API thinks; and what is left when workers are killed, stopped, or too many. */
#include "contract_world.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- between the units ---- */

Test(contract_jobs, no_transaction_is_open_and_nothing_is_locked_while_the_api_thinks)
{
    static const char *const held[] = {"/contracts/C-1", "/contracts/C-1/items?page=2"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        world_say_one(world, "C-1", 1, 3,
                      i == 0 ? "{'path': '/contracts/C-1', 'do': 'hold'}"
                             : "{'path': '*page=2', 'do': 'hold'}");
        world_want(world, 1, 1);
        pid_t worker = world_start_worker(world, 1, NULL);
        world_wait_asked(world, held[i]);
        cr_expect_eq(postgres_int(world->admin,
                                  "select count(*) from pg_stat_activity where usename = '%s' and"
                                  " datname = current_database() and state = 'idle'"
                                  " and xact_start is null and backend_xmin is null",
                                  POSTGRES_WRITER),
                     1, "the worker's session is not idle outside of a transaction");
        cr_expect_eq(postgres_int(world->admin,
                                  "select count(*) from pg_locks l join pg_stat_activity a using (pid)"
                                  " where a.usename = '%s' and a.datname = current_database()",
                                  POSTGRES_WRITER),
                     0);
        cr_expect_eq(world_count_jobs(world, "claimed_until > now() and failures = 0"), 1);
        world_release(world);
        world_wait_jobs(world, 1, "outcome = 'stored'");
        world_stop(worker);
        world_expect_whole(world);
        world_end(world);
    }
}

/* ---- outcomes ---- */

Test(contract_jobs, many_contracts_of_which_some_fail_are_each_a_unit_and_each_row_says_what_came_of_it,
     .timeout = 120)
{
    struct world *world = world_start();
    world_say_many(world, 40, 1,
                   "{'path': '/contracts/C-3', 'do': 'status', 'status': 404},"
                   "{'path': '/contracts/C-7/items*', 'do': 'raw', 'body': '}'},"
                   "{'path': '/contracts/C-11', 'do': 'status', 'status': 500},"
                   "{'path': '/contracts/C-13', 'do': 'hang'},"
                   "{'path': '/contracts/C-17', 'do': 'reset'},"
                   "{'path': '/contracts/C-19', 'do': 'truncate', 'times': 1},"
                   "{'path': '/contracts/C-23', 'do': 'status', 'status': 429},"
                   "{'path': '/contracts/C-29', 'do': 'huge', 'bytes': 5000000}");
    world_want(world, 1, 40);
    static const char *const patience[] = {"--request-timeout-ms", "1500",    "--attempts", "2",
                                           "--retry-ms",           "3600000", NULL};
    pid_t worker = world_start_worker(world, 1, patience);
    world_wait_jobs(world, 40, "outcome is not null and (claimed_until is null or contract_id = 'C-23')");
    cr_expect_eq(world_count_jobs(world, "outcome = 'stored' and last_error is null and failures = 0"), 33);
    cr_expect_eq(
        world_count_jobs(world, "contract_id = 'C-3' and outcome = 'not_found' and due_at = 'infinity'"), 1);
    cr_expect_eq(
        world_count_jobs(world,
                         "contract_id in ('C-7', 'C-29') and outcome = 'bad_data' and due_at = 'infinity'"),
        2);
    cr_expect_eq(world_count_jobs(world, "contract_id in ('C-11', 'C-13', 'C-17') and outcome = 'timeout'"
                                         " and failures = 1 and due_at between now() + interval '50 min'"
                                         " and now() + interval '1 hour'"),
                 3);
    cr_expect_eq(
        world_count_jobs(world, "contract_id = 'C-23' and outcome = 'rate_limited' and failures = 0"), 1);
    cr_expect_eq(world_count_jobs(world, "last_error like '%' || contract_id || '%'"), 7,
                 "a row does not say what was wrong");
    cr_expect_eq(world_count_rows(world, "contract"), 33);
    world_expect_whole(world);

    world_say_many(world, 40, 1, "");
    world_want(world, 1, 40);
    /* C-23 may have been under way when it was wanted again: then it is looked at twice */
    world_wait_jobs(world, 40,
                    "(outcome = 'stored' or outcome = 'unchanged') and due_at = 'infinity'"
                    " and claimed_until is null and failures = 0 and last_error is null");
    cr_expect_eq(world_count_jobs(world, "outcome = 'unchanged' and contract_id <> 'C-23'"), 33);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 40);
    world_stop(worker);
    world_expect_whole(world);
    world_end(world);
}

Test(contract_jobs, a_timeout_is_tried_again_later_and_given_up_in_the_end)
{
    struct world *world = world_start();
    static const char *const patience[] = {"--attempts", "1", "--retry-ms", "1", NULL};
    pid_t worker = world_start_on_one(world, 3, "{'path': '*', 'do': 'status', 'status': 500}", patience);
    world_wait_jobs(world, 1, "outcome = 'timeout' and due_at = 'infinity' and claimed_until is null");
    cr_expect_eq(world_count_jobs(world, "failures = 10 and last_error = '/contracts/C-1: HTTP 500'"), 1);
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1"), 10);
    world_say_one(world, "C-1", 1, 3, "");
    world_want(world, 1, 1);
    world_wait_jobs(world, 1, "outcome = 'stored' and failures = 0");
    world_stop(worker);
    world_expect_whole(world);
    world_end(world);
}

/* Its worker asks for no other contract either: the limit and the credentials are the client's. */
Test(contract_jobs, an_api_that_refuses_the_client_is_asked_for_no_contract_until_then_and_none_is_given_up)
{
    static const struct {
        const char *fault, *outcome;
        int retry_after_s; /* 0: the API does not say */
        int64_t least_ms;
    } cases[] = {{"'status': 429", "rate_limited", 3, 2950},
                 {"'status': 429", "rate_limited", 0, 450},
                 {"'status': 401", "unauthorized", 0, 450},
                 {"'status': 403", "unauthorized", 0, 450}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *world = world_start();
        int retry_after_s = (int)(cases[i].retry_after_s * wait_patience());
        char *retry_after =
            retry_after_s > 0 ? must_format(", 'retry_after': '%d'", retry_after_s) : must_strdup("");
        char *faults =
            must_format("{'path': '*', 'do': 'status', 'times': 1, %s%s}", cases[i].fault, retry_after);
        world_say_many(world, 3, 1, faults);
        world_want(world, 1, 3);
        postgres_exec(world->admin, "update contract_job set due_at = due_at - interval '1 min', failures = "
                                    "9 where contract_id = 'C-1'");
        static const char *const one_attempt[] = {"--attempts", "1", NULL};
        pid_t worker = world_start_worker(world, 1, one_attempt);
        char *says = must_format("C-1 %s: /contracts/C-1: HTTP ", cases[i].outcome);
        free(world_wait_said(world, 1, says));
        world_wait_jobs(world, 3, "outcome = 'stored'");
        int64_t refused_ms = world_request_ms(world, "/contracts/C-1", 1);
        for (int number = 2; number <= 3; number++) {
            char *path = must_format("/contracts/C-%d", number);
            cr_expect_geq(world_request_ms(world, path, 1), refused_ms + cases[i].least_ms,
                          "%s was asked too soon", path);
            free(path);
        }
        world_stop(worker);
        free(says);
        free(faults);
        free(retry_after);
        world_end(world);
    }
}

Test(contract_jobs, another_worker_asks_for_nothing_either_even_one_that_starts_only_then)
{
    static const char *const statuses[] = {"429", "503"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        int retry_after_s = (int)(3 * wait_patience());
        char *faults = must_format("{'path': '/contracts/C-1', 'do': 'status', 'status': %s, 'times': 1,"
                                   " 'retry_after': '%d'}",
                                   statuses[i], retry_after_s);
        static const char *const one_attempt[] = {"--attempts", "1", NULL};
        world_say_many(world, 2, 1, faults);
        world_want(world, 1, 1);
        pid_t told = world_start_worker(world, 1, one_attempt);
        world_wait_jobs(world, 1, "outcome is not null");
        world_stop(told);
        world_want(world, 2, 2);
        pid_t other = world_start_worker(world, 2, one_attempt);
        world_wait_jobs(world, 2, "outcome = 'stored'");
        cr_expect_geq(world_request_ms(world, "/contracts/C-2", 1),
                      world_request_ms(world, "/contracts/C-1", 1) + 2950, "%s", statuses[i]);
        world_stop(other);
        free(faults);
        world_end(world);
    }
}

Test(contract_jobs, a_retry_after_of_a_week_is_taken_for_an_hour)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3,
                  "{'path': '*', 'do': 'status', 'status': 429, 'retry_after': '604800'}");
    world_want(world, 1, 1);
    pid_t worker = world_start_worker(world, 1, NULL);
    world_wait_jobs(world, 1,
                    "outcome = 'rate_limited' and due_at between now() + interval '59 min'"
                    " and now() + interval '1 hour'");
    world_stop(worker);
    world_end(world);
}

Test(contract_jobs, a_stored_contract_is_looked_at_again_when_it_is_wished_so)
{
    struct world *world = world_start();
    static const char *const often[] = {"--refresh-ms", "10", NULL};
    pid_t worker = world_start_on_one(world, 3, "", often);
    wait_for(world_count(world, "answers", "/contracts/C-1 304") >= 2, 20000);
    world_say_one(world, "C-1", 2, 5, "");
    wait_for(world_count_rows(world, "outbox.event") == 2, 20000);
    world_stop(worker);
    cr_expect_eq(postgres_int(world->admin, "select version from contract"), 2);
    world_expect_whole(world);
    world_end(world);
}

Test(contract_jobs, who_wants_a_contract_while_it_is_worked_on_is_not_forgotten)
{
    struct world *world = world_start();
    pid_t worker = world_start_on_one(world, 0, "{'path': '*', 'do': 'hold', 'times': 1}", NULL);
    world_wait_asked(world, "/contracts/C-1");
    world_say_one(world, "C-1", 2, 3, "");
    world_want(world, 1, 1);
    world_release(world);
    wait_for(postgres_int(world->admin, "select count(*) from contract where version = 2") == 1, 20000);
    world_wait_jobs(world, 1, "due_at = 'infinity' and claimed_until is null and outcome = 'stored'");
    world_stop(worker);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 2);
    world_expect_whole(world);
    world_end(world);
}

/* ---- what Postgres does not take ---- */

Test(contract_jobs, a_contract_that_postgres_refuses_says_why_and_is_given_up_in_the_end_and_others_go_on)
{
    struct world *world = world_start();
    world_say_many(world, 3, 1, "");
    postgres_exec(world->admin, "alter table contract_item add constraint no_fourth_rope check (line <> 4)");
    world_want(world, 1, 3); /* of which C-3 has four items */
    static const char *const soon[] = {"--retry-ms", "1", NULL};
    pid_t worker = world_start_worker(world, 1, soon);
    world_wait_jobs(world, 1, "outcome = 'refused' and due_at = 'infinity' and claimed_until is null");
    cr_expect_eq(world_count_jobs(world, "contract_id = 'C-3' and failures = 10 and last_error like"
                                         " 'C-3: SQLSTATE 23514: %no_fourth_rope%'"),
                 1);
    cr_expect_eq(world_count(world, "requests", "/contracts/C-3"), 10);
    cr_expect_eq(world_count_jobs(world, "outcome = 'stored'"), 2);
    cr_expect_eq(world_count_rows(world, "contract"), 2);
    world_expect_whole(world);

    postgres_exec(world->admin, "alter table contract_item drop constraint no_fourth_rope");
    world_want(world, 3, 3);
    world_wait_jobs(world, 3, "outcome = 'stored' and failures = 0 and last_error is null");
    world_stop(worker);
    world_expect_whole(world);
    world_end(world);
}

Test(contract_jobs, a_refusal_that_is_no_fault_of_the_contract_is_in_its_row_and_gives_nothing_up)
{
    struct world *world = world_start();
    postgres_exec(world->admin, "revoke insert on contract_item from %s", POSTGRES_WRITER);
    static const char *const soon[] = {"--retry-ms", "1", NULL};
    pid_t worker = world_start_on_one(world, 3, "", soon);
    wait_for(world_count(world, "requests", "/contracts/C-1") > 11, 60000);
    cr_expect_eq(world_count_jobs(world, "outcome = 'refused' and failures = 0 and last_error like"
                                         " 'C-1: SQLSTATE 42501: %contract_item%'"),
                 1);
    postgres_exec(world->admin, "grant insert on contract_item to %s", POSTGRES_WRITER);
    world_wait_jobs(world, 1, "outcome = 'stored' and due_at = 'infinity'");
    world_stop(worker);
    world_expect_whole(world);
    world_end(world);
}

/* The row has room for a part of it, and half a character would be refused in its turn. */
Test(contract_jobs, a_refusal_in_many_words_of_another_language_is_cut_between_two_characters)
{
    static const char *const starts[] = {"", "x", "xx", "xxx"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct world *world = world_start();
        postgres_exec(
            world->admin,
            "create function object() returns trigger language plpgsql as $$ begin"
            " raise exception '%%', '%s' || repeat(U&'\\+01F600', 200); end $$;"
            " create trigger objects before insert on contract for each row execute function object()",
            starts[i]);
        pid_t worker = world_start_on_one(world, 1, "", NULL);
        world_wait_jobs(world, 1,
                        "outcome = 'refused' and last_error like 'C-1: SQLSTATE P0001: %' and "
                        "octet_length(last_error) > 250");
        world_stop(worker);
        world_end(world);
    }
}

/* ---- the end of a worker ---- */

Test(contract_jobs, sigterm_ends_the_worker_in_the_midst_of_a_request_and_gives_its_job_back)
{
    static const char *const faults[] = {"{'path': '*', 'do': 'hang'}",
                                         "{'path': '*', 'do': 'status', 'status': 429, 'retry_after': '15'}"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        static const char *const patience[] = {"--request-timeout-ms", "60000", "--deadline-ms", "60000",
                                               NULL};
        pid_t worker = world_start_on_one(world, 3, faults[i], patience);
        world_wait_asked(world, "/contracts/C-1");
        kill(worker, SIGTERM);
        cr_expect_eq(process_wait(worker, 5000), 0);
        cr_expect_eq(world_count_jobs(world, "claimed_until is null and due_at <= now() and failures = 0"
                                             " and outcome is null"),
                     1, "the job was not given back as it was");
        world_end(world);
    }
}

static void
expect_nothing_stored(const struct world *world)
{
    cr_expect_eq(postgres_int(world->admin, "select (select count(*) from contract)"
                                            " + (select count(*) from contract_item)"
                                            " + (select count(*) from outbox.event)"),
                 0, "something half is left");
    cr_expect_eq(world_count_jobs(world, "claimed_until > now() and outcome is null"), 1);
}

static void
expect_converging(const struct world *world)
{
    world_end_claims(world);
    pid_t worker = world_start_worker(world, 2, NULL);
    world_wait_jobs(world, 1, "outcome = 'stored' and claimed_until is null and claim = 2");
    world_stop(worker);
    cr_expect_eq(world_count_rows(world, "contract_item"), 3);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    world_expect_whole(world);
}

Test(contract_jobs, kill_9_between_header_and_items_leaves_nothing_and_the_job_is_taken_up_again)
{
    struct world *world = world_start();
    pid_t worker = world_start_and_hold(world);
    world_kill(worker);
    world_release(world);
    expect_nothing_stored(world);
    expect_converging(world);
    world_end(world);
}

/* The last failure that it may have is its own, and not one of those who worked on it. */
Test(contract_jobs, a_worker_that_is_killed_is_no_failure_of_its_job)
{
    struct world *world = world_start();
    static const char *const one_attempt[] = {"--attempts", "1", NULL};
    world_say_one(world, "C-1", 1, 3, "{'path': '*page=2', 'do': 'hold'}");
    world_want(world, 1, 1);
    postgres_exec(world->admin, "update contract_job set failures = 9");
    for (size_t i = 1; i <= 2; i++) {
        pid_t worker = world_start_worker(world, 1, one_attempt);
        wait_for(world_count(world, "requests", "/contracts/C-1/items?page=2") == i, 20000);
        world_kill(worker);
        world_end_claims(world);
    }
    cr_expect_eq(world_count_jobs(world, "failures = 9"), 1);
    world_say_one(world, "C-1", 1, 3, "{'path': '*', 'do': 'status', 'status': 500}");
    pid_t worker = world_start_worker(world, 1, one_attempt);
    world_wait_jobs(world, 1, "outcome = 'timeout' and failures = 10 and due_at = 'infinity'");
    world_stop(worker);
    world_release(world);
    world_end(world);
}

/* Somebody has locked the table that the next statement of the unit writes to: the worker stands in the midst of its unit. */
Test(contract_jobs, kill_9_in_the_midst_of_the_unit_leaves_nothing_and_the_job_is_taken_up_again)
{
    static const char *const tables[] = {"contract", "contract_item", "outbox.event", "contract_job"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct world *world = world_start();
        PGconn *other = postgres_open(world->postgres, world->database, POSTGRES_ADMIN);
        pid_t worker = world_start_and_hold(world);
        postgres_exec(other, "begin; lock table %s in share mode", tables[i]);
        world_release(world);
        wait_for(postgres_int(world->admin,
                              "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                              "' and datname = current_database() and wait_event_type = 'Lock'") == 1,
                 20000);
        world_kill(worker);
        postgres_exec(other, "rollback");
        PQfinish(other);
        wait_for(postgres_int(world->admin,
                              "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                              "' and datname = current_database()") == 0,
                 20000);
        expect_nothing_stored(world);
        expect_converging(world);
        world_end(world);
    }
}
