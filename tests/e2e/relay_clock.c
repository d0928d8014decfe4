/* relay_clock.c: clocks that are wrong or are set (row 52): the lease, the time-outs and what is published go by the monotonic
 * clock and by Postgres', never by the time of day of the relay's machine. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"
#include "support/wallclock.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

TestSuite(relay_clock, .timeout = 240);

#define DAY_S (INT64_C(24) * 3600)

static struct daemon *
start_by(struct story *story, struct wallclock *clock, int64_t ahead_s)
{
    wallclock_set(clock, ahead_s);
    wallclock_show(clock);
    struct daemon *relay = story_start_relay(story);
    wallclock_show(NULL);
    return relay;
}

/* The relay that story_begin() has started goes; the one with the clock leads. */
static struct daemon *
lead_by(struct story *story, struct wallclock *clock, int64_t ahead_s)
{
    struct daemon *relay = start_by(story, clock, ahead_s);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    story_await_lead(relay);
    return relay;
}

static void
expect_day(const struct daemon *relay, int64_t ahead_s)
{
    double shown_s = daemon_metric(relay, "process_start_time_seconds"),
           real_s = (double)clock_wall_us() / 1e6;
    cr_expect_lt(fabs(shown_s - real_s - (double)ahead_s), 60, "%f", shown_s - real_s);
}

Test(relay_clock, a_leader_a_day_ahead_and_a_standby_a_day_behind_keep_lease_and_order__P1_P2__row_52)
{
    struct story story;
    struct wallclock *ahead = wallclock_new(), *behind = wallclock_new();
    story_begin(&story, &(struct story_options){.lease_ms = STORY_LONG_LEASE_MS});
    story_start_load(&story);
    struct daemon *leader = lead_by(&story, ahead, DAY_S), *standby = start_by(&story, behind, -DAY_S);
    daemon_wait_ready(standby);
    expect_day(leader, DAY_S);
    expect_day(standby, -DAY_S);
    int64_t epoch = story_newest_epoch(&story);
    story_await_events(&story, 2000);
    story_await_moment(&story, 3000, 3000);
    cr_expect_eq(story_newest_epoch(&story), epoch, "another process has led");
    cr_expect_eq(daemon_http(leader, "/health/ready", NULL), 200);
    for (int i = 0; i < 2; i++) {
        daemon_kill(leader);
        int64_t killed_us = clock_monotonic_us();
        story_await_lead(standby);
        double took_ms = (double)(clock_monotonic_us() - killed_us) / 1e3;
        cr_expect_lt(took_ms, story.lease_ms + 1000 * wait_patience());
        story_await_events(&story, 500);
        story_await_confirmed(&story);
        wallclock_show(i == 0 ? ahead : behind);
        daemon_again(leader);
        wallclock_show(NULL);
        daemon_wait_ready(leader);
        struct daemon *other = leader;
        leader = standby;
        standby = other;
    }
    cr_assert_eq(daemon_terminate(standby), 0);
    story_finish(&story, leader);
    story_judge(&story);
    daemon_free(leader), daemon_free(standby);
    wallclock_free(ahead), wallclock_free(behind);
    story_end(&story);
}

struct stepping {
    struct wallclock *clock;
    _Atomic bool over;
};

static void *
step(void *context)
{
    static const int64_t ahead_s[] = {DAY_S, 0, -DAY_S, 3, -3, 7 * DAY_S, -1, -7 * DAY_S};
    struct stepping *stepping = context;
    for (size_t i = 0; !stepping->over; i++) {
        wallclock_set(stepping->clock, ahead_s[i % (sizeof ahead_s / sizeof *ahead_s)]);
        int64_t next_us = clock_monotonic_us() + 100000;
        while (!stepping->over && wait_turn(next_us))
            ;
    }
    return NULL;
}

