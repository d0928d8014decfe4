/* contract_world.h: what the tests of the contract example share: the API, a database, the program, and what must be true of the
 * database at any moment, whatever the API does and whoever is killed. */
#ifndef OUTBOXD_TESTS_EXAMPLES_CONTRACT_WORLD_H
#define OUTBOXD_TESTS_EXAMPLES_CONTRACT_WORLD_H

#include "support/postgres.h"

#include <stddef.h>
#include <sys/types.h>

struct world {
    struct postgres *postgres;
    const char *database;
    PGconn *admin;
    char *directory; /* of the API: programs/contract_api.py says what is in it */
    char *url;
    pid_t api;
};

/* The database is empty and the API knows nothing. */
struct world *world_start(void);
void world_end(struct world *world);

/* What there is from now on, as contract_api.py reads it, with ' in place of ". `faults`: "" for none. */
void world_say(struct world *world, const char *contracts, const char *faults);

/* "'ID': {..}" in version `version` with lines 1 to `items`, two to a page, each of which has the version as its quantity, so that
 * a mixture would be seen. `further`: "" or more fields, with a comma in front. The caller frees it. */
char *world_contract(const char *id, int version, int items, const char *further);
/* Says ID and nothing else. */
void world_say_one(struct world *world, const char *id, int version, int items, const char *faults);
/* Says the contracts C-1 to C-`count`. */
void world_say_many(struct world *world, int count, int version, const char *faults);

/* Wants C-`first` to C-`last`, anew if need be. */
void world_want(const struct world *world, int first, int last);

/* How many lines of the API's `file` ("requests", "answers") have this path, and the milliseconds of the first and last. */
size_t world_count(const struct world *world, const char *file, const char *path);
int64_t world_request_ms(const struct world *world, const char *path, size_t number);
/* Until the API was asked for this path. */
void world_wait_asked(const struct world *world, const char *path);
/* Lets the held answers go; hold makes later ones held again. */
void world_release(const struct world *world);
void world_hold_again(const struct world *world);

/* The program with --api, --conninfo and short deadlines; `arguments` is NULL-terminated, begins with the command, and overrides.
 * The tests' patience (wait.h) stretches its deadlines, too. */
pid_t world_start_program(const struct world *world, const char *const *arguments, const char *output_path);
struct run {
    int code;
    char *output; /* stdout and stderr */
};
/* `contract fetch IDS [ARGUMENTS]`, ids and arguments separated by blanks, to its end. */
struct run world_fetch(const struct world *world, const char *arguments);
void run_free(struct run *run);
/* The worker of this test number `number`; `arguments`: NULL for none. */
pid_t world_start_worker(const struct world *world, int number, const char *const *arguments);
/* Says C-1 in version 1, wants it, and starts worker 1, which is the one to take it up. */
pid_t world_start_on_one(struct world *world, int items, const char *faults, const char *const *arguments);
/* The same with three items, until it stands before the second page of them: the API holds that back for world_release. */
pid_t world_start_and_hold(struct world *world);
/* SIGTERM, and a clean end. */
void world_stop(pid_t worker);
/* SIGKILL. */
void world_kill(pid_t worker);
/* What worker `number` has said; the caller frees it. */
char *world_said(const struct world *world, int number);
/* The same, when it has said this. */
char *world_wait_said(const struct world *world, int number, const char *text);

int64_t world_count_rows(const struct world *world, const char *table);
/* Jobs of which this is true; and until there are so many. */
int64_t world_count_jobs(const struct world *world, const char *condition);
void world_wait_jobs(const struct world *world, int64_t count, const char *condition);

/* The claims of workers that have died end now, as they would after their time. */
void world_end_claims(const struct world *world);
/* Fails the test unless every contract has all items of its one version, and exactly one event for each version that was stored,
 * in the order of the versions, up to the one that is there. */
void world_expect_whole(const struct world *world);

#endif
