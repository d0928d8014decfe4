/* suite.h: what every suite does before its first test and after its last one; called from its Criterion report hooks. */
#ifndef OUTBOXD_TESTS_SUPPORT_SUITE_H
#define OUTBOXD_TESTS_SUPPORT_SUITE_H

#include <criterion/types.h>

/* Gives a deadline to every test that has none, stretches all deadlines by the patience (wait.h), and makes the scratch
 * root, so that all tests of the suite share it. */
void suite_begin(struct criterion_test_set *tests);

/* Removes the scratch root, unless tests/run.sh made it. */
void suite_end(void);

#endif
