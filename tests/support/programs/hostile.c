/* hostile.c: the hostile load by hand, against a database that `outboxd migrate` has prepared:
 *     hostile ADMIN_CONNINFO WRITER_CONNINFO SECONDS TOPIC..            load, then stop and print the totals
 *     hostile --check ADMIN_CONNINFO BOOTSTRAP SOURCE TOPIC..           compare Kafka with the ledger; exit 1 if not clean
 * For long runs and for measuring beside a relay; the tests use load.h and checker.h directly. */
#include "support/checker.h"
#include "support/load.h"
#include "support/postgres.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int
hostile_check(char **arguments)
{
    PGconn *admin = postgres_connect(arguments[0]);
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, admin);
    struct verdict verdict =
        checker_compare(&ledger, arguments[1], (const char *const *)(uintptr_t)&arguments[3], arguments[2]);
    verdict_print(&verdict, stdout);
    expected_free(&ledger);
    PQfinish(admin);
    return verdict_clean(&verdict) ? 0 : 1;
}

/* Until the time is over or somebody interrupts. */
static void
wait_for_the_end(long seconds)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigtimedwait(&ends, NULL, &(struct timespec){.tv_sec = seconds});
}

static int
hostile_load(char **arguments)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before the threads, which inherit it */
    PGconn *admin = postgres_connect(arguments[0]);
    if (postgres_int(admin, "select count(*) from pg_namespace where nspname = 'load'") == 0)
        load_prepare(admin);
    PQfinish(admin);
    struct load *load =
        load_start(&(struct load_options){.admin = arguments[0],
                                          .writer = arguments[1],
                                          .topics = (const char *const *)(uintptr_t)&arguments[3]});
    wait_for_the_end(strtol(arguments[2], NULL, 10));
    struct load_totals totals = load_stop(load);
    load_totals_print(&totals, stdout);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc > 5 && strcmp(argv[1], "--check") == 0)
        return hostile_check(argv + 2);
    if (argc > 4 && argv[1][0] != '-')
        return hostile_load(argv + 1);
    fprintf(stderr,
            "usage: hostile ADMIN WRITER SECONDS TOPIC.. | hostile --check ADMIN BOOTSTRAP SOURCE TOPIC..\n");
    return 64;
}
