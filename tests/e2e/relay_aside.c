/* relay_aside.c: P1, P2 and P3 while events are refused, retried, given up and copied, a topic is paused and catches up, replays are asked for,
 * and the relay is killed all the time: what is put aside and what is done beside the stream is neither lost nor, exactly once, done
 * twice. */
#include "e2e/relay_beside.h"

#include "base/clock.h"

#include <criterion/criterion.h>

TestSuite(relay_aside, .timeout = 280);

enum { KILLS = 20 };

static void
survive(bool exact)
{
    struct story story;
    struct beside beside;
    story_begin(&story, &(struct story_options){.exact = exact, .copies = true, .pause_us = 40000});
    beside_begin(&beside, &story, false);
    story_start_load(&story);
    for (int i = 0; i < KILLS; i++) {
        int64_t until_us = clock_monotonic_us() + (300 + story_draw(&story, 2500)) * INT64_C(1000);
        while (clock_monotonic_us() < until_us)
            beside_turn(&beside);
        if (story_draw(&story, 4) == 0)
            cr_assert_eq(daemon_terminate(story.relay), 0);
        else
            daemon_kill(story.relay);
        daemon_again(story.relay);
    }
    beside_settle(&beside);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    if (exact)
        cr_expect_eq(verdict.duplicates, 0, "%zu events appear more than once", verdict.duplicates);
    struct beside_verdict side = beside_judge(&beside);
    cr_expect_gt(side.retries, 0);
    cr_expect_gt(side.discards, 0);
    cr_expect_gt(side.copies, 0);
    cr_expect_gt(side.replayed, 0);
    beside_end(&beside);
    story_end(&story);
}

Test(relay_aside,
     killed_while_events_are_refused_retried_and_catch_up_nothing_is_lost_or_inverted__P1_P2__row_44)
{
    survive(false);
}

Test(relay_aside, killed_while_events_are_refused_retried_and_catch_up_exactly_once_holds__P1_P2_P3__row_44)
{
    survive(true);
}
