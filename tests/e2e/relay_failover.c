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
    story_begin(&story, &(struct story_options){
                            .standby = STORY_SYNC, .exact = exact, .keys = 50, .pause_us = 10000});
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

Test(relay_failover,
     to_a_synchronous_standby_loses_nothing_and_publishes_nothing_that_is_gone__P1__P2__row_58)
{
    struct verdict verdict = fail_over_to_a_synchronous_standby(false);
    cr_expect_leq(verdict.duplicate_runs, STORY_STREAMS);
}

Test(relay_failover, to_a_synchronous_standby_with_exactly_once_repeats_nothing_either__P1__P2__P3__row_58)
{
    cr_expect_eq(fail_over_to_a_synchronous_standby(true).duplicates, 0);
}

/* ---- an asynchronous standby that lacks the last commits and ticks ---- */

/* As operations.md says. */
static void
move_sequence_on(struct story *story)
{
    PGconn *admin = story_admin(story);
    postgres_exec(admin,
                  "select setval('outbox.event_id_seq', last_value + 1000000) from outbox.event_id_seq");
    PQfinish(admin);
}

static void
end_load(struct story *story)
{
    struct load_totals totals = load_stop(story->load);
    load_totals_print(&totals, stderr);
}

/* The primary dies under load, and its standby has seen nothing of the last 1,000 events and more. The load knows the old primary only:
 * nobody writes before the sequence was moved on, as operations.md says. */
static void
lose_the_last_commits(struct story *story, bool exact)
{
    story_begin(story, &(struct story_options){
                           .standby = STORY_ASYNC, .exact = exact, .keys = 50, .pause_us = 10000});
    story->load_options.no_prepared = true; /* what is prepared on both could be ended differently */
    story->load_options.writer = postgres_conninfo(story->postgres, story->database, POSTGRES_WRITER);
    story_start_load(story);
    story_await_events(story, 2000);
    story_await_moment(story, 0, 500);
    postgres_stop_immediate(story->standby);
    int64_t records = story_records(story);
    story_await_events(story, 1000);
    wait_for(story_records(story) > records + 1000, 60000);
    postgres_kill(story->postgres);
    postgres_up(story->standby);
    story_fail_over(story);
    move_sequence_on(story);
    end_load(story);
}

static void
write_on(struct story *story)
{
    story->load_options.admin = postgres_conninfo(story->postgres, story->database, POSTGRES_ADMIN);
    story->load_options.writer = postgres_conninfo(story->postgres, story->database, POSTGRES_WRITER);
    story_start_load(story);
    story_await_events(story, 2000);
    story_finish(story, story->relay);
}

