/* contract_world.c: see contract_world.h. */
#include "contract_world.h"

#include "fixture.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 40

struct world *
world_start(void)
{
    struct world *world = must_calloc(1, sizeof *world);
    int port = scratch_port();
    char *port_text = must_format("%d", port);
    const char *argv[] = {"python3", "tests/examples/programs/contract_api.py", port_text, NULL, NULL};
    setenv("no_proxy", "127.0.0.1", 1);
    world->postgres = postgres_shared();
    world->database =
        example_database(world->postgres, "contract",
                         "grant select, insert, update, delete"
                         " on contract, contract_item, contract_job, contract_pause to " POSTGRES_WRITER);
    world->admin = postgres_open(world->postgres, world->database, POSTGRES_ADMIN);
    argv[3] = world->directory = scratch_directory("api");
    world->url = must_format("http://127.0.0.1:%d/", port);
    char *log = must_format("%s/log", world->directory);
    world_say(world, "", "");
    world->api =
        process_start(&(struct process_options){.argv = argv, .output_path = log, .death_signal = SIGKILL});
    char *ready = must_format("%s/ready", world->directory);
    wait_for(access(ready, F_OK) == 0, 20000);
    free(ready);
    free(log);
    free(port_text);
    return world;
}

void
world_end(struct world *world)
{
    kill(world->api, SIGKILL);
    process_wait(world->api, 10000);
    PQfinish(world->admin);
    postgres_free(world->postgres);
    free(world->directory);
    free(world->url);
    free(world);
}

/* ---- the API ---- */

void
world_say(struct world *world, const char *contracts, const char *faults)
{
    char *text = must_format("{'contracts': {%s}, 'faults': [%s]}", contracts, faults);
    char *next = must_format("%s/state.next", world->directory);
    char *path = must_format("%s/state.json", world->directory);
    for (char *at = text; (at = strchr(at, '\'')) != NULL;)
        *at = '"';
    scratch_write_file(next, text);
    cr_assert_eq(rename(next, path), 0);
    free(path);
    free(next);
    free(text);
}

char *
world_contract(const char *id, int version, int items, const char *further)
{
    char *list = must_strdup("");
    for (int line = 1; line <= items; line++) {
        char *longer = must_format("%s%s{'line': %d, 'product': 'rope %d', 'quantity': %d,"
                                   " 'unit_price': '13.5%d', 'colour': 'a field that nobody asked for'}",
                                   list, line > 1 ? ", " : "", line, line, version, line % 10);
        free(list);
        list = longer;
    }
    char *text = must_format("'%s': {'version': %d, 'customer': 'Hafen AG', 'currency': 'EUR',"
                             " 'total': '1250.00', 'items': [%s]%s}",
                             id, version, list, further);
    free(list);
    return text;
}

void
world_say_one(struct world *world, const char *id, int version, int items, const char *faults)
{
    char *contract = world_contract(id, version, items, "");
    world_say(world, contract, faults);
    free(contract);
}

void
world_say_many(struct world *world, int count, int version, const char *faults)
{
    char *all = must_strdup("");
    for (int i = 1; i <= count; i++) {
        char *id = must_format("C-%d", i), *contract = world_contract(id, version, 1 + i % 5, "");
        char *longer = must_format("%s%s%s", all, i > 1 ? ", " : "", contract);
        free(all);
        free(contract);
        free(id);
        all = longer;
    }
    world_say(world, all, faults);
    free(all);
}

void
world_want(const struct world *world, int first, int last)
{
    postgres_exec(world->admin,
                  "insert into contract_job (contract_id) select 'C-' || n from generate_series(%d, %d) n"
                  " on conflict (contract_id) do update set due_at = now(), failures = 0",
                  first, last);
}

/* The milliseconds of line `number`, from 1, with this path; 0: there are not so many, and *count says how many. */
static int64_t
find_request(const struct world *world, const char *file, const char *path, size_t number, size_t *count)
{
    char *name = must_format("%s/%s", world->directory, file), *text = scratch_read_file(name);
    int64_t found_ms = 0;
    *count = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *at = strstr(line, path);
        char behind = at != NULL ? at[strlen(path)] : 'x';
        if ((behind == ' ' || behind == '\0') && ++*count == number)
            found_ms = strtoll(line, NULL, 10);
    }
    free(text);
    free(name);
    return found_ms;
}

size_t
world_count(const struct world *world, const char *file, const char *path)
{
    size_t count;
    find_request(world, file, path, 0, &count);
    return count;
}

int64_t
world_request_ms(const struct world *world, const char *path, size_t number)
{
    size_t count;
    int64_t ms = find_request(world, "requests", path, number, &count);
    if (ms == 0)
        test_fail("%s was asked %zu times, not %zu", path, count, number);
    return ms;
}

void
world_wait_asked(const struct world *world, const char *path)
{
    wait_for(world_count(world, "requests", path) >= 1, 20000);
}

void
world_release(const struct world *world)
{
    char *path = must_format("%s/release", world->directory);
    scratch_write_file(path, "");
    free(path);
}

void
world_hold_again(const struct world *world)
{
    char *path = must_format("%s/release", world->directory);
    unlink(path);
    free(path);
}

/* ---- the program ---- */

/* The value behind --WHAT-ms, in the tests' patience; the caller frees it. */
static char *
stretch(const char *option, const char *value)
{
    bool deadline = strcmp(option, "--request-timeout-ms") == 0 || strcmp(option, "--deadline-ms") == 0;
    char *end;
    long ms = strtol(value, &end, 10);
    return deadline && *end == '\0' ? must_format("%ld", (long)((double)ms * wait_patience()))
                                    : must_strdup(value);
}

