/* relay_aside.c: P1, P2 and P3 while events are refused, retried, given up and copied, a topic is paused and catches up, replays are asked for,
 * and the relay is killed all the time: what is put aside and what is done beside the stream is neither lost nor, exactly once, done
 * twice. */
#include "e2e/relay_beside.h"

#include "base/clock.h"
#include "support/postgres.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_aside, .timeout = 280);

enum { KILLS = 20 };

/* Who does not serve yet may not have heard of SIGTERM. */
static void
terminate(struct daemon *relay)
{
    wait_for(daemon_http(relay, "/health/live", NULL) == 200, 20000);
    cr_assert_eq(daemon_terminate(relay), 0);
}

static void
survive(bool exact)
{
    struct story story;
    struct beside beside;
    story_begin(&story, &(struct story_options){.exact = exact, .copies = true, .pause_us = 40000});
    beside_begin(&beside, &story, false);
    story_start_load(&story);
    beside_refuse_for_good(&beside);
    for (int i = 0; i < KILLS; i++) {
        int64_t until_us = clock_monotonic_us() + (300 + story_draw(&story, 2500)) * INT64_C(1000);
        while (clock_monotonic_us() < until_us)
            beside_turn(&beside);
        if (story_draw(&story, 4) == 0)
            terminate(story.relay);
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

/* ---- a change of delivery ---- */

#define BEGIN_MS 30000
#define CHANGES 6
/* Seconds' worth of each. */
#define WAITING 5 /* times load_commit_many() */
#define REPLAYED 2000
#define RATE 200

/* Where the topic that was paused is; "": nowhere, it has caught up. */
static char *
round_of(struct beside *beside)
{
    return postgres_text(beside->admin,
                         "select coalesce(max(concat_ws(' ', number, from_seq, to_seq, after_id)), '')"
                         " from outbox.paused_topic where topic = '%s'",
                         beside->paused);
}

static bool
has_moved(struct beside *beside, const char *from)
{
    char *now = round_of(beside);
    bool moved = strcmp(now, from) != 0;
    free(now);
    return moved;
}

static int64_t
count(struct beside *beside, const char *rows)
{
    return postgres_int(beside->admin, "select count(*) from outbox.%s", rows);
}

static int64_t
replays_under_way(struct beside *beside)
{
    return count(beside, "request where done_at is null and kind = 'replay' and progress > 0");
}

/* Another event is refused, another replay goes on for a while, and the topic catches up when this returns. */
static void
begin_side_work(struct beside *beside)
{
    PGconn *admin = beside->admin;
    beside_refuse(beside);
    wait_for(count(beside, "held_event") > 0, BEGIN_MS);
    beside_replay(beside, REPLAYED, RATE);
    wait_for(replays_under_way(beside) > 0, BEGIN_MS);
    postgres_exec(admin, "select outbox.pause('main', '%s')", beside->paused);
    wait_for(daemon_log_contains(beside->story->relay, "topic paused by hand"), BEGIN_MS);
    wait_for(has_moved(beside, ""), BEGIN_MS);
    for (int i = 0; i < WAITING; i++)
        load_commit_many(admin, beside->paused);
    char *from = round_of(beside);
    postgres_exec(admin, "select outbox.resume('main', '%s')", beside->paused);
    wait_for(has_moved(beside, from), BEGIN_MS);
    free(from);
}

/* Exactly once may be killed at any moment; at least once has to be asked to stop, or it repeats. */
static bool
change_delivery(struct beside *beside, bool kills)
{
    struct story *story = beside->story;
    if (kills)
        daemon_kill(story->relay);
    else
        cr_assert_eq(daemon_terminate(story->relay), 0);
    bool amid =
        count(beside, "held_event") > 0 && count(beside, "paused_topic") > 0 && replays_under_way(beside) > 0;
    daemon_free(story->relay);
    story->exact = !story->exact;
    story->relay = story_start_relay(story);
    story_await_lead(story->relay);
    return amid;
}

/* Beside the stream, too, a clean stop repeats nothing: no copy and no event of a replay comes twice. */
Test(relay_aside, a_change_of_delivery_both_ways_amid_side_work_loses_and_repeats_nothing__P1_P2_P3)
{
    struct story story;
    struct beside beside;
    story_begin(&story, &(struct story_options){.exact = true, .copies = true, .pause_us = 40000});
    beside_begin(&beside, &story, false);
    story_start_load(&story);
    story_await_events(&story, REPLAYED);
    story_await_confirmed(&story);
    int amid = 0; /* a test that was asleep may find a topic that has caught up */
    for (int i = 0; i < CHANGES; i++) {
        begin_side_work(&beside);
        if (i % 3 == 1) /* in vain */
            postgres_exec(beside.admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter");
        story_await_moment(&story, 0, 200);
        amid += change_delivery(&beside, i % 4 == 0);
        story_await_events(&story, 200);
    }
    beside_settle(&beside);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    struct beside_verdict side = beside_judge(&beside);
    cr_expect_gt(amid, CHANGES / 2);
    cr_expect_eq(side.replays, CHANGES);
    cr_expect_gt(side.retries, 0);
    cr_expect_gt(side.in_vain, 0);
    cr_expect_gt(side.copies, 0);
    cr_expect_gt(side.replayed, 0);
    beside_end(&beside);
    story_end(&story);
}
