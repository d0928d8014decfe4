/* relay_standby.c: two processes of one relay: the lead is handed over, taken from the dead, from the sleeping, from the starved and
 * from those behind a broken network; and who comes back does no harm. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>

TestSuite(relay_standby, .timeout = 240);

/* The leader and the one that stands by. */
struct pair {
    struct daemon *leader, *standby;
};

static struct pair
start_pair(struct story *story)
{
    struct pair pair = {story->relay, story_start_relay(story)};
    daemon_wait_ready(pair.standby);
    return pair;
}

static void
change_places(struct pair *pair)
{
    struct daemon *leader = pair->leader;
    pair->leader = pair->standby;
    pair->standby = leader;
}

/* Ends both, so that the last leader confirms everything. */
static struct verdict
finish(struct story *story, struct pair *pair)
{
    struct daemon *standby = pair->standby;
    cr_assert_eq(daemon_terminate(standby), 0);
    story_finish(story, pair->leader);
    struct verdict verdict = story_judge(story);
    if (standby != story->relay)
        daemon_free(standby);
    else
        daemon_free(pair->leader);
    story_end(story);
    return verdict;
}

/* At once: the lease has nothing to do with it. */
Test(relay_standby, sigterm_hands_the_lead_over_at_once_and_nothing_is_sent_twice__P3__row_48)
{
    struct story story;
    int64_t longest_us = 0;
    story_begin(&story, &(struct story_options){.lease_ms = 20000});
    struct pair pair = start_pair(&story);
    story_start_load(&story);
    for (int i = 0; i < 6; i++) {
        story_await_events(&story, 300);
        story_await_moment(&story, 0, 300);
        int64_t asked_us = clock_monotonic_us();
        kill(daemon_pid(pair.leader), SIGTERM);
        story_await_lead(pair.standby);
        int64_t took_us = clock_monotonic_us() - asked_us;
        longest_us = took_us > longest_us ? took_us : longest_us;
        cr_assert_eq(daemon_terminate(pair.leader), 0);
        daemon_again(pair.leader);
        daemon_wait_ready(pair.leader);
        change_places(&pair);
    }
    fprintf(stderr, "standby: handed over six times, the longest took %" PRId64 " ms\n", longest_us / 1000);
    cr_expect_lt((double)longest_us, 5000000 * wait_patience());
    cr_expect_eq(finish(&story, &pair).duplicates, 0);
}

Test(relay_standby, a_leader_that_slept_while_another_took_over_stands_by_and_order_holds__P1_P2__row_45)
{
    struct story story;
    story_begin(&story, &(struct story_options){.keys = 20});
    struct pair pair = start_pair(&story);
    story_start_load(&story);
    for (int i = 0; i < 4; i++) {
        story_await_events(&story, 500);
        story_await_moment(&story, 0, 300);
        double epoch = daemon_metric(pair.leader, "outbox_epoch");
        daemon_pause(pair.leader);
        story_await_epoch(pair.standby, epoch);
        story_await_events(&story, 300);
        daemon_continue(pair.leader);
        wait_for(daemon_metric(pair.leader, "outbox_leader") == 0, 10000);
        story_await_lead(pair.standby);
        wait_for(daemon_http(pair.leader, "/health/ready", NULL) == 200, 10000);
        change_places(&pair);
    }
    finish(&story, &pair);
}

/* It gets a twentieth of the time, in pieces longer and shorter than its lease. */
static void
starve(struct story *story, struct daemon *relay)
{
    for (int i = 0; i < 12; i++) {
        daemon_pause(relay);
        story_await_moment(story, 200, 1500);
        daemon_continue(relay);
        story_await_moment(story, 20, 60);
    }
}

static struct verdict
starve_both(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .keys = 20});
    struct pair pair = start_pair(&story);
    story_start_load(&story);
    story_await_events(&story, 500);
    starve(&story, pair.leader);
    daemon_pause(pair.leader); /* twelve times it may have been lucky */
    story_await_lead(pair.standby);
    daemon_continue(pair.leader);
    starve(&story, pair.standby);
    story_await_events(&story, 500);
    wait_for(daemon_metric(pair.leader, "outbox_leader") + daemon_metric(pair.standby, "outbox_leader") == 1,
             10000);
    if (daemon_metric(pair.leader, "outbox_leader") == 0)
        change_places(&pair);
    return finish(&story, &pair);
}

Test(relay_standby, a_process_that_is_starved_loses_its_lease_and_nothing_else__P1_P2__row_53)
{
    starve_both(false);
}

Test(relay_standby, exactly_once_a_process_that_is_starved_repeats_nothing__P1_P3__row_53)
{
    cr_expect_eq(starve_both(true).duplicates, 0);
}

