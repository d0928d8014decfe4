/* fault_crashpoint.c: the relay ended, stopped or failed at a call of librdkafka or libpq, before it or after it, by crashpoint.so;
 * and that it is done where and as often as the rule says. */
#include "e2e/relay_lives.h"
#include "e2e/relay_setup.h"
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/crashpoint.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fault_crashpoint, .timeout = 400);

#define HIT_MS 30000
/* Longer lives, and more of them, are what the campaign is for (make crashpoints). */
#define LIFE_MS 1000

static void
commit_many(struct story *story)
{
    PGconn *admin = story_admin(story);
    load_commit_many(admin, story->topics[1]);
    PQfinish(admin);
}

/* Starts the relay by these rules, which end it. */
static void
start_by(struct story *story, const struct crashpoint *crashpoint, const char *rules)
{
    crashpoint_set(crashpoint, rules);
    daemon_again(story->relay);
    crashpoint_unset();
}

static void
kill_at_each(bool exact)
{
    struct lives lives;
    lives_begin(&lives, &(struct lives_options){.exact = exact, .pause_us = 40000, .life_ms = LIFE_MS});
    lives_count(&lives);
    for (size_t i = 0; i < LIVES_FUNCTIONS; i++) {
        if (lives_functions[i].exact && !exact)
            continue;
        lives_kill(&lives, lives_functions[i].name, "before");
        lives_kill(&lives, lives_functions[i].name, "after");
    }
    lives_end(&lives, exact ? "exactly once" : "at least once");
}

/* Events are refused, retried, given up and replayed meanwhile, and a topic is paused and catches up. */
Test(fault_crashpoint,
     kill_9_before_and_after_a_call_of_each_function_loses_and_reorders_nothing__P1_P2_P3__row_44)
{
    kill_at_each(false);
}

Test(fault_crashpoint,
     exactly_once_kill_9_before_and_after_a_call_of_each_function_repeats_nothing_either__P1_P2_P3__row_44)
{
    kill_at_each(true);
}

/* The leader stops within a call, wakes up when another has taken over, and goes on with what it was doing. */
static struct verdict
stop_at(bool exact, const char *const *rules, size_t stops)
{
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    story_begin(&story, &(struct story_options){.exact = exact, .pause_us = 20000});
    struct daemon *other = story.relay;
    story_start_load(&story);
    for (size_t i = 0; i < stops; i++) {
        crashpoint_set(crashpoint, rules[i]);
        struct daemon *zombie = story_start_relay(&story);
        crashpoint_unset();
        cr_assert_eq(daemon_terminate(other), 0);
        commit_many(&story);
        wait_for(crashpoint_hits(crashpoint, "action=stop\n") == (int)i + 1, HIT_MS);
        daemon_again(other);
        story_await_lead(other);
        daemon_continue(zombie);
        wait_for(daemon_metric(zombie, "outbox_leader") == 0, HIT_MS);
        story_await_events(&story, 200);
        cr_assert_eq(daemon_terminate(zombie), 0);
        story_await_lead(other);
        daemon_free(zombie);
    }
    story_finish(&story, other);
    struct verdict verdict = story_judge(&story);
    crashpoint_free(crashpoint);
    story_end(&story);
    return verdict;
}

/* Between two events of a page, among others: the rest is handed to its producer when somebody else leads. */
Test(fault_crashpoint, a_leader_stopped_between_two_calls_stands_by_when_it_goes_on__P1_P2_I4__row_45)
{
    static const char *const rules[] = {"rd_kafka_producev:700:before:stop",
                                        "PQsendQueryPrepared:60:after:stop",
                                        "rd_kafka_queue_poll:90:after:stop"};
    enum { STOPS = sizeof rules / sizeof *rules };
    cr_expect_leq(stop_at(false, rules, STOPS).duplicate_runs, STOPS * STORY_STREAMS);
}

/* Its commit, too, comes when another instance has fenced it. */
Test(fault_crashpoint, exactly_once_a_leader_stopped_at_a_commit_publishes_nothing_that_counts__P1_P3__row_45)
{
    static const char *const rules[] = {
        "rd_kafka_producev:700:before:stop", "rd_kafka_commit_transaction:3:before:stop",
        "rd_kafka_commit_transaction:3:after:stop", "rd_kafka_begin_transaction:2:after:stop",
        "PQsendQueryPrepared:60:after:stop"};
    cr_expect_eq(stop_at(true, rules, sizeof rules / sizeof *rules).duplicates, 0);
}

/* Records that readers of this sort find. */
static size_t
count_records(const struct story *story, bool committed)
{
    return consumer_count_all(broker_bootstrap(story->broker), story->topics, committed);
}

