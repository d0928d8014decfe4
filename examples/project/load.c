/* load.c: see load.h. Each thread has a connection of its own, and makes a new one when that broke.
 * While Postgres is away, the threads wait for it, no creation is drawn, and after some ten seconds they give up. */
#include "load.h"

#include "transaction_scope.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* A restart of Postgres takes less than what so many pauses make: 5 to 11 s. */
#define TRIES 20

struct load {
    const char *conninfo;
    const struct load_options *options;
    atomic_long next; /* number of the next creation */
    atomic_long created, name_taken, workflow_twice, other, failed, unknown;
};

static atomic_long *
counter_of(struct load *load, enum project_creation_kind kind)
{
    switch (kind) {
    case PROJECT_NAME_TAKEN:
        return &load->name_taken;
    case PROJECT_WORKFLOW_TWICE:
        return &load->workflow_twice;
    case PROJECT_FAILED:
        return &load->failed;
    case PROJECT_OUTCOME_UNKNOWN:
        return &load->unknown;
    default:
        return &load->other;
    }
}

static void
create_one(struct load *load, PGconn *db, long number)
{
    static const char *const workflows[] = {"plan", "build", "ship"};
    static const char *const twice[] = {"plan", "build", "plan"};
    long every = load->options->clash_every, rest = every > 0 ? number % every : -1;
    long name_number = rest == 0 ? number - 1 : number;
    char name[48], owner[24];
    snprintf(name, sizeof name, "project %ld", name_number);
    snprintf(owner, sizeof owner, "%ld", 1 + name_number % load->options->owners);

    struct project_request request = {
        .owner_id = owner, .name = name, .workflows = rest == 1 ? twice : workflows, .workflow_count = 3};
    struct project project;
    struct project_creation_error error;
    if (create_project_with_workflows(db, &request, &project, &error)) {
        atomic_fetch_add(&load->created, 1);
        return;
    }
    atomic_fetch_add(counter_of(load, error.kind), 1);
    if (error.kind != PROJECT_NAME_TAKEN && error.kind != PROJECT_WORKFLOW_TWICE)
        fprintf(stderr, "project: creation %ld: %s %s: %s\n", number, project_creation_kind_name(error.kind),
                error.constraint, error.message);
}

/* Waits after try number `tries`: 2 ms, doubling up to a second, and of that between a half and all, so that threads which
 * failed together do not come back together. */
static void
pause_after(int tries)
{
    unsigned dice;
    long most_us = tries < 10 ? 1000L << tries : 1000000;
    if (getrandom(&dice, sizeof dice, 0) != sizeof dice)
        dice = 0;
    long wait_us = most_us / 2 + (long)(dice % (unsigned)(most_us / 2));
    nanosleep(&(struct timespec){.tv_nsec = wait_us * 1000}, NULL);
}

/* False: it gave up. */
static bool
connect_patiently(PGconn *db)
{
    for (int tries = 1; PQstatus(db) != CONNECTION_OK; tries++) {
        PQreset(db);
        if (PQstatus(db) == CONNECTION_OK)
            break;
        if (tries == 1 || tries == TRIES)
            fprintf(stderr, "project: %s: %s", tries == TRIES ? "gives up" : "cannot connect, tries again",
                    PQerrorMessage(db));
        if (tries == TRIES)
            return false;
        pause_after(tries);
    }
    return true;
}

static void *
create_until_done(void *argument)
{
    struct load *load = argument;
    PGconn *db = PQconnectdb(load->conninfo);
    long end = load->options->first + load->options->count;
    while (load->next < end && connect_patiently(db)) {
        long number = atomic_fetch_add(&load->next, 1);
        if (number < end)
            create_one(load, db, number);
    }
    PQfinish(db);
    return NULL;
}

int
load_run(const char *conninfo, const struct load_options *options)
{
    struct load load = {.conninfo = conninfo, .options = options, .next = options->first};
    pthread_t threads[THREADS_MAX];
    long started = 0;
    while (started < options->threads &&
           pthread_create(&threads[started], NULL, create_until_done, &load) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);

    printf("created=%ld name_taken=%ld workflow_twice=%ld other=%ld failed=%ld unknown=%ld retries=%ld\n",
           load.created, load.name_taken, load.workflow_twice, load.other, load.failed, load.unknown,
           transaction_scope_retries());
    bool tried_all = load.next >= options->first + options->count;
    return tried_all && load.other == 0 && load.failed == 0 && load.unknown == 0 ? 0 : 1;
}
