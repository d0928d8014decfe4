/* run.h: one seed from beginning to end. */
#ifndef OUTBOXD_TESTS_SIMULATOR_RUN_H
#define OUTBOXD_TESTS_SIMULATOR_RUN_H

#include <stdbool.h>
#include <stdint.h>

/* False: a promise was broken; world.finding says which. */
bool run_seed(uint64_t seed, bool traced);

#endif
