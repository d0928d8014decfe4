/* simulator_seeds.c: the simulator's twenty thousand worlds (tests/simulator), as a test of this suite. `make simulate` runs a million. */
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS 20000
#define SEEDS_LEAST 10000
#define DEADLINE_S 300 /* on two processors that are free it takes twenty seconds */

static char *directory;

static void
make_directory(void)
{
    directory = scratch_directory("simulator");
}

static void
remove_directory(void)
{
    scratch_remove_tree(directory);
    free(directory);
}

TestSuite(simulator, .init = make_directory, .fini = remove_directory, .timeout = DEADLINE_S);

/* Beside this suite's own program. */
static void
find_program(char path[512])
{
    char own[400];
    ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
    cr_assert(size > 0 && size < (ssize_t)sizeof own - 1);
    own[size] = '\0';
    char *slash = strrchr(own, '/');
    cr_assert_not_null(slash);
    *slash = '\0';
    snprintf(path, 512, "%s/simulator/simulate", own);
}

Test(simulator, P1_P2_P3_hold_in_every_one_of_twenty_thousand_simulated_worlds)
{
    char program[512], output[512], seeds[24];
    find_program(program);
    snprintf(output, sizeof output, "%s/output.log", directory);
    int count = (int)(SEEDS / wait_patience()); /* where all is slow, half of them */
    snprintf(seeds, sizeof seeds, "%d", count < SEEDS_LEAST ? SEEDS_LEAST : count);
    const char *argv[] = {program, "--seeds", seeds, NULL};
    int code = process_run(&(struct process_options){.argv = argv, .output_path = output}, DEADLINE_S * 900);
    char *said = scratch_read_file(output);
    if (code != 0) /* the seed, and everything that happened in its world */
        fputs(said, stderr);
    free(said);
    cr_assert_eq(code, 0, "`%s` says which promise was broken, and how", program);
}
