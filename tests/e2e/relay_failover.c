/* relay_failover.c: the primary is gone, and its standby is promoted under load, or a backup recovered (rows 58, 59, 72). The relay's conninfo lists both hosts, as
 * users have it. Whatever the standby had is published as if nothing had happened; what it lacked is counted here, and exactly-once
 * delivery stops at it. Two primaries at once are in relay_primaries.c. */
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
    cr_expect_not(daemon_log_contains(story.relay, "was moved past"), "no id is lost");
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

/* How many phantoms a rebase has counted. */
static size_t
phantoms_of(struct outboxd_result *result)
{
    static const char words[] = "this database has lost: ";
    cr_assert_eq(result->exit_code, 0, "%s%s", result->out, result->err);
    fputs(result->out, stderr);
    const char *count = strstr(result->out, words);
    cr_assert_not_null(count, "%s", result->out);
    size_t phantoms = strtoul(count + strlen(words), NULL, 10);
    outboxd_result_free(result);
    return phantoms;
}

static size_t
rebase_position(struct story *story)
{
    const char *admin = postgres_conninfo(story->postgres, story->database, POSTGRES_ADMIN);
    struct outboxd_result result = daemon_rebase_position(story->relay, admin);
    return phantoms_of(&result);
}

/* Beside a relay that is at work. `since`: NULL: since the promotion. */
static size_t
count_phantoms(struct story *story, const char *since)
{
    const char *admin = postgres_conninfo(story->postgres, story->database, POSTGRES_ADMIN);
    struct outboxd_result result = outboxd_run(
        (const char *[]){"rebase", "--conninfo", admin, "--config", daemon_config_path(story->relay),
                         "--phantoms", "--yes", since != NULL ? "--since" : NULL, since, NULL});
    return phantoms_of(&result);
}

/* Each of them stands in a line of its own, and the numbers in the last one. */
static void
expect_listed(struct story *story, size_t phantoms)
{
    const char *admin = postgres_conninfo(story->postgres, story->database, POSTGRES_ADMIN);
    struct outboxd_result result = outboxd_run(
        (const char *[]){"rebase", "--conninfo", admin, "--config", daemon_config_path(story->relay),
                         "--phantoms", "--json", "--dry-run", "--since", "1h", NULL});
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
    size_t lines = 0;
    for (const char *at = result.out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    char *numbers = must_format("\"phantoms\":%zu,", phantoms);
    cr_expect_gt(lines, phantoms);
    cr_expect_not_null(strstr(result.out, numbers), "%s is not in the last line", numbers);
    cr_expect_not_null(strstr(result.out, "{\"id\":"));
    free(numbers);
    outboxd_result_free(&result);
}

/* The primary dies under load, and its standby has seen nothing of the last 1,000 events and more. The load knows the old primary only:
 * nobody writes before the relay has found the new one, and has moved the id sequence past what it had sent. */
static void
lose_the_last_commits(struct story *story, bool exact)
{
    story_begin(story, &(struct story_options){
                           .standby = STORY_ASYNC, .exact = exact, .keys = 50, .pause_us = 10000});
    story->load_options.no_prepared = true; /* what is prepared on both could be ended differently */
    story->load_options.writer = postgres_conninfo(story->postgres, story->database, POSTGRES_WRITER);
    story_start_load(story);
    story_await_events(story, 2000);
    story_await_confirmed(story);
    story_await_moment(story, 0, 500);
    postgres_stop_immediate(story->standby);
    int64_t records = story_records(story);
    story_await_events(story, 1000);
    wait_for(story_records(story) > records + 1000, 60000);
    postgres_kill(story->postgres);
    postgres_up(story->standby);
    story_fail_over(story);
    story_stop_load(story);
    wait_for(daemon_log_contains(story->relay, "its id sequence was moved past that"), 20000);
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
    size_t phantoms = count_phantoms(&story, NULL);
    write_on(&story);
    struct verdict verdict = judge_both_histories(&story);
    cr_expect_leq(verdict.duplicate_runs, STORY_STREAMS);
    cr_expect_eq(verdict.phantom, phantoms, "rebase has counted %zu phantoms", phantoms);
    story_end(&story);
}

static void
go_on_behind_rebase_position(struct story *story)
{
    story_expect_end(story->relay, 70, "which this database does not know", "outboxd rebase --position main");
    daemon_again(story->relay);
    story_expect_end(story->relay, 70, "which this database does not know", "outboxd rebase --position main");
    size_t phantoms = rebase_position(story);
    daemon_again(story->relay);
    story_await_lead(story->relay);
    write_on(story);
    struct verdict verdict = judge_both_histories(story);
    cr_expect_eq(verdict.duplicates, 0);
    cr_expect_eq(verdict.phantom, phantoms, "rebase has counted %zu phantoms", phantoms);
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
    story_await_confirmed(story);
    story_await_moment(story, 0, 500);
    PGconn *admin = story_admin(story);
    postgres_exec(admin, "select pg_create_restore_point('before')");
    story_await_events(story, 1000);
    story_stop_load(story);
    story_await_confirmed(story);
    PQfinish(admin);
    cr_assert_eq(daemon_terminate(story->relay), 0);
    postgres_archive_all(lost);
    postgres_stop_fast(lost);
    postgres_recover(backup, lost, "before");
    story->postgres = backup;
    story->standby = lost;
    daemon_free(story->relay);
    story->relay = story_start_relay(story);
}

Test(relay_failover, a_backup_recovered_to_a_moment_goes_on_where_it_stood__P1__P2__row_72)
{
    struct story story;
    recover_to_a_moment(&story, false);
    wait_for(daemon_log_contains(story.relay, "promoted since a relay last led here"), 20000);
    size_t phantoms = count_phantoms(&story, "1h");
    expect_listed(&story, phantoms);
    write_on(&story);
    cr_expect_eq(judge_both_histories(&story).phantom, phantoms, "rebase has counted %zu phantoms", phantoms);
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