static bool
has_event(const struct expected_events *events, size_t count, int64_t id)
{
    for (size_t low = 0, high = count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (events->list[middle].id == id)
            return true;
        if (events->list[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Adds what only the old primary has committed, without the witnesses of order: counters and numbers were used again. Returns how many. */
static size_t
add_lost_history(struct story *story, struct expected_events *events)
{
    struct expected_events old = {0};
    size_t count = events->count;
    postgres_up(story->standby);
    PGconn *admin = postgres_open(story->standby, story->database, POSTGRES_ADMIN);
    load_read_ledger(&old, admin);
    PQfinish(admin);
    for (size_t i = 0; i < old.count; i++) {
        if (has_event(events, count, old.list[i].id))
            continue;
        struct expected_event *lost = expected_add(events);
        *lost = old.list[i];
        lost->xid = 0;
        lost->counter = 0;
        free(lost->snapshot);
        old.list[i] = (struct expected_event){0}; /* its bytes have moved */
        lost->snapshot = NULL;
    }
    expected_free(&old);
    return events->count - count;
}

/* Nothing that the new primary has is lost; records that it does not know are those of commits that the old one took along. Returns the
 * verdict over the new primary's events. */
static struct verdict
judge_both_histories(struct story *story)
{
    struct expected_events events = {0};
    PGconn *admin = story_admin(story);
    load_read_ledger(&events, admin);
    PQfinish(admin);
    struct verdict verdict = story_compare(story, &events);
    size_t missed = add_lost_history(story, &events);
    struct verdict both = story_compare(story, &events);
    fprintf(stderr,
            "failover: %zu events were lost with the primary, consumers know %zu of them; %zu came twice\n",
            missed, verdict.phantom, verdict.duplicates);
    cr_expect_eq(verdict.lost, 0, "%s", verdict.examples);
    cr_expect_eq(verdict.reordered, 0, "%s", verdict.examples);
    cr_expect_eq(verdict.changed, 0, "%s", verdict.examples);
    cr_expect_eq(both.phantom, 0, "a record of neither history: %s", both.examples);
    cr_expect(verdict.phantom > 0 && verdict.phantom <= missed, "the story was to lose what was published");
    expected_free(&events);
    return verdict;
}

Test(relay_failover,
     to_a_standby_that_lacks_commits_at_least_once_goes_on_and_loses_nothing_after_the_fork__P1__P2__row_59)
{
    struct story story;
    lose_the_last_commits(&story, false);
    write_on(&story);
    judge_both_histories(&story);
    story_end(&story);
}

/* Events that this database has and whose confirmation it does not. */
static int64_t
unconfirmed_events(struct story *story)
{
    PGconn *admin = story_admin(story);
    int64_t count = postgres_int(
        admin, "select coalesce(sum(e), 0)::bigint from outbox.rebase_plan(false) p, unnest(p.events) e");
    PQfinish(admin);
    return count;
}

static void
rebase_position(struct story *story)
{
    const char *admin = postgres_conninfo(story->postgres, story->database, POSTGRES_ADMIN);
    struct outboxd_result result = outboxd_run(
        (const char *[]){"rebase", "--conninfo", admin, "--position", DAEMON_RELAY, "--yes", NULL});
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    outboxd_result_free(&result);
}

/* Ends by itself with this exit code and these words in its log. */
static void
expect_end(struct daemon *relay, int exit_code, const char *cause, const char *cure)
{
    int got = daemon_wait_exit(relay, 30000);
    char *log = daemon_log(relay);
    cr_assert_eq(got, exit_code, "exit code %d:\n%s", got, log);
    cr_assert_not_null(strstr(log, cause), "\"%s\" is not named:\n%s", cause, log);
    cr_assert_not_null(strstr(log, cure), "\"%s\" is not named:\n%s", cure, log);
    free(log);
}

static void
go_on_behind_rebase_position(struct story *story)
{
    expect_end(story->relay, 70, "which this database does not know", "outboxd rebase --position main");
    daemon_again(story->relay);
    expect_end(story->relay, 70, "which this database does not know", "outboxd rebase --position main");
    size_t unconfirmed = (size_t)unconfirmed_events(story);
    rebase_position(story);
    daemon_again(story->relay);
    story_await_lead(story->relay);
    write_on(story);
    struct verdict verdict = judge_both_histories(story);
    cr_expect_leq(verdict.duplicates, unconfirmed, "only what was not confirmed at the fork may come again");
    fprintf(stderr, "failover: %zu events were not confirmed at the fork\n", unconfirmed);
}

Test(relay_failover,
     to_a_standby_that_lacks_commits_exactly_once_stops_and_goes_on_behind_rebase_position__P1__P3__row_59)
{
    struct story story;
    lose_the_last_commits(&story, true);
    go_on_behind_rebase_position(&story);
    story_end(&story);
}

/* ---- a backup, recovered to a moment before the last commits ---- */

static void
recover_to_a_moment(struct story *story, bool exact)
{
    story_begin(story, &(struct story_options){.own_postgres = true,
                                               .settings = postgres_archiving,
                                               .exact = exact,
                                               .keys = 50,
                                               .pause_us = 10000});
    story->load_options.no_prepared = true;
    struct postgres *lost = story->postgres, *backup = postgres_back_up(lost);
    story_start_load(story);
    story_await_events(story, 1000);
    PGconn *admin = story_admin(story);
    postgres_exec(admin, "select pg_create_restore_point('before')");
    story_await_events(story, 1000);
    end_load(story);
    story_await_confirmed(story);
    PQfinish(admin);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    postgres_archive_all(lost);
    postgres_stop_fast(lost);
    postgres_recover(backup, lost, "before");
    story->postgres = backup;
    story->standby = lost;
    move_sequence_on(story);
    daemon_free(story->relay);
    story->relay = story_start_relay(story);
}

Test(relay_failover, a_backup_recovered_to_a_moment_goes_on_where_it_stood__P1__P2__row_72)
{
    struct story story;
    recover_to_a_moment(&story, false);
    write_on(&story);
    judge_both_histories(&story);
    story_end(&story);
}

Test(relay_failover,
     a_backup_recovered_to_a_moment_stops_exactly_once_and_goes_on_behind_rebase_position__P1__P3__row_72)
{
    struct story story;
    recover_to_a_moment(&story, true);
    go_on_behind_rebase_position(&story);
    story_end(&story);
}

/* ---- the old primary comes back, and somebody writes to both ---- */

#define OLD_PAYLOAD "of the old primary"
#define OLD_EVENTS 100

/* Both servers take writes; the new one's relay leads. Nothing was lost. */
static void
come_back(struct story *story, bool exact)
{
    story_begin(
        story, &(struct story_options){.standby = STORY_SYNC, .exact = exact, .keys = 50, .pause_us = 10000});
    story->load_options.no_prepared = true;
    story_start_load(story);
    story_await_events(story, 1000);
    double epoch = daemon_metric(story->relay, "outbox_epoch");
    postgres_kill(story->postgres);
    story_fail_over(story);
    story_await_epoch(story->relay, epoch);
    postgres_up(story->standby);
    PGconn *old = postgres_open(story->standby, story->database, POSTGRES_ADMIN);
    postgres_exec(old, "alter system reset synchronous_standby_names");
    postgres_exec(old, "select pg_reload_conf()");
    wait_for(postgres_int(old, "select (current_setting('synchronous_standby_names') = '')::int") == 1,
             10000);
    postgres_exec(old,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g), '" OLD_PAYLOAD "'"
                  " from generate_series(1, %d) g",
                  story->topics[0], OLD_EVENTS);
    PQfinish(old);
}

static void
expect_refused_on_the_old_primary(struct story *story)
{
    struct daemon *old = story_start_relay_at(story, story->standby);
    expect_end(old, 70, "an old primary that came back", "stop this server");
    daemon_free(old);
}

/* It fences the relay of the new one, which sees that its epoch is still its own and goes on. */
Test(relay_failover,
     with_exactly_once_a_relay_of_an_old_primary_that_comes_back_publishes_nothing__P1__P3__row_60)
{
    struct story story;
    come_back(&story, true);
    expect_refused_on_the_old_primary(&story);
    story_await_events(&story, 500);
    story_await_confirmed(&story);
    expect_refused_on_the_old_primary(&story);
    story_await_events(&story, 500);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    story_end(&story);
}

/* How many of the events that only the old primary has are in Kafka. */
static size_t
count_of_the_old_primary(const struct story *story)
{
    static const char payload[] = OLD_PAYLOAD;
    struct records records = {0};
    size_t count = 0;
    consumer_read_all(&records, broker_bootstrap(story->broker), story->topics, true);
    for (size_t i = 0; i < records.count; i++)
        count += bytes_equal(records.list[i].value, (struct bytes){(char *)payload, strlen(payload)});
    records_free(&records);
    return count;
}

/* Nothing in Kafka tells the two apart then. */
Test(relay_failover,
     with_at_least_once_a_relay_that_only_knows_the_old_primary_publishes_what_is_written_there__row_60)
{
    struct story story;
    come_back(&story, false);
    cr_assert_eq(count_of_the_old_primary(&story), 0);
    struct daemon *old = story_start_relay_at(&story, story.standby);
    wait_for(count_of_the_old_primary(&story) == OLD_EVENTS, 30000);
    daemon_free(old);
    story_finish(&story, story.relay);
    story_end(&story);
}

/* The old primary is the first of its two hosts. */
static void
reconnect_beside_the_old_primary(bool exact)
{
    struct story story;
    come_back(&story, exact);
    PGconn *admin = story_admin(&story);
    postgres_int(admin, "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '%s'",
                 POSTGRES_RELAY);
    PQfinish(admin);
    wait_for(daemon_readiness_is(story.relay, 503, "an old primary that came back"), 20000);
    story_await_events(&story, 500);
    double epoch = daemon_metric(story.relay, "outbox_epoch");
    postgres_stop_fast(story.standby);
    story_await_epoch(story.relay, epoch);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect(exact ? verdict.duplicates == 0 : verdict.duplicate_runs <= STORY_STREAMS, "%zu runs",
              verdict.duplicate_runs);
    story_end(&story);
}

Test(relay_failover,
     a_relay_that_has_led_behind_the_promotion_waits_while_the_old_primary_stands_in_front__P1__row_60)
{
    reconnect_beside_the_old_primary(false);
}

Test(relay_failover, with_exactly_once_too_it_waits_while_the_old_primary_stands_in_front__P1__P3__row_60)
{
    reconnect_beside_the_old_primary(true);
}