Test(relay_standby, a_leader_behind_a_broken_network_is_replaced_and_stands_by_when_it_heals__P1_P2__row_15)
{
    struct story story;
    if (!network_possible())
        cr_skip_test("needs root, for a network namespace");
    struct network *network = network_open();
    story_begin(&story,
                &(struct story_options){
                    .network = network, .keys = 20, .pause_us = 10000, .lease_ms = STORY_LONG_LEASE_MS});
    struct pair pair = {story_start_remote_relay(&story, network), story.relay};
    story_start_load(&story);
    story_await_events(&story, 300);
    cr_assert_eq(daemon_terminate(pair.standby), 0, "the local one led first");
    wait_for(daemon_log_contains(pair.leader, "to=leading"), 10000);
    daemon_again(pair.standby);
    daemon_wait_ready(pair.standby);
    for (int i = 0; i < 2; i++) {
        story_await_events(&story, 500);
        story_await_moment(&story, 0, 300);
        network_cut(network);
        int64_t cut_us = clock_monotonic_us();
        story_await_lead(pair.standby);
        fprintf(stderr, "standby: leads %" PRId64 " ms after the cut\n",
                (clock_monotonic_us() - cut_us) / 1000);
        story_await_events(&story, 500);
        network_heal(network);
        story_await_moment(&story, 2000, 4000);
        story_await_lead(pair.standby); /* who came back did not take it */
        cr_assert(daemon_running(pair.leader));
        if (i > 0)
            break;
        cr_assert_eq(daemon_terminate(pair.standby), 0);
        story_await_moment(&story, 1500, 2000);
        daemon_again(pair.standby);
        daemon_wait_ready(pair.standby);
    }
    change_places(&pair);
    finish(&story, &pair);
    network_close(network);
}

/* A page of 8 MiB, the default, would be under way for eight seconds. */
#define SLOW_KILOBYTES_PER_SECOND 1000
#define SLOW_EVENTS 20000
#define SLOW_PAYLOAD 1000
#define SLOW_SILENCE_MS 4000 /* such a page is not waited for */

/* Both processes of the relay are on the other host; the local one, which led first, is gone. */
static struct pair
start_remote_pair(struct story *story, const struct network *network)
{
    struct pair pair = {story_start_remote_relay(story, network), story_start_remote_relay(story, network)};
    wait_for(daemon_log_contains(pair.leader, "to=standby"), 10000);
    wait_for(daemon_log_contains(pair.standby, "to=standby"), 10000);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    wait_for(daemon_log_contains(pair.leader, "to=leading") ||
                 daemon_log_contains(pair.standby, "to=leading"),
             10000);
    if (daemon_log_contains(pair.standby, "to=leading"))
        change_places(&pair);
    return pair;
}

/* Small events, a page each, which come fast and tell nothing about a large page. */
static void
trickle(struct story *story, PGconn *admin)
{
    for (int i = 0; i < 20; i++) {
        postgres_exec(admin, "insert into outbox.event (topic, key, payload) values ('%s', 'k%d', '1')",
                      story->topics[i % STORY_TOPICS], i);
        story_await_moment(story, 20, 40);
    }
    story_await_confirmed(story);
}

/* Returns when the topics hold so many records; the number grows all the time. */
static void
await_records(struct story *story, int64_t records)
{
    int64_t begun_us = clock_monotonic_us(), grown_us = begun_us, longest_us = 0, before = 0, now;
    while ((now = story_records(story)) < records) {
        int64_t now_us = clock_monotonic_us(), silent_us = now_us - grown_us;
        longest_us = silent_us > longest_us ? silent_us : longest_us;
        cr_assert_lt((double)silent_us, SLOW_SILENCE_MS * 1000 * wait_patience(), "no progress at %" PRId64,
                     now);
        if (now > before) {
            before = now;
            grown_us = now_us;
        }
        story_await_moment(story, 100, 100);
    }
    fprintf(stderr, "standby: %" PRId64 " ms for %" PRId64 " records, at most %" PRId64 " ms without one\n",
            (clock_monotonic_us() - begun_us) / 1000, records, longest_us / 1000);
}

Test(relay_standby, a_backlog_behind_a_slow_network_is_read_in_pages_that_leave_the_leader_its_lease__P1_P2)
{
    struct story story;
    if (!network_possible())
        cr_skip_test("needs root, for a network namespace");
    struct network *network = network_open();
    story_begin(&story, &(struct story_options){.network = network, .lease_ms = STORY_LONG_LEASE_MS});
    struct pair pair = start_remote_pair(&story, network);
    PGconn *admin = story_admin(&story);
    trickle(&story, admin);
    if (!network_slow(network, SLOW_KILOBYTES_PER_SECOND))
        cr_skip_test("needs a kernel with sch_tbf");
    int64_t epoch = story_newest_epoch(&story), records = story_records(&story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload)"
                  " select '%s', convert_to('k' || i %% 200, 'UTF8'), convert_to(repeat('x', %d), 'UTF8')"
                  " from generate_series(1, %d) i",
                  story.topics[0], SLOW_PAYLOAD, SLOW_EVENTS);
    await_records(&story, records + SLOW_EVENTS);
    int64_t takeovers = story_newest_epoch(&story) - epoch;
    fprintf(stderr, "standby: the lead was taken %" PRId64 " times meanwhile\n", takeovers);
    cr_expect_eq(takeovers, 0);
    PQfinish(admin);
    cr_expect_eq(finish(&story, &pair).duplicates, 0);
    network_close(network);
}