/* The leader stops when all events of a transaction are in Kafka, and only the position is not; it goes on, cut off from Postgres, when the
 * next one has the lead and is about to fence it. So what it commits counts, and the position is not there before. */
Test(fault_crashpoint,
     exactly_once_what_a_leader_commits_before_the_next_one_has_fenced_it_is_not_published_again__P3__row_45)
{
    enum { EVENTS = 100 };
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    static const char *const at_once[] = {"transaction/time=10s", NULL}; /* all of it is one transaction */
    story_begin(&story, &(struct story_options){.exact = true, .proxied = true, .overrides = at_once});
    story_await_confirmed(&story); /* an event, and there is a position */
    cr_assert_eq(daemon_terminate(story.relay), 0);
    start_by(&story, crashpoint, "rd_kafka_producev:101:before:stop");
    PGconn *admin = story_admin(&story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g), 'x'"
                  " from generate_series(1, %d) g",
                  story.topics[0], EVENTS);
    PQfinish(admin);
    wait_for(crashpoint_hits(crashpoint, "action=stop\n") == 1, HIT_MS);
    cr_assert_eq(count_records(&story, false), 1 + EVENTS);
    int fencing = fproxy_rule(story.proxy, "kafka InitProducerId hold-request");
    struct daemon *next = story_start_relay_at(&story, story.postgres);
    wait_for(fproxy_fired(story.proxy, fencing) > 0, HIT_MS);
    (void)fproxy_rule(story.proxy, "postgres * hold-request");
    daemon_continue(story.relay);
    cr_assert_eq(count_records(&story, true), 1 + EVENTS, "it was fenced too early");
    fproxy_clear(story.proxy);
    story_await_confirmed(&story);
    cr_expect_eq(daemon_terminate(story.relay), 0);
    story_finish(&story, next);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    daemon_free(next);
    crashpoint_free(crashpoint);
    story_end(&story);
}

/* Between taking the lead and reading the journal back: its fourth statement. The rows that it wants are gone when it wakes up. */
Test(fault_crashpoint, a_leader_that_slept_for_longer_than_the_journal_is_kept_stands_by__I4__row_45)
{
    struct crashpoint *crashpoint = crashpoint_new();
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "slept", 1, NULL);
    static const char *const overrides[] = {"lease=1s", NULL};
    crashpoint_set(crashpoint, "PQsendQueryPrepared:4:before:stop");
    setup_start(&setup, overrides);
    crashpoint_unset();
    wait_for(crashpoint_hits(crashpoint, "action=stop\n") == 1, HIT_MS);
    struct daemon *sleeper = setup.relay;
    setup.relay = NULL;
    setup_run(&setup, overrides);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 10) i",
                  topic);
    setup_expect_all_once(&setup, 20000);
    postgres_exec(setup.admin, "delete from outbox.journal where seq < (select max(confirmed_seq) from "
                               "outbox.journal)"); /* as journal_trim does after an hour */
    daemon_continue(sleeper);
    wait_for(daemon_log_contains(sleeper, "another process leads"), HIT_MS);
    cr_expect_eq(daemon_terminate(sleeper), 0);
    daemon_free(sleeper);
    crashpoint_free(crashpoint);
    setup_end(&setup);
}

Test(fault_crashpoint, calls_that_fail_cost_a_connection_or_an_instance_and_no_event__P1_P2__rows_21_57)
{
    static const char rules[] = "rd_kafka_producev:500:before:error=-195;PQconnectPoll:1:before:error;"
                                "PQsendQueryPrepared:40:before:error;PQsendQueryPrepared:80:after:error;"
                                "PQgetCopyData:900:before:error;rd_kafka_queue_poll:50..:before:delay=2";
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    story_begin(&story, &(struct story_options){.pause_us = 20000});
    cr_assert_eq(daemon_terminate(story.relay), 0);
    story_start_load(&story);
    commit_many(&story);
    start_by(&story, crashpoint, rules);
    wait_for(crashpoint_hits(crashpoint, "action=error\n") == 5, HIT_MS);
    wait_for(crashpoint_hits(crashpoint, "action=delay\n") > 10, HIT_MS);
    story_finish(&story, story.relay);
    cr_expect_leq(story_judge(&story).duplicate_runs, 5 * STORY_STREAMS);
    crashpoint_free(crashpoint);
    story_end(&story);
}

/* The k-th call of a function in the life of a process. */
struct failing {
    const char *function;
    int call;
    const char *when, *error;
};

