/* relay_lives.c: see relay_lives.h. */
#include "e2e/relay_lives.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILLED (128 + SIGKILL)
#define LEAD_MS 20000
#define END_MS 60000
/* Lives in which a call did not come; each one tells anew how many there are. */
#define TRIES 10
#define LOG_END 4000

const struct lives_function lives_functions[LIVES_FUNCTIONS] = {
    {"rd_kafka_new", false},
    {"rd_kafka_destroy", false},
    {"rd_kafka_producev", false},
    {"rd_kafka_purge", false},
    {"rd_kafka_queue_poll", false},
    {"rd_kafka_metadata", false},
    {"rd_kafka_controllerid", false},
    {"rd_kafka_DescribeConfigs", false},
    {"PQconnectStartParams", false},
    {"PQconnectPoll", false},
    {"PQsendQuery", false},
    {"PQsendQueryPrepared", false},
    {"PQflush", false},
    {"PQconsumeInput", false},
    {"PQgetResult", false},
    {"PQgetCopyData", false},
    {"PQfinish", false},
    {"rd_kafka_init_transactions", true},
    {"rd_kafka_begin_transaction", true},
    {"rd_kafka_commit_transaction", true},
    {"rd_kafka_clusterid", true},
    {"rd_kafka_query_watermark_offsets", true},
    {"rd_kafka_consume_start", true},
    {"rd_kafka_consume", true},
    {"rd_kafka_consume_stop", true},
};

static int
draw(struct lives *lives, long below)
{
    return rand_r(&lives->random) % (int)below;
}

static size_t
index_of(const char *function)
{
    size_t at = 0;
    while (at < LIVES_FUNCTIONS && strcmp(lives_functions[at].name, function) != 0)
        at++;
    return at;
}

void
lives_begin(struct lives *lives, const struct lives_options *options)
{
    *lives =
        (struct lives){.options = *options, .crashpoint = crashpoint_new(), .begun_us = clock_monotonic_us()};
    story_begin(&lives->story, &(struct story_options){
                                   .exact = options->exact, .copies = true, .pause_us = options->pause_us});
    beside_begin(&lives->beside, &lives->story, options->denies);
    lives->random = lives->story.seed + options->salt;
    cr_assert_eq(daemon_terminate(lives->story.relay), 0);
    story_start_load(&lives->story);
}

/* ---- a life ---- */

static void
turn_until(struct lives *lives, const char *metric, const char *rules)
{
    const struct daemon *relay = lives->story.relay;
    int64_t until_us = wait_deadline_us(LEAD_MS);
    while (daemon_running(lives->story.relay) &&
           !(daemon_metric(relay, metric) >= 1)) { /* NAN: it does not answer */
        if (clock_monotonic_us() > until_us)
            test_fail("%s: the relay has no %s, and has not ended", rules, metric);
        beside_turn(&lives->beside);
    }
}

/* The other one has taken over: it leads for a while, this one stands by, and then it is asked to stop, or killed. */
static void
take_over(struct lives *lives)
{
    if (!lives->other_runs)
        return;
    int64_t until_us = wait_deadline_us(draw(lives, lives->options.life_ms));
    while (clock_monotonic_us() < until_us)
        beside_turn(&lives->beside);
    cr_assert(daemon_running(lives->other));
    if (draw(lives, 2) == 0)
        daemon_kill(lives->other);
    else
        cr_assert_eq(daemon_terminate(lives->other), 0);
    lives->other_runs = false;
}

static void
start_other(struct lives *lives)
{
    if (lives->other == NULL)
        lives->other = story_start_relay(&lives->story);
    else
        daemon_again(lives->other);
    lives->other_runs = true;
}

static bool
ended_by_its_rule(struct lives *lives, const char *rules)
{
    int exit_code = daemon_wait_exit(lives->story.relay, END_MS);
    if (exit_code == 0 || exit_code == KILLED)
        return exit_code == KILLED;
    char *log = daemon_log(lives->story.relay);
    size_t size = strlen(log);
    test_fail("%s: the relay ended with %d; its log ends:\n%s", rules, exit_code,
              log + (size > LOG_END ? size - LOG_END : 0));
}

/* True when the relay, started by these rules, has ended by them. One in three times another process stands by, if it still runs, and leads
 * afterwards. */
