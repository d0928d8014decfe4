/* relay_xids.c: transaction numbers that start anew (row 76): what is read, late or not, does not depend on them. */
#include "e2e/relay_setup.h"
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

TestSuite(relay_xids, .timeout = 240);

#define EPOCH 3
/* Schema and roles take about 200, the load some hundred a second. */
#define LEFT 1500
#define NUMBERS (INT64_C(1) << 32)

static int64_t
next_number(PGconn *admin)
{
    return postgres_int(admin, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
}

/* Begins before the numbers start anew; the caller ends it afterwards, by this statement. */
static PGconn *
begin_late(struct story *story, const char *key, int events)
{
    PGconn *late = postgres_open(story->postgres, story->database, POSTGRES_WRITER);
    postgres_exec(late, "begin");
    for (int i = 0; i < events; i++)
        postgres_exec(late, "select outbox.emit('%s', '%s', '%d')", story->topics[0], key, i);
    return late;
}

static void
end_late(struct story *story, PGconn *late, const char *key, const char *statement)
{
    postgres_exec(late, "select outbox.emit('%s', '%s', '\"after\"')", story->topics[0], key);
    postgres_exec(late, "%s", statement);
    PQfinish(late);
}

Test(relay_xids, events_before_across_and_behind_the_start_of_an_epoch_come_once_and_in_order__P1_P2__row_76)
{
    struct story story;
    story_begin(&story, &(struct story_options){.xids_left = LEFT, .epoch = EPOCH, .pause_us = 2000});
    PGconn *admin = story_admin(&story);
    int64_t before = next_number(admin), border = (EPOCH + 1) * NUMBERS;
    cr_assert(before > border - LEFT && before < border - LEFT / 2, "%" PRId64, border - before);
    PGconn *commits = begin_late(&story, "commits", 3), *aborts = begin_late(&story, "aborts", 3),
           *prepares = begin_late(&story, "prepares", 3), *stays = begin_late(&story, "stays", 1);
    story_start_load(&story);
    wait_for(next_number(admin) > border + 100, 60000);
    end_late(&story, commits, "commits", "commit");
    end_late(&story, aborts, "aborts", "rollback");
    end_late(&story, prepares, "prepares", "prepare transaction 'of-the-epoch-before'");
    story_await_events(&story, 500);
    postgres_exec(admin, "commit prepared 'of-the-epoch-before'");
    story_await_confirmed(&story);
    cr_expect_eq(postgres_int(admin, "select count(*) from load.ledger where key in ('commits', 'prepares')"),
                 8);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);

    /* a new process reads back what stands in the journal, on this side of the border and beyond */
    daemon_again(story.relay);
    story_await_lead(story.relay);
    end_late(&story, stays, "stays", "commit");
    struct outboxd_result result =
        outboxd_run((const char *[]){"check", "--config", daemon_config_path(story.relay), NULL});
    cr_expect_eq(result.exit_code, 0, "%s", result.out);
    outboxd_result_free(&result);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    PQfinish(admin);
    story_end(&story);
}

static void
jump_twice(bool exact)
{
    struct story story;
    story_begin(&story,
                &(struct story_options){.own_postgres = true, .exact = exact, .keys = 50, .pause_us = 5000});
    story.load_options.no_prepared = true;
    story_start_load(&story);
    for (uint32_t i = 0; i < 2; i++) {
        story_await_events(&story, 1000);
        double epoch = daemon_metric(story.relay, "outbox_epoch");
        postgres_jump_numbers(story.postgres, 3 * i, 5000000);
        story_await_epoch(story.relay, epoch);
    }
    story_await_events(&story, 1000);
    story_finish(&story, story.relay);
    struct verdict verdict = story_judge(&story);
    cr_expect(exact ? verdict.duplicates == 0 : verdict.duplicate_runs <= 2 * STORY_STREAMS, "%zu runs",
              verdict.duplicate_runs);
    story_end(&story);
}

Test(relay_xids, numbers_that_jump_by_pg_resetwal_lose_nothing__P1__P2__row_76)
{
    jump_twice(false);
}

Test(relay_xids, numbers_that_jump_by_pg_resetwal_repeat_nothing_with_exactly_once__P1__P2__P3__row_76)
{
    jump_twice(true);
}

/* ---- numbers that were used up come again ---- */

static void
publish(struct setup *setup, int events)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, %d) i",
                  setup->topics[0], events);
}

static void
reopen(struct setup *setup)
{
    setup->admin = postgres_open(setup->postgres, setup->database, POSTGRES_ADMIN);
    setup->app = postgres_open(setup->postgres, setup->database, POSTGRES_WRITER);
}

static void
leave(struct setup *setup)
{
    PQfinish(setup->admin);
    PQfinish(setup->app);
}

/* Rows of the newest transactions are hidden, of the journal too: nobody can lead. When the numbers have come as far again, the journal
 * calls seen what was inserted in between. */
Test(relay_xids, numbers_that_pg_resetwal_sets_back_stop_the_relay_and_pass_over_nothing__P1__row_76)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    setup_topic(&setup, "back", 1, NULL);
    setup_run(&setup, NULL);
    publish(&setup, 5);
    setup_expect_all_once(&setup, 20000);
    postgres_exec(
        setup.admin,
        "do $$ begin for i in 1 .. 3000 loop perform pg_current_xact_id(); commit; end loop; end $$");
    publish(&setup, 5);
    setup_expect_all_once(&setup, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    leave(&setup);
    postgres_set_numbers_back(setup.postgres, 1000);
    reopen(&setup);
    cr_assert_eq(postgres_int(setup.admin, "select count(*) from outbox.event"), 5, "the others are hidden");
    publish(&setup, 3);
    setup_expect_refusal(&setup, NULL, 70, "cannot be seen", "Transaction numbers went backwards");
    leave(&setup);
    postgres_jump_numbers(setup.postgres, 0, 5000000);
    reopen(&setup);
    setup_expect_refusal(&setup, NULL, 70, "transaction numbers were set back", "outboxd rebase");
    setup_rebase(&setup, NULL, "relay main goes on with 3 unconfirmed events");
    setup_run(&setup, NULL);
    publish(&setup, 2);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}