static char *
join_rules(const struct failing *failing, size_t count)
{
    char *rules = must_format("%s", "");
    for (size_t i = 0; i < count; i++) {
        char *more = must_format("%s%s%s:%d:%s:%s", rules, i > 0 ? ";" : "", failing[i].function,
                                 failing[i].call, failing[i].when, failing[i].error);
        free(rules);
        rules = more;
    }
    return rules;
}

static void
await_failure(const struct crashpoint *crashpoint, const struct failing *failing)
{
    char *hit = must_format("function=%s call=%d when=%s action=error\n", failing->function, failing->call,
                            failing->when);
    wait_for(crashpoint_hits(crashpoint, hit) == 1, HIT_MS);
    free(hit);
}

/* Before: it has done nothing. After: it has, a commit too, and nobody but the position in Kafka says so. Starts fail when nothing is in
 * doubt, and behind such a commit; a transaction that cannot be begun fails when the last one is committed. -185: timed out, -195: the
 * connection is lost, -144: fenced. */
Test(fault_crashpoint,
     exactly_once_transactional_calls_that_fail_cost_an_instance_and_repeat_nothing__P1_P3__row_8)
{
    static const char init[] = "rd_kafka_init_transactions", begin[] = "rd_kafka_begin_transaction",
                      commit[] = "rd_kafka_commit_transaction";
    static const struct failing failing[] = {
        {init, 1, "before", "error=-195"},    {init, 2, "after", "error"},
        {begin, 1, "before", "error"},        {begin, 2, "after", "error"},
        {commit, 1, "after", "error=-185"},   {init, 6, "before", "error"},
        {init, 7, "after", "error=-185"},     {commit, 2, "before", "error"},
        {commit, 4, "after", "error"},        {commit, 5, "after", "error"},
        {begin, 12, "before", "error"},       {begin, 17, "after", "error"},
        {commit, 20, "before", "error=-185"}, {commit, 27, "after", "error=-144"},
        {commit, 40, "after", "error"}};
    enum { FAILURES = sizeof failing / sizeof *failing };
    struct story story;
    struct crashpoint *crashpoint = crashpoint_new();
    char *rules = join_rules(failing, FAILURES);
    story_begin(&story, &(struct story_options){.exact = true, .pause_us = 20000});
    cr_assert_eq(daemon_terminate(story.relay), 0);
    story_start_load(&story);
    commit_many(&story);
    start_by(&story, crashpoint, rules);
    for (size_t i = 0; i < FAILURES; i++)
        await_failure(crashpoint, &failing[i]);
    story_await_events(&story, 200);
    story_await_confirmed(&story);
    cr_expect_geq(story_instances(&story), FAILURES + 1);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    free(rules);
    crashpoint_free(crashpoint);
    story_end(&story);
}

Test(fault_crashpoint, the_shim_counts_what_the_relay_calls_and_not_what_the_libraries_call_themselves)
{
    struct setup setup = setup_begin();
    struct crashpoint *crashpoint = crashpoint_new();
    const char *topic = setup_topic(&setup, "counted", 1, NULL);
    crashpoint_set(crashpoint, "");
    setup_run(&setup, NULL);
    crashpoint_unset();
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, payload) select '%s', 'x' from generate_series(1, 300)",
                  topic);
    setup_wait_confirmed(&setup, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    cr_expect_eq(crashpoint_calls(crashpoint, "rd_kafka_producev"), 300);
    cr_expect_eq(crashpoint_calls(crashpoint, "rd_kafka_produceva"), 0, "one function calls the other");
    cr_expect_geq(crashpoint_calls(crashpoint, "rd_kafka_new"), 1);
    setup_end(&setup);
    crashpoint_free(crashpoint);
}

Test(fault_crashpoint, a_rule_that_cannot_be_carried_out_ends_the_process_before_it_begins)
{
    static const char *const rules[] = {"rd_kafka_nonsense:1:before:kill", "rd_kafka_poll:0:before:kill",
                                        "rd_kafka_poll:1:during:kill",     "rd_kafka_poll:1:before:delay",
                                        "rd_kafka_poll:1:before:error",    "rd_kafka_producev:1:after:error",
                                        "rd_kafka_poll:1:before:kill=3",   "rd_kafka_poll:1:before"};
    struct crashpoint *crashpoint = crashpoint_new();
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        crashpoint_set(crashpoint, rules[i]);
        struct outboxd_result result = outboxd_run((const char *[]){"--help", NULL});
        crashpoint_unset();
        cr_expect_eq(result.exit_code, 128 + SIGABRT, "%s: %d", rules[i], result.exit_code);
        cr_expect(strstr(result.err, "crashpoint:") != NULL, "%s: %s", rules[i], result.err);
        outboxd_result_free(&result);
    }
    crashpoint_free(crashpoint);
}