static bool
live(struct lives *lives, const char *rules)
{
    struct daemon *relay = lives->story.relay;
    bool stands_by = draw(lives, 3) == 0;
    load_commit_many(lives->beside.admin, lives->story.topics[draw(lives, STORY_TOPICS)]);
    crashpoint_set(lives->crashpoint, rules);
    daemon_again(relay);
    crashpoint_unset();
    take_over(lives);
    turn_until(lives, "outbox_leader", rules);
    if (*rules == '\0') /* whose calls are counted: it comes to all of them, however busy the machine is */
        turn_until(lives, "outbox_publish_latency_seconds_count", rules);
    if (stands_by)
        start_other(lives);
    int64_t until_us = wait_deadline_us(lives->options.life_ms);
    while (daemon_running(relay) && clock_monotonic_us() < until_us)
        beside_turn(&lives->beside);
    if (daemon_running(relay))
        kill(daemon_pid(relay), SIGTERM);
    bool killed = ended_by_its_rule(lives, rules);
    if (lives->other_runs)
        story_await_lead(lives->other);
    lives->takeovers += killed && lives->other_runs;
    return killed;
}

static void
read_calls(struct lives *lives)
{
    for (size_t i = 0; i < LIVES_FUNCTIONS; i++)
        if (crashpoint_calls(lives->crashpoint, lives_functions[i].name) > 0)
            lives->calls[i] = crashpoint_calls(lives->crashpoint, lives_functions[i].name);
}

void
lives_count(struct lives *lives)
{
    cr_assert_not(live(lives, ""));
    read_calls(lives);
    char *counts = crashpoint_counts(lives->crashpoint), *rest = counts, name[64];
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        long calls;
        cr_assert_eq(sscanf(line, "%63s %ld", name, &calls), 2, "%s", line);
        size_t at = index_of(name);
        bool expected = at < LIVES_FUNCTIONS && (lives->options.exact || !lives_functions[at].exact);
        cr_expect((calls > 0) == expected || strcmp(name, "rd_kafka_poll") == 0, "%s: %ld calls in a life",
                  name, calls);
    }
    free(counts);
}

/* ---- a death ---- */

static bool
dies_at(struct lives *lives, const char *function, long call, const char *when)
{
    char *rule = must_format("%s:%ld:%s:kill", function, call, when);
    char *hit = must_format("function=%s call=%ld when=%s action=kill\n", function, call, when);
    int before = crashpoint_hits(lives->crashpoint, hit);
    bool killed = live(lives, rule);
    int hits = crashpoint_hits(lives->crashpoint, hit) - before;
    /* a thread that nobody waits for may have been about to kill when its process ended */
    cr_assert(killed ? hits == 1 : hits <= 1, "%s: %d", rule, hits);
    free(hit), free(rule);
    return killed;
}

void
lives_kill(struct lives *lives, const char *function, const char *when)
{
    size_t at = index_of(function);
    for (int tries = 0; !dies_at(lives, function, 1 + draw(lives, lives->calls[at]), when); tries++) {
        cr_assert_lt(tries, TRIES, "%s: in none of %d lives it was called as often as in the one before",
                     function, TRIES);
        read_calls(lives);
        lives->missed++;
    }
    lives->kills++;
}

/* One line. */
static void
print_end(const struct lives *lives, const char *title, const struct verdict *verdict,
          const struct beside_verdict *beside)
{
    fprintf(stderr,
            "%s: %d kills, %d takeovers, %d lives without; %zu events: lost %zu phantom %zu reordered %zu "
            "changed %zu "
            "twice %zu in %zu runs; dead letters: retried %" PRId64 " in vain %" PRId64 " discarded %" PRId64
            " copied %" PRId64 " (lost %" PRId64 " twice %" PRId64 "); replays: %" PRId64 " of %" PRId64
            " events (lost %" PRId64 " twice %" PRId64 "); the topic: paused %d forbidden %d; %.0f s\n",
            title, lives->kills, lives->takeovers, lives->missed, verdict->expected, verdict->lost,
            verdict->phantom, verdict->reordered, verdict->changed, verdict->duplicates,
            verdict->duplicate_runs, beside->retries, beside->in_vain, beside->discards, beside->copies,
            beside->copies_lost, beside->copies_twice, beside->replays, beside->replayed,
            beside->replayed_lost, beside->replayed_twice, lives->beside.pauses, lives->beside.denials,
            (double)(clock_monotonic_us() - lives->begun_us) / 1e6);
}

void
lives_end(struct lives *lives, const char *title)
{
    struct story *story = &lives->story;
    if (lives->other_runs)
        cr_assert_eq(daemon_terminate(lives->other), 0);
    daemon_again(story->relay);
    story_await_lead(story->relay);
    story_stop_load(story);
    beside_settle(&lives->beside);
    story_finish(story, story->relay);
    struct verdict verdict = story_judge(story);
    struct beside_verdict beside = beside_judge(&lives->beside);
    if (story->exact)
        cr_expect_eq(verdict.duplicates, 0, "%zu events appear more than once", verdict.duplicates);
    print_end(lives, title, &verdict, &beside);
    beside_end(&lives->beside);
    daemon_free(lives->other);
    crashpoint_free(lives->crashpoint);
    story_end(story);
}
