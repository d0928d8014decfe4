/* relay_crash.c: P1 and P3 when the relay itself is hit: killed, stopped, or cut off from its backend, at random moments
 * under the hostile load. The seed of the moments is printed. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_crash, .timeout = 240);

#define KILLS 50
#define STOPS 5
#define TERMINATIONS 60

/* One in five dies before it could lead: connecting, waiting for the lease of the one before, or taking over. */
static void
kill_at_a_random_moment(struct story *story)
{
    if (story_draw(story, 5) == 0) {
        story_await_moment(story, 0, STORY_LEASE_MS + 200);
    } else {
        story_await_lead(story->relay);
        story_await_moment(story, 50, 900);
    }
    daemon_kill(story->relay);
    daemon_again(story->relay);
}

Test(relay_crash, no_event_is_lost_and_only_whole_runs_are_sent_again_after_50_times_kill_9__P1_P3__row_44)
{
    struct story story;
    story_begin(&story, &(struct story_options){.pause_us = 20000});
    story_start_load(&story);
    for (int i = 0; i < KILLS; i++)
        kill_at_a_random_moment(&story);
    story_await_lead(story.relay);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, KILLS * STORY_STREAMS);
    cr_expect_gt(verdict.duplicates, 0, "no kill came between an acknowledgement and its confirmation");
    story_end(&story);
}

Test(
    relay_crash,
    sigterm_under_load_and_no_other_signal_exits_0_with_everything_confirmed_so_nothing_is_sent_twice__P3__row_48)
{
    struct story story;
    story_begin(&story, NULL);
    story_start_load(&story);
    for (int i = 0; i < STOPS; i++) {
        story_await_lead(story.relay);
        kill(daemon_pid(story.relay), SIGHUP);
        kill(daemon_pid(story.relay), SIGPIPE);
        story_await_moment(&story, 200, 1500);
        cr_assert_eq(daemon_terminate(story.relay), 0);
        daemon_again(story.relay);
    }
    story_await_lead(story.relay);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_eq(verdict.duplicates, 0, "a clean stop left %zu events to be sent again", verdict.duplicates);
    story_end(&story);
}

/* How many the relay had. */
static int64_t
terminate_backend(PGconn *admin)
{
    return postgres_int(admin,
                        "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity"
                        " where usename = '%s' and datname = current_database()) victim",
                        POSTGRES_RELAY);
}

Test(relay_crash, losing_its_backend_60_times_loses_nothing_and_repeats_nothing__P1_P3__row_57)
{
    struct story story;
    story_begin(&story, &(struct story_options){.pause_us = 10000});
    PGconn *admin = story_admin(&story);
    story_start_load(&story);
    for (int i = 0; i < TERMINATIONS; i++) {
        story_await_moment(&story, 20, 500);
        wait_for(terminate_backend(admin) > 0, 10000); /* it may just be connecting again */
    }
    PQfinish(admin);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    /* what is out is awaited, and the pages are kept while the epoch is its own */
    cr_expect_eq(verdict.duplicates, 0, "%zu events were sent again by the process that had sent them",
                 verdict.duplicates);
    story_end(&story);
}

/* From now on no event can be confirmed: the server refuses it as it would with a full disk. Positions before the first
 * event pass, so that the relay leads and opens ticks as ever. */
static void
refuse_confirmations(PGconn *admin)
{
    postgres_exec(
        admin, "create function load.refuse() returns trigger language plpgsql as $$ begin"
               " if new.confirmed_id is not null or exists (select from outbox.journal tick, outbox.event e"
               "   where tick.relay = new.relay and tick.seq = new.confirmed_seq"
               "   and pg_visible_in_snapshot(e.xid, tick.snapshot))"
               " then raise exception 'no space left' using errcode = 'disk_full'; end if;"
               " return new; end $$;"
               "create trigger refuse before insert on outbox.journal"
               " for each row execute function load.refuse();"
               "grant usage on schema load to " POSTGRES_RELAY);
}

static int
compare_records(const void *a, const void *b)
{
    const struct record *left = a, *right = b;
    return strcmp(left->value.data, right->value.data);
}

/* Every payload is there so many times, always with the same id. */
static void
expect_same_ids(struct records *records, size_t payloads, size_t copies)
{
    cr_assert_eq(records->count, payloads * copies);
    qsort(records->list, records->count, sizeof *records->list, compare_records);
    for (size_t i = 0; i < records->count; i++) {
        const struct record *first = &records->list[i - i % copies], *record = &records->list[i];
        const struct record_header *id = record_header(first, "id"), *again = record_header(record, "id");
        cr_assert(id != NULL && again != NULL);
        cr_assert(bytes_equal(record->value, first->value), "a payload does not come %zu times", copies);
        cr_expect(bytes_equal(id->value, again->value), "%s: id %s, then %s", first->value.data,
                  id->value.data, again->value.data);
    }
}

Test(relay_crash, the_header_id_is_the_same_on_every_re_send__P3)
{
    enum { EVENTS = 300 };
    struct story story;
    struct records records = {0};
    story_begin(&story, NULL);
    PGconn *admin = story_admin(&story);
    refuse_confirmations(admin);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 7),"
                  " convert_to('payload-' || g, 'UTF8') from generate_series(1, %d) g",
                  story.topics[0], EVENTS);
    for (int copies = 1; copies < 3; copies++) {
        wait_for(story_records(&story) == (int64_t)EVENTS * copies, 20000);
        daemon_kill(story.relay);
        daemon_again(story.relay);
    }
    wait_for(story_records(&story) == (int64_t)EVENTS * 3, 20000);
    postgres_exec(admin, "drop trigger refuse on outbox.journal");
    PQfinish(admin);
    consumer_read_all(&records, broker_bootstrap(story.broker), story.topics, true);
    expect_same_ids(&records, EVENTS, 3);
    records_free(&records);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, (size_t)EVENTS * 2, "sent again although it was not lost");
    story_end(&story);
}
