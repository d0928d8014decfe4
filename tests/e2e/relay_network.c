/* relay_network.c: a network that swallows everything between the relay and its servers (rows 15 and 62): no reset, no answer. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

TestSuite(relay_network, .timeout = 240);

/* tcp_user_timeout in src/postgres/dial.c, and what a busy machine adds. */
#define NOTICED_MS (10000 + 3000)
/* Longer than every time-out there is: of requests (10 s), transactions (30 s) and the connections to Postgres. */
#define LONG_MS 45000

/* The relay on the other side of the network leads, alone. */
static struct daemon *
begin(struct story *story, const struct network *network, bool exact)
{
    story_begin(story, &(struct story_options){.exact = exact, .network = network, .pause_us = 20000});
    struct daemon *remote = story_start_remote_relay(story, network);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    wait_for(daemon_log_contains(remote, "to=leading"), 10000);
    return remote;
}

Test(relay_network, a_connection_to_postgres_that_is_dead_is_noticed_in_time_and_replaced__P1_P2__row_62)
{
    struct story story;
    if (!network_possible())
        cr_skip_test("needs root, for a network namespace");
    struct network *network = network_open();
    struct daemon *relay = begin(&story, network, false);
    story_start_load(&story);
    story_await_events(&story, 300);

    network_cut(network); /* shorter than the time-out: the connections live on */
    story_await_moment(&story, 2000, 3000);
    network_heal(network);
    story_await_confirmed(&story);
    cr_expect_not(daemon_log_contains(relay, "Postgres is away"));

    network_cut(network);
    int64_t cut_us = clock_monotonic_us();
    wait_for(daemon_log_contains(relay, "Postgres is away"), NOTICED_MS);
    fprintf(stderr, "network: noticed after %" PRId64 " ms\n", (clock_monotonic_us() - cut_us) / 1000);
    story_await_events(&story, 300);
    network_heal(network);
    int64_t healed_us = clock_monotonic_us();
    wait_for(daemon_log_contains(relay, "Postgres is back"), 20000);
    fprintf(stderr, "network: back %" PRId64 " ms after it healed\n",
            (clock_monotonic_us() - healed_us) / 1000);
    story_finish(&story, relay);
    story_judge(&story);
    daemon_free(relay);
    story_end(&story);
    network_close(network);
}

static struct verdict
cut_for_long(bool exact)
{
    struct story story;
    struct network *network = network_open();
    struct daemon *relay = begin(&story, network, exact);
    story_start_load(&story);
    story_await_events(&story, 300);
    network_cut(network);
    story_await_moment(&story, LONG_MS, LONG_MS);
    cr_expect(daemon_running(relay));
    network_heal(network);
    story_await_events(&story, 300);
    story_finish(&story, relay);
    struct verdict verdict = story_judge(&story);
    daemon_free(relay);
    story_end(&story);
    network_close(network);
    return verdict;
}

Test(relay_network, packets_to_both_servers_that_vanish_for_45_s_lose_nothing__P1_P2__row_15)
{
    if (!network_possible())
        cr_skip_test("needs root, for a network namespace");
    cr_expect_leq(cut_for_long(false).duplicate_runs, 2 * STORY_STREAMS);
}

Test(relay_network, exactly_once_packets_to_both_servers_that_vanish_for_45_s_repeat_nothing__P1_P3__row_15)
{
    if (!network_possible())
        cr_skip_test("needs root, for a network namespace");
    cr_expect_eq(cut_for_long(true).duplicates, 0);
}
