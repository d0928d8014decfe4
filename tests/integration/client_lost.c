/* client_lost.c: liboutbox: the connection is lost at the worst moment, and deadlines. What is not known is said to be unknown, and
 * can be asked for. */
#include "client_fixture.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int64_t one = 1;

static bool
die(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) &&
           outbox_query(unit, "select pg_terminate_backend(pg_backend_pid())", 0, NULL, NULL, error);
}

Test(client_lost, a_connection_lost_before_commit_has_committed_nothing)
{
    struct client client = client_open();
    struct outbox_error error;
    cr_assert_not(outbox_run(client.app, NULL, die, NULL, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%s", error.message);
    cr_assert_eq(error.attempts, 1, "not tried again by itself");
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    cr_assert_not(outbox_run(client.app, NULL, client_write_one, &one, &error), "a bad connection");
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%s", error.message);
    PQreset(client.app);
    client_must_run(&client, NULL, client_write_one, &one);
    client_close(&client);
}

/* ---- during COMMIT ---- */

struct committing {
    struct client *client;
    pthread_t thread;
    const struct outbox_options *options;
    outbox_work *work;
    struct outbox_error error;
    bool done;
};

static void *
run(void *context)
{
    struct committing *committing = context;
    committing->done =
        outbox_run(committing->client->app, committing->options, committing->work, &one, &committing->error);
    return NULL;
}

static void
begin_committing(struct committing *committing)
{
    cr_assert_eq(pthread_create(&committing->thread, NULL, run, committing), 0);
}

static enum outbox_fate
fate_of(const struct client *client, uint64_t xid)
{
    enum outbox_fate fate;
    struct outbox_error error;
    cr_assert(outbox_was_committed(client->outbox.admin, xid, &fate, &error), "%s", error.message);
    return fate;
}

static bool
waits_for_standby(struct client *client)
{
    return postgres_int(client->outbox.admin,
                        "select count(*) from pg_stat_activity where wait_event = 'SyncRep'") > 0;
}

static struct client
open_alone(void)
{
    /* a standby that does not exist is waited for by sessions that ask for it */
    struct postgres *server =
        postgres_start("synchronous_standby_names = 'nobody'\nsynchronous_commit = local\n");
    struct client client = {.outbox = outbox_open_in(server, postgres_create_database(server))};
    client_prepare(&client);
    return client;
}

static bool
write_rows_only(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return outbox_query(unit, "insert into item (id) values (1)", 0, NULL, NULL, error);
}

static void
expect_unknown_and_committed(outbox_work *work)
{
    struct client client = open_alone();
    struct committing committing = {.client = &client, .work = work};
    postgres_exec(client.app, "set synchronous_commit = on");
    begin_committing(&committing);
    wait_for(waits_for_standby(&client), 10000);
    postgres_exec(client.outbox.admin,
                  "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
    pthread_join(committing.thread, NULL);
    cr_assert_not(committing.done);
    cr_assert_eq(committing.error.kind, OUTBOX_ERROR_UNKNOWN, "%d %s", committing.error.kind,
                 committing.error.message);
    cr_assert_neq(committing.error.xid, 0);
    cr_assert_eq(fate_of(&client, committing.error.xid), OUTBOX_FATE_COMMITTED);
    cr_assert_eq(client_items(&client), 1);
    client_close(&client);
}

Test(client_lost, a_commit_that_is_not_answered_is_unknown_and_can_be_asked_for)
{
    expect_unknown_and_committed(client_write_one);
}

Test(client_lost, also_of_a_unit_without_an_event)
{
    expect_unknown_and_committed(write_rows_only);
}

static int backend;

/* The server gets the COMMIT and does nothing with it. */
static bool
write_and_freeze(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    backend = PQbackendPID(outbox_connection(unit));
    bool written = client_write(unit, 1, error);
    process_pause(backend);
    return written;
}

static bool
answers(PGconn *connection)
{
    PGresult *result = PQexec(connection, "select 1");
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    return good;
}

Test(client_lost, the_fate_of_a_transaction_is_told_while_it_is_open_and_after_it_died)
{
    struct client client = open_alone();
    struct outbox_error error;
    struct outbox_options options = {.timeout_ms = client_deadline_ms()};
    int64_t from_us = clock_monotonic_us();
    cr_assert_not(outbox_run(client.app, &options, write_and_freeze, NULL, &error));
    cr_assert_lt(clock_monotonic_us() - from_us, (int64_t)(wait_patience() * 5e6),
                 "the deadline and a second");
    cr_assert_eq(error.kind, OUTBOX_ERROR_UNKNOWN, "%d %s", error.kind, error.message);
    cr_assert_eq(PQstatus(client.app), CONNECTION_BAD, "it was cut");
    cr_assert_eq(fate_of(&client, error.xid), OUTBOX_FATE_IN_PROGRESS);

    postgres_exec(client.outbox.admin,
                  "create table flushed ()"); /* what was written before is on the disk too */
    kill(backend, SIGKILL); /* the server throws everybody out and starts anew: the transaction has died */
    wait_for(!answers(client.outbox.admin), 30000);
    wait_for((PQreset(client.outbox.admin), answers(client.outbox.admin)), 30000);
    cr_assert_eq(fate_of(&client, error.xid), OUTBOX_FATE_ROLLED_BACK);
    cr_assert_eq(fate_of(&client, error.xid + 1000000), OUTBOX_FATE_FORGOTTEN, "another history");
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}

static bool
read_and_freeze(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    backend = PQbackendPID(outbox_connection(unit));
    bool read = outbox_query(unit, "select 1", 0, NULL, NULL, error);
    process_pause(backend);
    return read;
}

Test(client_lost, a_unit_that_wrote_nothing_is_never_unknown)
{
    struct client client = client_open();
    struct outbox_error error;
    struct outbox_options options = {.timeout_ms = client_deadline_ms(), .read_only = true};
    cr_assert_not(outbox_run(client.app, &options, read_and_freeze, NULL, &error));
    process_continue(backend);
    cr_assert_eq(error.kind, OUTBOX_ERROR_TIMEOUT, "%d %s", error.kind, error.message);
    cr_assert_eq(error.xid, 0);
    client_close(&client);
}

Test(client_lost, zero_is_no_transaction)
{
    struct client client = client_open();
    enum outbox_fate fate;
    struct outbox_error error;
    cr_assert_not(outbox_was_committed(client.app, 0, &fate, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE);
    client_close(&client);
}

/* ---- deadlines ---- */

static bool
sleep_raw(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    if (!client_write(unit, 1, error))
        return false;
    PGresult *result = PQexec(outbox_connection(unit), "select pg_sleep(60)");
    bool slept = PQresultStatus(result) == PGRES_TUPLES_OK ||
                 outbox_fail_result(error, outbox_connection(unit), result);
    PQclear(result);
    return slept;
}

static bool
sleep_by_query(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && outbox_query(unit, "select pg_sleep(60)", 0, NULL, NULL, error);
}

static bool
emit_only(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return outbox_emit(unit, &(struct outbox_event){.topic = "t"}, NULL, error);
}

static void
expect_timeout(struct client *client, outbox_work *work)
{
    struct outbox_options options = {.timeout_ms = client_deadline_ms()};
    int64_t from_us = clock_monotonic_us();
    struct outbox_error error = client_must_fail(client, &options, work, NULL);
    cr_assert_lt(clock_monotonic_us() - from_us, (int64_t)(wait_patience() * 20e6));
    cr_assert_eq(error.kind, OUTBOX_ERROR_TIMEOUT, "%d %s %s", error.kind, error.sqlstate, error.message);
    cr_assert_eq(client_items(client), 0);
}

Test(client_lost, a_deadline_ends_statements_and_the_connection_lives_on)
{
    struct client client = client_open();
    expect_timeout(&client, sleep_raw);
    expect_timeout(&client, sleep_by_query);
    PGconn *blocker = outbox_session(&client.outbox, POSTGRES_ADMIN);
    postgres_exec(blocker, "begin; lock table outbox.event in access exclusive mode");
    expect_timeout(&client, emit_only);
    PQfinish(blocker);
    postgres_exec(client.app, "set statement_timeout = '7s'");
    client_must_run(&client, &(struct outbox_options){.timeout_ms = 5000}, client_write_one, &one);
    char *after = postgres_text(client.app, "show statement_timeout");
    cr_assert_str_eq(after, "7s", "the unit's time-out ended with it");
    free(after);
    client_close(&client);
}

static bool
fail_in_passing(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    ++*(int *)context;
    return outbox_query(unit, "do $$ begin raise sqlstate '40001'; end $$", 0, NULL, NULL, error);
}

Test(client_lost, attempts_end_with_the_deadline)
{
    struct client client = client_open();
    int attempts = 0;
    struct outbox_options options = {.timeout_ms = client_deadline_ms(), .attempts = 1000};
    struct outbox_error error = client_must_fail(&client, &options, fail_in_passing, &attempts);
    cr_assert(attempts > 1 && attempts < 30, "%d", attempts);
    cr_assert_eq(error.attempts, attempts, "an attempt that ends before it calls the work is none");
    cr_assert(error.kind == OUTBOX_ERROR_TIMEOUT || strcmp(error.sqlstate, "40001") == 0, "%s",
              error.message);
    client_close(&client);
}

static bool
freeze_and_write(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    backend = PQbackendPID(outbox_connection(unit));
    process_pause(backend);
    return client_write(unit, 1, error);
}

Test(client_lost, a_server_that_is_silent_is_cut_off)
{
    struct client client = client_open();
    struct outbox_error error;
    struct outbox_options options = {.timeout_ms = client_deadline_ms()};
    cr_assert_not(outbox_run(client.app, &options, freeze_and_write, NULL, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_TIMEOUT, "%d %s", error.kind, error.message);
    cr_assert_eq(PQstatus(client.app), CONNECTION_BAD);
    process_continue(backend);
    client_await_cut(&client, backend);
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}
