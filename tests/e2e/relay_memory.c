/* relay_memory.c: no memory to be had (row 49), at moments drawn by chance: whatever the relay, libpq and librdkafka do then, the
 * process ends or waits, and the next one goes on where it was. */
#include "e2e/relay_story.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/resource.h>

TestSuite(relay_memory, .timeout = 240);

enum { ROUNDS = 12 };

/* Address space, of which a process may not have more than so much beyond what it has. */
static void
limit(struct daemon *relay, rlim_t more)
{
    rlim_t now = (rlim_t)process_status_kib(daemon_pid(relay), "VmSize:") * 1024;
    const struct rlimit few = {more == RLIM_INFINITY ? more : now + more, RLIM_INFINITY};
    cr_assert_eq(prlimit(daemon_pid(relay), RLIMIT_AS, &few, NULL), 0);
}

/* Large events, which want memory at once. */
static void
emit(struct story *story)
{
    PGconn *admin = story_admin(story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g),"
                  " convert_to(repeat(chr(97 + g), 500000), 'UTF8') from generate_series(1, 20) g",
                  story->topics[0]);
    PQfinish(admin);
}

static bool
has_ended(void *relay)
{
    return !daemon_running(relay);
}

static bool
leads_or_has_ended(void *relay)
{
    return has_ended(relay) || daemon_metric(relay, "outbox_leader") == 1;
}

/* Who had too little memory may take a while to end. Returns how often that was, and starts it again. */
static int
await_lead(struct daemon *relay)
{
    int ended = 0;
    for (;;) {
        cr_assert(wait_until(leads_or_has_ended, relay, 40000));
        if (!has_ended(relay))
            return ended;
        cr_expect_neq(daemon_wait_exit(relay, 1000), 0);
        daemon_again(relay);
        ended++;
    }
}

static struct verdict
run_out(bool exact)
{
    struct story story;
    int ended = 0;
    story_begin(&story, &(struct story_options){.exact = exact, .pause_us = 20000});
    story_start_load(&story);
    for (int i = 0; i < ROUNDS; i++) {
        ended += await_lead(story.relay);
        story_await_moment(&story, 0, 300);
        limit(story.relay, (rlim_t)story_draw(&story, 1 << 21));
        emit(&story);
        if (!wait_until(has_ended, story.relay, 3000))
            limit(story.relay, RLIM_INFINITY);
    }
    ended += await_lead(story.relay);
    fprintf(stderr, "memory: ended %d times of %d\n", ended, ROUNDS);
    cr_expect(ended > 0 || daemon_log_contains(story.relay, "memory"), "there was always enough");
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    story_end(&story);
    return verdict;
}

Test(relay_memory, a_process_that_gets_no_memory_loses_nothing__P1_P2__row_49)
{
    cr_expect_leq(run_out(false).duplicate_runs, ROUNDS * STORY_STREAMS);
}

Test(relay_memory, exactly_once_a_process_that_gets_no_memory_repeats_nothing__P1_P3__row_49)
{
    cr_expect_eq(run_out(true).duplicates, 0);
}
