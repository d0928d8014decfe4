/* relay_primaries.c: a standby was promoted, and the old primary takes writes, too: it lives on, or comes back (row 60). Which of them is right
 * is for people to say; the relay keeps the older one out of Kafka as far as it can know of the newer one. */
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(relay_primaries, .timeout = 120);

/* ---- the primary lives on ---- */

/* The old primary lives, with its relay and its writers: nothing that they commit from now on has a standby. */
static void
promote_beside_a_living_primary(bool exact)
{
    struct story story;
    story_begin(&story,
                &(struct story_options){.standby = STORY_SYNC, .exact = exact, .keys = 50, .pause_us = 5000});
    story.load_options.no_prepared = true;
    story.load_options.writer = postgres_conninfo(story.postgres, story.database, POSTGRES_WRITER);
    story_start_load(&story);
    story_await_events(&story, 1000);
    story_fail_over(&story);
    struct daemon *second = story_start_relay_at(&story, story.postgres);
    story_await_lead(second);
    PGconn *admin = story_admin(&story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g), 'new' from "
                  "generate_series(1, 100) g",
                  story.topics[0]);
    PQfinish(admin);
    story_await_confirmed(&story);
    story_await_moment(&story, 1000, 3000);
    postgres_kill(story.standby);
    story_stop_load(&story);
    daemon_kill(story.relay);
    story_finish(&story, second);
    struct verdict verdict = story_judge(&story);
    cr_expect(exact ? verdict.duplicates == 0 : verdict.duplicate_runs <= STORY_STREAMS, "%zu runs",
              verdict.duplicate_runs);
    daemon_free(second);
    story_end(&story);
}

Test(relay_primaries,
     a_primary_that_lives_beside_its_promoted_synchronous_standby_publishes_nothing_more__P1__row_60)
{
    promote_beside_a_living_primary(false);
}

Test(relay_primaries, a_primary_that_lives_on_repeats_nothing_with_exactly_once__P1__P3__row_60)
{
    promote_beside_a_living_primary(true);
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
    story_await_confirmed(story); /* something is published behind the promotion */
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
    story_expect_end(old, 70, "an old primary that came back", "stop this server");
    daemon_free(old);
}

/* It fences the relay of the new one, which sees that its epoch is still its own and goes on. */
Test(relay_primaries,
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
Test(relay_primaries,
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

Test(relay_primaries,
     a_relay_that_has_led_behind_the_promotion_waits_while_the_old_primary_stands_in_front__P1__row_60)
{
    reconnect_beside_the_old_primary(false);
}

Test(relay_primaries, with_exactly_once_too_it_waits_while_the_old_primary_stands_in_front__P1__P3__row_60)
{
    reconnect_beside_the_old_primary(true);
}
