/* contract_http.c: what the contract example makes of HTTP: which failure has which name, what is asked again and what is not, and how
 * long it waits when it is told to. */
#include "contract_world.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct failure {
    const char *path; /* of the requests that fail */
    const char *fault;
    const char *says;
    size_t asked; /* how often this path */
};

/* The program makes three attempts. */
static const struct failure failures[] = {
    {"/contracts/C-1", "'do': 'status', 'status': 404", "not_found: /contracts/C-1: HTTP 404", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 410", "not_found: /contracts/C-1: HTTP 410", 1},
    {"/contracts/C-1/items?page=2", "'do': 'status', 'status': 404", "not_found: /contracts/C-1/items?page=2",
     1},
    {"/contracts/C-1", "'do': 'status', 'status': 500", "timeout: /contracts/C-1: HTTP 500", 3},
    {"/contracts/C-1", "'do': 'status', 'status': 503", "timeout: /contracts/C-1: HTTP 503", 3},
    {"/contracts/C-1/items?page=2", "'do': 'status', 'status': 502", "timeout: /contracts/C-1/items?page=2",
     3},
    {"/contracts/C-1", "'do': 'status', 'status': 408", "timeout: /contracts/C-1: HTTP 408", 3},
    {"/contracts/C-1", "'do': 'status', 'status': 420", "rate_limited: /contracts/C-1: HTTP 420", 3},
    {"/contracts/C-1", "'do': 'status', 'status': 429", "rate_limited: /contracts/C-1: HTTP 429", 3},
    {"/contracts/C-1", "'do': 'status', 'status': 401", "unauthorized: /contracts/C-1: HTTP 401: the API", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 407", "unauthorized: /contracts/C-1: HTTP 407: the API", 1},
    {"/contracts/C-1/items?page=1", "'do': 'status', 'status': 403",
     "unauthorized: /contracts/C-1/items?page=1:", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 400", "bad_data: /contracts/C-1: HTTP 400", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 204", "bad_data: /contracts/C-1: HTTP 204", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 304", "bad_data: /contracts/C-1: HTTP 304", 1},
    {"/contracts/C-1", "'do': 'status', 'status': 302, 'location': '/contracts/C-2'",
     "bad_data: /contracts/C-1: HTTP 302", 1},
    {"/contracts/C-1", "'do': 'huge', 'bytes': 5000000",
     "bad_data: /contracts/C-1: the answer has more than 4194304 bytes", 1},
    {"/contracts/C-1", "'do': 'truncate'", "timeout: /contracts/C-1: ", 3},
    {"/contracts/C-1", "'do': 'reset'", "timeout: /contracts/C-1: ", 3},
    {"/contracts/C-1/items?page=1", "'do': 'reset'",
     "timeout: /contracts/C-1/items?page=1: ", 4}, /* one more: curl
        itself asks again when a connection that it had kept turns out to be dead */
};

Test(contract_http, each_failure_has_a_name_and_is_tried_again_when_that_may_help_and_nothing_is_written)
{
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        const struct failure *failure = &failures[i];
        struct world *world = world_start();
        char *good = world_contract("C-1", 1, 3, ""), *other = world_contract("C-2", 1, 3, "");
        char *both = must_format("%s, %s", good, other);
        char *pattern = must_strdup(failure->path), *query = strchr(pattern, '?');
        if (query != NULL)
            *query = '*';
        char *fault = must_format("{'path': '%s', %s}", pattern, failure->fault);
        world_say(world, both, fault);
        struct run run = world_fetch(world, "C-1");
        cr_expect_eq(run.code, 1, "%s: exit %d", failure->fault, run.code);
        cr_expect(strstr(run.output, failure->says) != NULL, "\"%s\" is not in: %s", failure->says,
                  run.output);
        cr_expect_eq(world_count(world, "requests", failure->path), failure->asked, "%s: asked %zu times",
                     failure->says, world_count(world, "requests", failure->path));
        cr_expect_eq(world_count(world, "requests", "/contracts/C-2"), 0, "a redirect was followed");
        cr_expect_eq(world_count_rows(world, "contract"), 0);
        cr_expect_eq(world_count_rows(world, "outbox.event"), 0);
        run_free(&run);
        free(fault);
        free(pattern);
        free(both);
        free(other);
        free(good);
        world_end(world);
    }
}

/* Fails once or twice, then goes well. */
static void
expect_overcome(const char *faults, const char *arguments)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, faults);
    struct run run = world_fetch(world, arguments);
    cr_expect_eq(run.code, 0, "%s: %s", faults, run.output);
    cr_expect_str_eq(run.output, "C-1 stored\n");
    world_expect_whole(world);
    run_free(&run);
    world_end(world);
}

