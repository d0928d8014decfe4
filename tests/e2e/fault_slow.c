/* fault_slow.c: a thin and long line to Kafka (row 14): 64 kB a second and more than two seconds for a question and its answer. Everything gets
 * through, at the rate of the line, within memory, by the settings that docs/operations.md names for such a line. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(fault_slow, .timeout = 400);

enum { EVENTS = 600, RATE = 65536 };
/* I6, with `memory` at its default of 64 MiB and events of 1,000 bytes */
#define RSS_KIB ((64 + 64) * 1024 + 3)

/* A backlog of 0.6 MB, which takes the line 10 s. */
static void
emit(struct story *story)
{
    PGconn *admin = story_admin(story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 20),"
                  " convert_to(repeat('x', 1000), 'UTF8') from generate_series(1, %d) g",
                  story->topics[0], EVENTS);
    PQfinish(admin);
}

static struct verdict
run_story(bool exact)
{
    static const char *const thin[] = {"kafka/batch.size=65536", "transaction/events=250", NULL};
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .proxied = true, .overrides = thin});
    story_await_confirmed(&story);
    free(fproxy_command(story.proxy, "latency kafka 1200"));
    cr_assert_eq(daemon_terminate(story.relay), 0);
    daemon_again(story.relay);
    story_await_lead(story.relay);
    fproxy_rule(story.proxy, "kafka Produce throttle-request=%d", RATE);
    int64_t begin_us = clock_monotonic_us();
    emit(&story);
    wait_for(story_records(&story) >= EVENTS, 200000);
    double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;
    fprintf(stderr, "slow: %d events of 1 kB in %.0f s\n", EVENTS, seconds);
    cr_expect_gt(seconds, EVENTS * 1000.0 / RATE / 2, "it was not slow");
    story_await_confirmed(&story);
    cr_expect_leq(daemon_peak_rss_kib(story.relay), RSS_KIB);
    story_await_lead(story.relay);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    story_end(&story);
    return verdict;
}

Test(fault_slow, at_64_kB_a_second_and_two_seconds_away_everything_gets_through__P1_P2_I6__row_14)
{
    cr_expect_eq(run_story(false).duplicates, 0);
}

Test(fault_slow, at_64_kB_a_second_and_two_seconds_away_exactly_once_gets_through__P1_P3_I6__row_14)
{
    cr_expect_eq(run_story(true).duplicates, 0);
}
