/* suite.c: deadlines and the scratch root of a suite (suite.h). Criterion's own --timeout does not reach tests without a
 * timeout, and cuts short those that have one for a reason. */
#include "support/suite.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/internal/ordered-set.h>
#include <criterion/internal/test.h>
#include <stddef.h>

#define DEADLINE_S 120 /* of a test that says nothing; such tests take a second or two */

void
suite_begin(struct criterion_test_set *tests)
{
    scratch_root();
    FOREACH_SET(struct criterion_suite_set * suite, tests->suites)
    {
        double shared_s = suite->suite.data != NULL ? suite->suite.data->timeout : 0;
        FOREACH_SET(struct criterion_test * test, suite->tests)
        {
            double own_s = test->data->timeout > 0 ? test->data->timeout : shared_s;
            test->data->timeout = (own_s > 0 ? own_s : DEADLINE_S) * wait_patience();
        }
    }
}

void
suite_end(void)
{
    scratch_root_remove();
}