Test(contract_http, what_passes_is_overcome)
{
    expect_overcome("{'path': '*', 'do': 'status', 'status': 500, 'times': 2}", "C-1");
    expect_overcome("{'path': '*', 'do': 'status', 'status': 429, 'times': 1}", "C-1");
    expect_overcome(
        "{'path': '*', 'do': 'reset', 'times': 1}, {'path': '*page=2', 'do': 'reset', 'times': 2}", "C-1");
    expect_overcome("{'path': '*page=1', 'do': 'truncate', 'times': 1}", "C-1");
    expect_overcome("{'path': '*page=2', 'do': 'hang', 'times': 1}", "C-1 --request-timeout-ms 1000");
    expect_overcome("{'path': '*', 'do': 'slow', 'ms': 5000, 'times': 1}", "C-1 --request-timeout-ms 1000");
}

/* Whether it hangs or drips: a request has its time, and a contract with all its attempts has one. */
Test(contract_http, an_api_that_hangs_is_left_at_the_deadline)
{
    static const char *const faults[] = {"{'path': '*page=1', 'do': 'hang'}",
                                         "{'path': '*', 'do': 'slow', 'ms': 60000}"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        world_say_one(world, "C-1", 1, 3, faults[i]);
        int64_t start_us = clock_monotonic_us();
        struct run run = world_fetch(world, "C-1 --request-timeout-ms 1000 --attempts 20 --deadline-ms 2500");
        int64_t took_ms = (clock_monotonic_us() - start_us) / 1000;
        cr_expect_eq(run.code, 1);
        cr_expect(strstr(run.output, "C-1 timeout: ") != NULL, "%s", run.output);
        cr_expect_lt((double)took_ms, 8000 * wait_patience(), "a deadline of 2500 ms took %lld ms",
                     (long long)took_ms);
        cr_expect_eq(world_count_rows(world, "contract"), 0);
        run_free(&run);
        world_end(world);
    }
}

Test(contract_http, nobody_at_the_address_is_a_timeout)
{
    struct world *world = world_start();
    char *arguments = must_format("C-1 --api http://127.0.0.1:%d/v1", scratch_port());
    struct run run = world_fetch(world, arguments);
    cr_expect_eq(run.code, 1);
    cr_expect(strstr(run.output, "C-1 timeout: /contracts/C-1: ") == run.output, "%s", run.output);
    run_free(&run);
    free(arguments);
    world_end(world);
}

/* ---- too often ---- */

Test(contract_http, retry_after_is_respected_in_seconds_and_as_a_date)
{
    /* a date has whole seconds: 3 from now is more than 2 from now; our own pause would be 200 ms at most */
    static const struct {
        const char *fault;
        int64_t least_ms;
    } cases[] = {{"'status': 429, 'retry_after': '2'", 2000},
                 {"'status': 420, 'retry_after': '2'", 2000},
                 {"'status': 503, 'retry_after': '1'", 1000},
                 {"'status': 429, 'retry_date': 3", 1900}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *world = world_start();
        char *fault = must_format("{'path': '*page=1', 'do': 'status', 'times': 1, %s}", cases[i].fault);
        world_say_one(world, "C-1", 1, 3, fault);
        struct run run = world_fetch(world, "C-1");
        cr_expect_str_eq(run.output, "C-1 stored\n");
        int64_t waited_ms = world_request_ms(world, "/contracts/C-1/items?page=1", 2) -
                            world_request_ms(world, "/contracts/C-1/items?page=1", 1);
        cr_expect_geq(waited_ms, cases[i].least_ms - 50, "%s: waited for %lld ms", cases[i].fault,
                      (long long)waited_ms);
        run_free(&run);
        free(fault);
        world_end(world);
    }
}

