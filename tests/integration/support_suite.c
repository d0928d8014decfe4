/* support_suite.c: one Postgres for the whole suite, started before its first test and ended after its last; tests find it
 * by postgres_shared(). */
#include "support/postgres.h"
#include "support/suite.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

static struct postgres *shared;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    suite_begin(tests);
    shared = postgres_share();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    postgres_free(shared);
    suite_end();
}
