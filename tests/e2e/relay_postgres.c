/* relay_postgres.c: P1, P2 and I3 when Postgres is restarted, crashes, or waits for a standby that is not there. */
#include "e2e/relay_story.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_postgres, .timeout = 240);

/* A transaction that the application prepared and then forgot for a while. */
static void
prepare_event(struct story *story, const char *gid)
{
    PGconn *writer = postgres_open(story->postgres, story->database, POSTGRES_WRITER);
    postgres_exec(writer, "begin; select outbox.emit('%s', '%s', '1'); prepare transaction '%s'",
                  story->topics[0], gid, gid);
    PQfinish(writer);
}

static void
restart(struct story *story, void stop(struct postgres *postgres))
{
    double epoch = daemon_metric(story->relay, "outbox_epoch");
    story_await_events(story, 200);
    story_await_moment(story, 0, 500);
    stop(story->postgres);
    story_await_moment(story, 0, 300);
    postgres_up(story->postgres);
    story_await_epoch(story->relay, epoch);
}

/* What a writer with synchronous_commit=off lost in a crash is in no ledger: if it were in Kafka, it would be a phantom
 * (row 68). */
static struct verdict
stop_crash_and_kill(bool exact)
{
    static void (*const stops[])(struct postgres *) = {postgres_stop_fast, postgres_stop_immediate,
                                                       postgres_kill};
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .own_postgres = true});
    prepare_event(&story, "kept");
    prepare_event(&story, "dropped");
    story_start_load(&story);
    for (size_t i = 0; i < 6; i++)
        restart(&story, stops[i % 3]);
    story_await_events(&story, 200);
    PGconn *admin = story_admin(&story);
    postgres_exec(admin, "commit prepared 'kept'");
    postgres_exec(admin, "rollback prepared 'dropped'");
    story_finish(&story, story.relay);
    cr_expect_eq(postgres_int(admin, "select count(*) from load.ledger where key = 'kept'"), 1);
    PQfinish(admin);
    struct verdict verdict = story_judge(&story);
    story_end(&story);
    return verdict;
}

/* Only Postgres was lost, never the broker: what is out is awaited, the pages are kept. */
Test(relay_postgres,
     an_event_is_published_iff_it_survived_when_postgres_stops_crashes_and_is_killed__P1__rows_56_64_68)
{
    cr_expect_eq(stop_crash_and_kill(false).duplicates, 0);
}

Test(relay_postgres, exactly_once_too_when_postgres_stops_crashes_and_is_killed__P1_P3__rows_56_64_68)
{
    cr_expect_eq(stop_crash_and_kill(true).duplicates, 0);
}

/* What an operator is told: sum(outbox_leader), and ready. */
Test(relay_postgres, a_leader_whose_postgres_hangs_says_so_and_leads_again_when_it_goes_on)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_postgres = true});
    double polls = daemon_metric(story.relay, "outbox_polls_total");
    postgres_pause(story.postgres);
    wait_for(daemon_metric(story.relay, "outbox_leader") == 0, 5000);
    wait_for(daemon_readiness_is(story.relay, 503, "no answer from Postgres for"), 30000);
    postgres_continue(story.postgres);
    wait_for(daemon_metric(story.relay, "outbox_leader") == 1, 10000);
    cr_expect_gt(daemon_metric(story.relay, "outbox_polls_total"), polls);
    cr_expect_eq(daemon_http(story.relay, "/health/ready", NULL), 200);
    story_end(&story);
}

/* The backend of the relay that waits for the standby in a commit, or 0. */
static int64_t
waiting_backend(PGconn *admin)
{
    return postgres_int(admin,
                        "select coalesce(max(pid), 0) from pg_stat_activity"
                        " where usename = '%s' and datname = current_database() and wait_event = 'SyncRep'",
                        POSTGRES_RELAY);
}

static int64_t
journal_rows(PGconn *admin)
{
    return postgres_int(admin, "select max(seq) from outbox.journal where relay = 'main'");
}

Test(relay_postgres, no_event_is_sent_before_its_tick_is_durable_on_the_synchronous_standbys__I3)
{
    struct story story;
    story_begin(&story, &(struct story_options){.own_postgres = true});
    PGconn *admin = story_admin(&story);
    postgres_exec(admin, "set synchronous_commit = local");
    postgres_exec(admin, "alter system set synchronous_standby_names = 'missing'");
    postgres_exec(admin, "select pg_reload_conf()");
    wait_for(waiting_backend(admin) != 0, 10000); /* a heartbeat */
    int64_t before = journal_rows(admin);
    postgres_exec(admin, "select outbox.emit('%s', 'k', '1')", story.topics[0]);
    /* A wait that is cut short (an impatient administrator) makes a tick visible that no standby has. */
    for (int i = 0; i < 5; i++) {
        wait_for(waiting_backend(admin) != 0, 10000);
        int64_t rows = journal_rows(admin);
        postgres_exec(admin,
                      "select pg_cancel_backend(pid) from pg_stat_activity where usename = '%s'"
                      " and datname = current_database() and wait_event = 'SyncRep'",
                      POSTGRES_RELAY);
        wait_for(journal_rows(admin) > rows, 10000);
    }
    cr_expect_gt(journal_rows(admin), before);
    cr_expect_eq(story_records(&story), 0, "published although no standby has the tick");
    postgres_exec(admin, "alter system reset synchronous_standby_names");
    postgres_exec(admin, "select pg_reload_conf()");
    wait_for(story_records(&story) == 1, 10000);
    PQfinish(admin);
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    story_end(&story);
}