/* Postgres and Kafka go away meanwhile: every wait of the relay for them begins and ends while the clock is set. */
Test(relay_clock, a_clock_that_is_set_ten_times_a_second_changes_neither_lead_nor_order__P1_P2__row_52)
{
    struct story story;
    pthread_t thread;
    struct stepping stepping = {.clock = wallclock_new()};
    story_begin(&story, &(struct story_options){.own_postgres = true,
                                                .own_broker = true,
                                                .pause_us = 5000,
                                                .lease_ms = STORY_LONG_LEASE_MS});
    story_start_load(&story);
    struct daemon *leader = lead_by(&story, stepping.clock, 0);
    struct daemon *standby = start_by(&story, stepping.clock, 0);
    daemon_wait_ready(standby);
    cr_assert_eq(pthread_create(&thread, NULL, step, &stepping), 0);
    int64_t epoch = story_newest_epoch(&story);
    story_await_moment(&story, 5000, 5000);
    cr_expect_eq(story_newest_epoch(&story), epoch, "another process has led");
    story_await_confirmed(&story);
    broker_stop(story.broker);
    story_await_moment(&story, 1000, 1000);
    broker_up(story.broker);
    story_await_confirmed(&story);
    postgres_stop_fast(story.postgres);
    postgres_up(story.postgres);
    story_await_confirmed(&story);
    wait_for(daemon_metric(leader, "outbox_leader") + daemon_metric(standby, "outbox_leader") == 1, 10000);
    bool changed = daemon_metric(leader, "outbox_leader") == 0;
    cr_assert_eq(daemon_terminate(changed ? leader : standby), 0);
    story_finish(&story, changed ? standby : leader);
    stepping.over = true;
    pthread_join(thread, NULL);
    story_judge(&story);
    daemon_free(leader), daemon_free(standby);
    wallclock_free(stepping.clock);
    story_end(&story);
}

/* The worst for whoever waits for a moment of the day: it has become a day longer. */
Test(relay_clock, a_clock_that_is_set_back_for_good_delays_no_connection__P1__row_52)
{
    struct story story;
    struct wallclock *clock = wallclock_new();
    story_begin(&story, &(struct story_options){.own_broker = true, .pause_us = 5000});
    story_start_load(&story);
    struct daemon *relay = lead_by(&story, clock, 0);
    story_await_events(&story, 200);
    wallclock_set(clock, -DAY_S);
    story_await_events(&story, 200);
    story_await_confirmed(&story);
    broker_kill(story.broker);
    story_await_moment(&story, 500, 1500);
    wallclock_set(clock, -2 * DAY_S);
    broker_up(story.broker);
    int64_t up_us = clock_monotonic_us();
    story_await_confirmed(&story);
    fprintf(stderr, "clock: confirmed %" PRId64 " ms after the broker was back\n",
            (clock_monotonic_us() - up_us) / 1000);
    story_finish(&story, relay);
    story_judge(&story);
    daemon_free(relay);
    wallclock_free(clock);
    story_end(&story);
}

/* A start waits for several answers, one after the other, and the clock is set within each of these waits. */
Test(relay_clock, exactly_once_starts_while_the_clock_is_set_back_and_repeats_nothing__P1_P3__row_52)
{
    struct story story;
    pthread_t thread;
    struct stepping stepping = {.clock = wallclock_new()};
    story_begin(&story, &(struct story_options){.exact = true, .pause_us = 5000});
    story_start_load(&story);
    struct daemon *relay = lead_by(&story, stepping.clock, 0);
    cr_assert_eq(pthread_create(&thread, NULL, step, &stepping), 0);
    for (int i = 0; i < 8; i++) {
        story_await_moment(&story, 0, 500);
        daemon_kill(relay);
        wallclock_show(stepping.clock);
        daemon_again(relay);
        wallclock_show(NULL);
        story_await_lead(relay);
        story_await_confirmed(&story);
    }
    story_finish(&story, relay);
    stepping.over = true;
    pthread_join(thread, NULL);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    daemon_free(relay);
    wallclock_free(stepping.clock);
    story_end(&story);
}
