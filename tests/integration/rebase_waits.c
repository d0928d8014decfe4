/* rebase_waits.c: what holds the locks that a rebase needs is named, with what ends it, and writers hardly notice the tries. */
#include "rebase_fixture.h"

#include "base/clock.h"
#include "postgres/rebase.h"
#include "support/wait.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(rebase_waits, .timeout = 120);

/* A rebase in a thread of its own. */
struct run {
    pthread_t thread;
    pthread_mutex_t lock;
    struct rebase *rebase;
    struct rebase_plan done;
    struct error error;
    bool good;
    char said[2048]; /* of the last try that failed; a later one that found nobody says less */
    int tries;
};

static void
hear(void *context, const char *line)
{
    struct run *run = context;
    pthread_mutex_lock(&run->lock);
    if (run->tries == 0 || strstr(line, "waiting for ") != NULL)
        snprintf(run->said, sizeof run->said, "%s", line);
    run->tries++;
    pthread_mutex_unlock(&run->lock);
}

static bool
was_said(struct run *run, const char *text)
{
    pthread_mutex_lock(&run->lock);
    bool was = strstr(run->said, text) != NULL;
    pthread_mutex_unlock(&run->lock);
    return was;
}

static int
tries_of(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    int tries = run->tries;
    pthread_mutex_unlock(&run->lock);
    return tries;
}

static void *
rebase_in_thread(void *context)
{
    struct run *run = context;
    run->good = rebase_run(run->rebase, false, hear, run, &run->done, &run->error);
    return NULL;
}

static void
run_begin(struct run *run, const struct outbox *outbox)
{
    *run = (struct run){.lock = PTHREAD_MUTEX_INITIALIZER};
    cr_assert(rebase_open(&run->rebase, postgres_conninfo(outbox->server, outbox->database, POSTGRES_ADMIN),
                          &run->error),
              "%s", run->error.message);
    cr_assert_eq(pthread_create(&run->thread, NULL, rebase_in_thread, run), 0);
}

static void
run_end(struct run *run)
{
    pthread_join(run->thread, NULL);
    cr_assert(run->good, "%s", run->error.message);
    rebase_plan_free(&run->done);
    rebase_close(run->rebase);
}

/* Three of seven events are confirmed, and the sequence is set back behind them. */
static struct outbox
open_set_back(const char *settings)
{
    struct postgres *server = postgres_start(settings);
    struct outbox outbox = outbox_open_in(server, postgres_create_database(server));
    rebase_three_of_seven(&outbox, "main");
    postgres_exec(outbox.admin, "select setval('outbox.event_id_seq', 2)");
    return outbox;
}

Test(rebase_waits, transactions_that_have_written_events_are_waited_for_and_nothing_is_lost__P1)
{
    struct outbox outbox = open_set_back(NULL);
    struct run run;
    postgres_exec(outbox.writer, "begin");
    rebase_emit(outbox.writer);
    run_begin(&run, &outbox);
    wait_for(tries_of(&run) > 0, 10000);
    postgres_exec(outbox.writer, "commit");
    rebase_emit(outbox.writer);
    run_end(&run);
    struct driver *driver = rebase_lead(&outbox, "main");
    rebase_expect_tick(driver, REBASE_IDS(4, 5, 8, 9, 10, 11));
    driver_close(driver);
    outbox_close(&outbox);
}

Test(rebase_waits, writers_wait_for_it_from_its_locks_to_its_end__P1)
{
    struct outbox outbox = open_set_back(NULL);
    PGconn *rebasing = outbox_session(&outbox, POSTGRES_ADMIN);
    postgres_exec(rebasing, "set role outbox_owner; begin; select outbox.rebase(false)");
    postgres_exec(outbox.writer, "set lock_timeout = 100");
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, "select outbox.emit('t', 'k', '{}')"), "55P03");
    postgres_exec(rebasing, "commit");
    cr_assert_eq(rebase_emit(outbox.writer), 10, "above the two that got new ids");
    PQfinish(rebasing);
    outbox_close(&outbox);
}

