/* relay_failover.c: the primary is gone and its standby is promoted under load (rows 58 to 60). The relay's conninfo lists both hosts, as
 * users have it. Whatever the standby had is published as if nothing had happened; what it lacked is counted here, and exactly-once
 * delivery stops at it. */
#include "e2e/relay_story.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_failover, .timeout = 120);

/* ---- a synchronous standby ---- */

static struct verdict
fail_over_to_a_synchronous_standby(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.standby = STORY_SYNC, .exact = exact, .keys = 50, .pause_us = 10000});
    story_start_load(&story);
    story_await_events(&story, 3000);
    story_await_moment(&story, 0, 500);
    double epoch = daemon_metric(story.relay, "outbox_epoch");
    postgres_kill(story.postgres);
    story_fail_over(&story);
    story_await_epoch(story.relay, epoch);
    story_await_events(&story, 2000);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_gt(verdict.expected, 5000);
    story_end(&story);
    return verdict;
}

Test(relay_failover, to_a_synchronous_standby_loses_nothing_and_publishes_nothing_that_is_gone__P1__P2__row_58)
{
    struct verdict verdict = fail_over_to_a_synchronous_standby(false);
    cr_expect_leq(verdict.duplicate_runs, STORY_STREAMS);
}

Test(relay_failover, to_a_synchronous_standby_with_exactly_once_repeats_nothing_either__P1__P2__P3__row_58)
{
    cr_expect_eq(fail_over_to_a_synchronous_standby(true).duplicates, 0);
}
