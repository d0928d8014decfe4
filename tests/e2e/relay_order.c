/* relay_order.c: P1 and P2 without any disturbance: whatever writers do, each committed event is published once, and events
 * of one key in the order that is promised. Beside it a poller of `id > last`, which must be caught losing events: a story
 * that could not tell the two apart would prove nothing. */
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>

TestSuite(relay_order, .timeout = 240);

/* What the control saw, judged as if it had published it. */
static void
judge_control(struct story *story, const struct records *seen)
{
    struct expected_events events = {0};
    PGconn *admin = story_admin(story);
    load_read_ledger(&events, admin);
    PQfinish(admin);
    struct verdict verdict = checker_judge(&events, seen, DAEMON_SOURCE);
    fprintf(stderr, "control: lost %zu of %zu\n", verdict.lost, verdict.expected);
    cr_expect_gt(verdict.lost, 0, "the control lost nothing: this load proves nothing");
    expected_free(&events);
}

Test(relay_order,
     if_A_had_committed_before_B_inserted_its_event_then_A_comes_first_under_16_hostile_writers__P2)
{
    struct story story;
    struct records seen = {0};
    story_begin(&story, &(struct story_options){.writers = 16});
    struct control *control = control_start(story.load_options.admin, DAEMON_SOURCE);
    story_start_load(&story);
    story_await_events(&story, 25000);
    story_finish(&story, story.relay);
    control_stop(control, &seen);
    struct verdict verdict = story_judge(&story);
    cr_expect_eq(verdict.duplicates, 0, "nothing was disturbed, and %zu records came twice",
                 verdict.duplicates);
    judge_control(&story, &seen);
    records_free(&seen);
    story_end(&story);
}

Test(relay_order, no_long_transaction_delays_other_events_and_its_own_come_once_when_it_commits__P4__row_63)
{
    struct story story;
    story_begin(&story, NULL);
    PGconn *writer = postgres_open(story.postgres, story.database, POSTGRES_WRITER);
    PGconn *admin = story_admin(&story);
    postgres_exec(writer, "begin; select outbox.emit('%s', 'early', '1')", story.topics[0]);
    story_start_load(&story);
    story_await_events(&story, 2000);
    story_await_confirmed(
        &story); /* the load goes on, and what it had committed is published: nobody waited */
    postgres_exec(writer, "select outbox.emit('%s', 'early', '2'); commit", story.topics[0]);
    PQfinish(writer);
    story_finish(&story, story.relay);
    cr_expect_eq(postgres_int(admin, "select count(*) from load.ledger where key = 'early'"), 2);
    PQfinish(admin);
    struct verdict verdict = story_judge(&story);
    cr_expect_eq(verdict.duplicates, 0);
    story_end(&story);
}

Test(relay_order, an_event_is_published_iff_its_savepoint_was_kept_among_10000_of_them__P1__row_66)
{
    struct story story;
    story_begin(&story, NULL);
    PGconn *admin = story_admin(&story);
    story_start_load(&story); /* snapshots are taken while the subtransactions overflow what they can list */
    postgres_exec(admin,
                  "do $$ begin for i in 1 .. 10000 loop begin"
                  " insert into outbox.event (topic, key, payload) values ('%s', 'savepoint', int8send(i));"
                  " if i %% 2 = 0 then raise exception 'no'; end if;"
                  " exception when raise_exception then null; end; end loop; end $$",
                  story.topics[1]);
    cr_expect_eq(postgres_int(admin, "select count(*) from load.ledger where key = 'savepoint'"), 5000);
    PQfinish(admin);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect_eq(verdict.duplicates, 0);
    story_end(&story);
}