Test(contract_http, a_retry_after_beyond_the_deadline_is_not_waited_for_and_closes_the_api_for_all)
{
    struct world *world = world_start();
    world_say_many(world, 3, 1,
                   "{'path': '/contracts/C-2', 'do': 'status', 'status': 429, 'retry_after': '86400'}");
    struct run run = world_fetch(world, "C-1 C-2 C-3");
    cr_expect_eq(run.code, 1);
    cr_expect_str_eq(run.output, "C-1 stored\nC-2 rate_limited: /contracts/C-2: HTTP 429\n"
                                 "C-3 rate_limited: /contracts/C-3: the API has asked to be left alone\n");
    cr_expect_eq(world_count(world, "requests", "/contracts/C-2"), 1);
    cr_expect_eq(world_count(world, "requests", "/contracts/C-3"), 0);
    run_free(&run);
    world_end(world);
}

/* A refusal of the client by one contract is one for the next; in between nobody asks. */
Test(contract_http, without_a_retry_after_the_client_is_closed_for_a_second_that_doubles)
{
    static const struct {
        const char *status, *says;
    } cases[] = {{"429", "C-1 rate_limited: /contracts/C-1: HTTP 429\n"},
                 {"401", "C-1 unauthorized: /contracts/C-1: HTTP 401: the API does not let us in"}};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        char *fault = must_format("{'path': '*', 'do': 'status', 'status': %s, 'times': 3}", cases[i].status);
        world_say_many(world, 4, 1, fault);
        struct run run = world_fetch(world, "C-1 C-2 C-3 C-4 --attempts 1");
        cr_expect(strstr(run.output, cases[i].says) == run.output, "%s", run.output);
        cr_expect(strstr(run.output, "C-4 stored\n") != NULL, "%s", run.output);
        for (int number = 2; number <= 4; number++) {
            char *path = must_format("/contracts/C-%d", number),
                 *last = must_format("/contracts/C-%d", number - 1);
            int64_t waited_ms = world_request_ms(world, path, 1) - world_request_ms(world, last, 1);
            cr_expect_geq(waited_ms, 250 << (number - 1), "%s: %s came after %lld ms", cases[i].status, path,
                          (long long)waited_ms);
            free(last);
            free(path);
        }
        run_free(&run);
        free(fault);
        world_end(world);
    }
}

Test(contract_http, a_client_that_is_not_let_in_says_so_of_each_contract_and_does_not_ask)
{
    struct world *world = world_start();
    world_say_many(world, 3, 1,
                   "{'path': '/contracts/C-2', 'do': 'status', 'status': 403, 'retry_after': '86400'}");
    struct run run = world_fetch(world, "C-1 C-2 C-3");
    cr_expect_eq(run.code, 1);
    cr_expect(strstr(run.output, "C-2 unauthorized: /contracts/C-2: HTTP 403: the API does not let us in") !=
                  NULL,
              "%s", run.output);
    cr_expect(strstr(run.output, "C-3 unauthorized: /contracts/C-3: the API does not let us in") != NULL,
              "%s", run.output);
    cr_expect_eq(world_count(world, "requests", "/contracts/C-3"), 0);
    run_free(&run);
    world_end(world);
}

Test(contract_http, a_retry_after_that_is_over_or_nonsense_is_none)
{
    expect_overcome("{'path': '*', 'do': 'status', 'status': 429, 'retry_date': -3600, 'times': 1}", "C-1");
    expect_overcome("{'path': '*', 'do': 'status', 'status': 429, 'retry_after': 'soon', 'times': 1}", "C-1");
    expect_overcome("{'path': '*', 'do': 'status', 'status': 429, 'retry_after': '-5', 'times': 1}", "C-1");
}
