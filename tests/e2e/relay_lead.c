/* relay_lead.c: the lead of one relay name: lost for a while by a process that was stopped, and taken over from one that was
 * killed; who says that it leads. */
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>

TestSuite(relay_lead, .timeout = 120);

Test(relay_lead, a_relay_that_slept_past_its_lease_goes_on_where_it_was_if_nobody_took_over__P1_P3)
{
    struct story story;
    story_begin(&story, NULL);
    story_start_load(&story);
    for (int i = 0; i < 2; i++) {
        story_await_events(&story, 300);
        story_await_moment(&story, 0, 300);
        daemon_pause(story.relay);
        story_await_moment(&story, 2 * STORY_LEASE_MS, 3 * STORY_LEASE_MS);
        daemon_continue(story.relay);
    }
    story_finish(&story, story.relay);
    cr_expect_eq(story_judge(&story).duplicates, 0);
    story_end(&story);
}

Test(relay_lead, a_process_that_slept_while_another_took_over_never_says_again_that_it_leads__I4)
{
    struct story story;
    story_begin(&story, NULL);
    struct daemon *standby = story_start_relay(&story);
    daemon_wait_ready(standby);
    daemon_pause(story.relay);
    story_await_lead(standby);
    daemon_continue(story.relay);
    /* its first words are of the moment before it slept: HTTP has a thread of its own */
    int64_t deadline_us = wait_deadline_us(10000);
    do {
        cr_assert_eq(daemon_metric(story.relay, "outbox_leader"), 0, "two processes say that they lead");
        cr_assert(wait_turn(deadline_us), "it does not stand by");
    } while (!daemon_log_contains(story.relay, "another process leads"));
    daemon_free(story.relay);
    story.relay = standby;
    story_end(&story);
}

Test(relay_lead, a_standby_takes_over_within_its_lease_and_a_second_after_kill_9_and_loses_nothing__P1)
{
    struct story story;
    story_begin(&story, &(struct story_options){.lease_ms = STORY_LONG_LEASE_MS});
    struct daemon *standby = story_start_relay(&story);
    daemon_wait_ready(standby);
    cr_expect_eq(daemon_metric(standby, "outbox_leader"), 0, "two processes lead");
    story_start_load(&story);
    story_await_events(&story, 1000);
    story_await_moment(&story, 0, 500);
    daemon_kill(story.relay);
    int64_t killed_us = clock_monotonic_us();
    story_await_lead(standby);
    int64_t took_us = clock_monotonic_us() - killed_us;
    cr_expect_lt((double)took_us, 1000 * (story.lease_ms + 1000 * wait_patience()),
                 "the standby leads after %" PRId64 " ms", took_us / 1000);
    story_await_events(&story, 500);
    story_finish(&story, standby);
    struct verdict verdict = story_judge(&story);
    cr_expect_leq(verdict.duplicate_runs, STORY_STREAMS);
    daemon_free(standby);
    story_end(&story);
}

static bool
waits_for_a_lock(PGconn *admin)
{
    return postgres_int(admin, "select count(*) from pg_stat_activity where usename = '" POSTGRES_RELAY "'"
                               " and datname = current_database() and wait_event_type = 'Lock'") == 1;
}

/* Its row is on the way when it is asked to stop: whoever comes next must not have to wait for the lease of a dead process. */
Test(relay_lead, a_standby_that_is_stopped_while_it_takes_the_lead_gives_it_back__I4)
{
    struct story story;
    story_begin(&story, NULL);
    struct daemon *standby = story_start_relay(&story);
    daemon_wait_ready(standby);
    PGconn *admin = postgres_open(story.postgres, story.database, POSTGRES_ADMIN),
           *blocker = postgres_open(story.postgres, story.database, POSTGRES_ADMIN);
    /* under the lock nobody can lead; what the leader had asked for is gone with its backend */
    postgres_exec(blocker, "begin; lock table outbox.journal in share mode");
    daemon_kill(story.relay);
    postgres_exec(
        admin,
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database()"
        " and application_name like '%%' || (select left(holder, 8) from outbox.journal order by seq desc "
        "limit 1)");
    wait_for(waits_for_a_lock(admin), 20000);
    kill(daemon_pid(standby), SIGTERM);
    wait_for(daemon_log_contains(standby, "asked to stop"), 10000);
    int64_t epoch = postgres_int(admin, "select max(epoch) from outbox.journal");
    postgres_exec(blocker, "commit");
    cr_assert_eq(daemon_wait_exit(standby, 20000), 0);
    cr_expect_eq(postgres_int(admin, "select max(epoch) from outbox.journal"), epoch + 1,
                 "it has taken the lead");
    cr_expect_eq(postgres_int(admin, "select released::int from outbox.journal order by seq desc limit 1"),
                 1);
    PQfinish(blocker);
    PQfinish(admin);
    daemon_free(standby);
    story_end(&story);
}

static double
leads(const struct daemon *relay)
{
    return daemon_metric(relay, "outbox_leader");
}

/* On a new database they meet when they register the relay and write the first row of the journal, later on at the newest row. */
Test(relay_lead, of_two_relays_that_start_at_once_exactly_one_leads__I4__row_46)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    for (int round = 0; round < 10; round++) {
        const char *database = postgres_create_outbox(postgres);
        const struct daemon_options options = {.conninfo =
                                                   postgres_conninfo(postgres, database, POSTGRES_RELAY),
                                               .bootstrap = broker_bootstrap(broker)};
        struct daemon *twins[] = {daemon_start(&options), daemon_start(&options)};
        for (int again = 0; again < 2; again++) {
            for (int i = 0; again > 0 && i < 2; i++)
                daemon_again(twins[i]);
            daemon_wait_ready(twins[0]);
            daemon_wait_ready(twins[1]);
            cr_expect_eq(leads(twins[0]) + leads(twins[1]), 1);
            double epoch = leads(twins[0]) == 1 ? daemon_metric(twins[0], "outbox_epoch")
                                                : daemon_metric(twins[1], "outbox_epoch");
            /* the standby may have led for the moment between the two SIGTERMs */
            cr_expect_leq(epoch, 1 + 2 * again, "round %d: the lead went to and fro: epoch %g", round, epoch);
            kill(daemon_pid(twins[0]), SIGTERM);
            cr_assert_eq(daemon_terminate(twins[1]), 0);
            cr_assert_eq(daemon_wait_exit(twins[0], 60000), 0, "a second SIGTERM would end it at once");
        }
        daemon_free(twins[0]), daemon_free(twins[1]);
    }
    broker_free(broker);
    postgres_free(postgres);
}