/* Fault: somebody has prepared a transaction and died. Nobody sees it in pg_stat_activity. */
Test(rebase_waits, a_prepared_transaction_is_named_with_what_ends_it_and_writers_go_on_between_the_tries__P4)
{
    struct outbox outbox = open_set_back(NULL);
    PGconn *preparing = outbox_session(&outbox, POSTGRES_WRITER);
    struct run run;
    postgres_exec(preparing, "begin");
    rebase_emit(preparing);
    postgres_exec(preparing, "prepare transaction 'it''s mine'");
    PQfinish(preparing);
    postgres_exec(outbox.writer, "set synchronous_commit = off"); /* it waits for locks alone */
    run_begin(&run, &outbox);
    int64_t begun_us = clock_monotonic_us(), stalled_us = 0, longest_us = 0;
    while (tries_of(&run) < 5) {
        int64_t from_us = clock_monotonic_us();
        rebase_emit(outbox.writer);
        int64_t took_us = clock_monotonic_us() - from_us;
        longest_us = took_us > longest_us ? took_us : longest_us;
        stalled_us += took_us > (int64_t)(50000 * wait_patience()) ? took_us : 0;
    }
    int64_t all_us = clock_monotonic_us() - begun_us;
    cr_expect_lt(longest_us, (int64_t)(wait_patience() * 1e6), "a writer was held for %" PRId64 " us",
                 longest_us);
    cr_expect_lt(stalled_us, all_us / 2, "writers were held for %" PRId64 " of %" PRId64 " us", stalled_us,
                 all_us);
    wait_for(was_said(&run, "the prepared transaction 'it''s mine' of user app, 00:00:"), 20000);
    cr_expect(was_said(&run, "; rollback prepared 'it''s mine' (or commit prepared) in database "), "%s",
              run.said);
    postgres_exec(outbox.admin, "rollback prepared 'it''s mine'");
    run_end(&run);
    outbox_close(&outbox);
}

Test(rebase_waits, a_session_is_named_with_its_user_and_application_and_the_age_of_its_statement)
{
    struct outbox outbox = open_set_back(NULL);
    struct run run;
    postgres_exec(outbox.writer, "set application_name = E'sh\\u00f6p \\x1b[2J'");
    postgres_exec(outbox.writer, "begin");
    rebase_emit(outbox.writer);
    char *name = must_format("process %d (user app, 'sh", PQbackendPID(outbox.writer));
    run_begin(&run, &outbox);
    wait_for(was_said(&run, name), 10000);
    cr_expect(was_said(&run, ", idle in transaction, its statement began 00:00:"), "%s", run.said);
    cr_expect(was_said(&run, "pg_terminate_backend("), "%s", run.said);
    cr_expect_not(was_said(&run, "\x1b"), "it steers the terminal");
    postgres_exec(outbox.writer, "commit");
    run_end(&run);
    free(name);
    outbox_close(&outbox);
}

/* A vacuum that would take minutes; Postgres sends it off, but only for who waits longer than a second. */
Test(rebase_waits, an_autovacuum_is_sent_off)
{
    struct outbox outbox = open_set_back("autovacuum_naptime = 1s");
    struct run run;
    char *slot = postgres_text(outbox.admin, "select tableoid::regclass from outbox.event limit 1");
    postgres_exec(outbox.writer,
                  "insert into outbox.event (topic, payload) select 'x', decode(repeat('00', 1000),"
                  " 'hex') from generate_series(1, 8000)");
    postgres_exec(outbox.admin, "delete from outbox.event where topic = 'x'");
    postgres_exec(outbox.admin,
                  "alter table %s set (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,"
                  " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)",
                  slot);
    wait_for(postgres_int(outbox.admin,
                          "select count(*) from pg_stat_progress_vacuum where relid = '%s'::regclass",
                          slot) == 1,
             60000);
    run_begin(&run, &outbox);
    run_end(&run);
    cr_expect(was_said(&run, "(autovacuum worker, active"), "%s", run.said);
    free(slot);
    outbox_close(&outbox);
}