pid_t
world_start_program(const struct world *world, const char *const *arguments, const char *output_path)
{
    char *program = example_path("contract");
    const char *argv[ARGUMENTS_MAX] = {program,
                                       "--api",
                                       world->url,
                                       "--conninfo",
                                       postgres_conninfo(world->postgres, world->database, POSTGRES_WRITER),
                                       "--request-timeout-ms",
                                       "5000",
                                       "--attempts",
                                       "3",
                                       "--deadline-ms",
                                       "20000",
                                       "--retry-ms",
                                       "20"};
    size_t count = 13;
    for (; *arguments != NULL; arguments++) {
        cr_assert_lt(count, ARGUMENTS_MAX - 1);
        argv[count++] = *arguments;
    }
    char *stretched[ARGUMENTS_MAX] = {NULL};
    for (size_t i = 1; i < count; i++)
        argv[i] = stretched[i] = stretch(argv[i - 1], argv[i]);
    pid_t pid = process_start(
        &(struct process_options){.argv = argv, .output_path = output_path, .death_signal = SIGKILL});
    for (size_t i = 1; i < count; i++)
        free(stretched[i]);
    free(program);
    return pid;
}

struct run
world_fetch(const struct world *world, const char *arguments)
{
    const char *list[ARGUMENTS_MAX] = {"fetch"};
    char *copy = must_strdup(arguments), *path = must_format("%s/fetch", world->directory);
    size_t count = 1;
    for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL;) {
        cr_assert_lt(count, ARGUMENTS_MAX - 1);
        list[count++] = word;
    }
    unlink(path);
    struct run run = {.code = process_wait(world_start_program(world, list, path), 60000)};
    run.output = scratch_read_file(path);
    free(path);
    free(copy);
    return run;
}

void
run_free(struct run *run)
{
    free(run->output);
}

pid_t
world_start_worker(const struct world *world, int number, const char *const *arguments)
{
    const char *list[ARGUMENTS_MAX] = {"run"};
    char *path = must_format("%s/worker-%d", world->directory, number);
    for (size_t count = 1; arguments != NULL && *arguments != NULL; arguments++)
        list[count++] = *arguments;
    pid_t pid = world_start_program(world, list, path);
    free(path);
    return pid;
}

pid_t
world_start_on_one(struct world *world, int items, const char *faults, const char *const *arguments)
{
    world_say_one(world, "C-1", 1, items, faults);
    world_want(world, 1, 1);
    return world_start_worker(world, 1, arguments);
}

pid_t
world_start_and_hold(struct world *world)
{
    pid_t worker = world_start_on_one(world, 3, "{'path': '*page=2', 'do': 'hold', 'times': 1}", NULL);
    world_wait_asked(world, "/contracts/C-1/items?page=2");
    return worker;
}

void
world_stop(pid_t worker)
{
    kill(worker, SIGTERM);
    cr_expect_eq(process_wait(worker, 15000), 0, "SIGTERM does not end the worker cleanly");
}

void
world_kill(pid_t worker)
{
    kill(worker, SIGKILL);
    process_wait(worker, 10000);
}

char *
world_said(const struct world *world, int number)
{
    char *path = must_format("%s/worker-%d", world->directory, number), *said = scratch_read_file(path);
    free(path);
    return said;
}

char *
world_wait_said(const struct world *world, int number, const char *text)
{
    char *said = NULL;
    wait_for((free(said), said = world_said(world, number), strstr(said, text) != NULL), 20000);
    return said;
}

/* ---- what must be true ---- */

int64_t
world_count_rows(const struct world *world, const char *table)
{
    return postgres_int(world->admin, "select count(*) from %s", table);
}

int64_t
world_count_jobs(const struct world *world, const char *condition)
{
    return postgres_int(world->admin, "select count(*) from contract_job where %s", condition);
}

void
world_wait_jobs(const struct world *world, int64_t count, const char *condition)
{
    wait_for(world_count_jobs(world, condition) == count, 60000);
}

void
world_end_claims(const struct world *world)
{
    /* what a dead worker had under way ends with its session */
    wait_for(postgres_int(world->admin,
                          "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                          "' and datname = current_database() and state <> 'idle'") == 0,
             20000);
    postgres_exec(world->admin,
                  "update contract_job set claimed_until = now() where claimed_until is not null");
}

void
world_expect_whole(const struct world *world)
{
    cr_expect_eq(
        postgres_int(world->admin,
                     "select count(*) from contract c where item_count is distinct from"
                     " (select count(*) from contract_item i where i.contract_id = c.id"
                     "   and i.quantity = c.version)"
                     " or item_count <> (select count(*) from contract_item i where i.contract_id = c.id)"),
        0, "a contract has not the items of its version");
    cr_expect_eq(postgres_int(world->admin,
                              "select count(*) from (select convert_from(key, 'UTF8') id,"
                              "  (convert_from(payload, 'UTF8')::jsonb ->> 'version')::bigint version,"
                              "  lag((convert_from(payload, 'UTF8')::jsonb ->> 'version')::bigint)"
                              "   over (partition by key order by id) earlier from outbox.event) e"
                              " where earlier >= version"),
                 0, "a version was told twice, or after a newer one");
    cr_expect_eq(postgres_int(world->admin,
                              "select count(*) from contract c where version is distinct from"
                              " (select max((convert_from(payload, 'UTF8')::jsonb ->> 'version')::bigint)"
                              "   from outbox.event where key = convert_to(c.id, 'UTF8'))"),
                 0, "a contract is there without its event");
    cr_expect_eq(postgres_int(world->admin,
                              "select count(*) from outbox.event where topic <> 'contract.stored'"
                              " or convert_from(key, 'UTF8') not in (select id from contract)"),
                 0, "an event tells of a contract that is not there");
}
