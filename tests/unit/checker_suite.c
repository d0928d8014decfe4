/* checker_suite.c: deadlines and scratch directory of the unit suite; it has no servers. */
#include "support/suite.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    suite_begin(tests);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    suite_end();
}
