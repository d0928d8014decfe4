/* client_hostile.c: liboutbox: ending the unit inside its work, a connection left without blocking, deadlines, the moment before
 * COMMIT, hostile settings: nothing hangs, crashes, or is said that is not so. */
#include "client_fixture.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the unit itself ---- */

static bool
end_inside(struct outbox_unit *unit, void *how, struct outbox_error *error)
{
    if (!client_write(unit, 1, error))
        return false;
    if (strcmp(how, "commit") == 0)
        cr_assert_not(outbox_commit(unit, error));
    else
        outbox_rollback(unit);
    cr_assert_not(client_write(unit, 2, error), "nothing goes on");
    return true;
}

static bool
end_inside_optionally(struct outbox_unit *unit, void *how, struct outbox_error *error)
{
    cr_assert_not(outbox_optional(unit, end_inside, how, error));
    cr_assert_eq(error->kind, OUTBOX_ERROR_USAGE, "%s", error->message);
    return client_write(unit, 3, error);
}

Test(client_hostile, a_unit_that_a_work_ends_itself_fails)
{
    static const char *const hows[] = {"commit", "rollback"};
    for (int i = 0; i < 2; i++) {
        struct client client = client_open();
        struct outbox_error error = client_must_fail(&client, NULL, end_inside, (void *)hows[i]);
        cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%d %s", error.kind, error.message);
        cr_assert_eq(client_items(&client) + client_events(&client), 0);
        client_must_run(&client, NULL, end_inside_optionally, (void *)hows[i]);
        cr_assert_eq(client_items(&client), 1);

        struct outbox_unit *unit = outbox_begin(client.app, NULL, &error);
        cr_assert_not(outbox_run(client.app, NULL, end_inside, (void *)hows[i], &error));
        cr_assert_not(outbox_commit(unit, &error));
        cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%d %s", error.kind, error.message);
        client_assert_idle(&client);
        client_close(&client);
    }
}

static bool
finish_and_deadlock(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    PQfinish(outbox_connection(unit));
    error->kind = OUTBOX_ERROR_SQL;
    strcpy(error->sqlstate, "40P01");
    return false;
}

Test(client_hostile, a_finished_connection_is_not_used_for_another_attempt)
{
    struct client client = client_open();
    struct outbox_error error;
    cr_assert_not(
        outbox_run(outbox_session(&client.outbox, POSTGRES_WRITER), NULL, finish_and_deadlock, NULL, &error));
    cr_assert_eq(error.attempts, 1);
    client_close(&client);
}

static bool
say_more(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context;
    (void)outbox_fail(error, "taken");
    return outbox_fail(error, "sign-up: %s", error->message);
}

Test(client_hostile, a_reason_may_quote_the_one_before)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, say_more, NULL);
    cr_assert_str_eq(error.message, "sign-up: taken");
    client_close(&client);
}

/* ---- a connection that is left without blocking ---- */

#define LARGE ((size_t)15 << 20)

static bool
emit_large_without_blocking(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    char *bytes = must_calloc(1, LARGE);
    struct outbox_event event = {.topic = "large", .payload = {bytes, LARGE}};
    (void)context;
    PQsetnonblocking(outbox_connection(unit), 1);
    bool done = outbox_emit(unit, &event, NULL, error) && outbox_emit_many(unit, &event, 1, error);
    free(bytes);
    return done;
}

static bool
leave_large_unsent(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    char *sql = must_calloc(1, LARGE);
    (void)context;
    memset(sql, ' ', LARGE - 1);
    memcpy(sql, "select 1", 8);
    PQsetnonblocking(outbox_connection(unit), 1);
    bool sent = client_write(unit, 1, error) && PQsendQuery(outbox_connection(unit), sql) == 1;
    free(sql);
    return sent;
}

Test(client_hostile, a_connection_left_without_blocking_does_not_hang, .timeout = 30)
{
    static const struct outbox_options options[] = {{0}, {.timeout_ms = 20000}};
    struct client client = client_open();
    for (int i = 0; i < 2; i++) {
        client_must_run(&client, &options[i], emit_large_without_blocking, NULL);
        struct outbox_error error = client_must_fail(&client, &options[i], leave_large_unsent, NULL);
        cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%s", error.message);
    }
    cr_assert_eq(client_events(&client), 4);
    client_close(&client);
}

static bool
copy_out_by_query(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    PGresult *result;
    char *row;
    (void)context;
    if (!outbox_query(unit, "copy (select 1) to stdout", 0, NULL, &result, error))
        return false;
    cr_assert_eq(PQresultStatus(result), PGRES_COPY_OUT);
    PQclear(result);
    while (PQgetCopyData(outbox_connection(unit), &row, 0) > 0)
        PQfreemem(row);
    while ((result = PQgetResult(outbox_connection(unit))) != NULL)
        PQclear(result);
    return client_write(unit, 1, error);
}

Test(client_hostile, a_copy_by_query_does_not_hang, .timeout = 30)
{
    struct client client = client_open();
    client_must_run(&client, &(struct outbox_options){.timeout_ms = 1000}, copy_out_by_query, NULL);
    client_close(&client);
}

/* ---- deadlines ---- */

static void
be_late(void)
{
    int ms = client_deadline_ms() + 50;
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

static bool
write_and_be_late(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    bool written = client_write(unit, 1, error);
    be_late();
    return written;
}

Test(client_hostile, a_commit_that_was_not_sent_is_late_and_not_unknown)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(
        &client, &(struct outbox_options){.timeout_ms = client_deadline_ms()}, write_and_be_late, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_TIMEOUT, "%d %s", error.kind, error.message);
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}

static bool
be_late_and_decline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context;
    be_late();
    return outbox_fail(error, "no");
}

/* The unit is over when the step cannot be undone in time; what the work commits then it commits itself. */
static bool
be_late_and_commit(struct outbox_unit *unit, void *left, struct outbox_error *error)
{
    struct outbox_error ignored;
    bool written = client_write(unit, 1, error);
    cr_assert_not(outbox_optional(unit, be_late_and_decline, NULL, &ignored));
    if (*(bool *)left)
        cr_assert_eq(PQsendQuery(outbox_connection(unit), "commit"), 1);
    else
        cr_assert(client_raw(unit, "commit"));
    return written;
}

Test(client_hostile, a_commit_behind_the_back_of_a_unit_that_is_over_is_found)
{
    for (int left = 0; left <= 1; left++) {
        struct client client = client_open();
        struct outbox_error error =
            client_must_fail(&client, &(struct outbox_options){.timeout_ms = client_deadline_ms()},
                             be_late_and_commit, &(bool){left == 1});
        cr_assert_eq(error.kind, OUTBOX_ERROR_BROKEN, "%d %s", error.kind, error.message);
        client_close(&client);
    }
}

static bool
leave_sleeping(struct outbox_unit *unit, void *sql, struct outbox_error *error)
{
    return client_write(unit, 1, error) && client_raw(unit, "set statement_timeout = 0") &&
           PQsendQuery(outbox_connection(unit), sql) == 1 && outbox_fail(error, "no");
}

Test(client_hostile, a_statement_left_running_does_not_outlive_the_deadline_by_much)
{
    static const char *const sqls[] = {"select pg_sleep(3); commit",
                                       "copy (select pg_sleep(3)) to stdout; commit", "select pg_sleep(20)"};
    for (int i = 0; i < 3; i++) {
        struct client client = client_open();
        struct outbox_error error;
        int64_t from_us = clock_monotonic_us();
        cr_assert_not(outbox_run(client.app, &(struct outbox_options){.timeout_ms = client_deadline_ms()},
                                 leave_sleeping, (void *)sqls[i], &error));
        cr_assert_lt(clock_monotonic_us() - from_us, (int64_t)(wait_patience() * 2300000), "%s", sqls[i]);
        cr_assert_eq(error.kind, OUTBOX_ERROR_UNKNOWN, "%d %s", error.kind, error.message);
        cr_assert_neq(error.xid, 0);
        client_close(&client);
    }
}

static bool
freeze_and_decline(struct outbox_unit *unit, void *backend, struct outbox_error *error)
{
    *(int *)backend = PQbackendPID(outbox_connection(unit));
    bool written = client_write(unit, 1, error);
    process_pause(*(int *)backend);
    return written && outbox_fail(error, "no");
}

Test(client_hostile, a_rollback_that_is_not_answered_does_not_outlive_the_deadline_by_much)
{
    struct client client = client_open();
    struct outbox_error error;
    int backend;
    int64_t from_us = clock_monotonic_us();
    cr_assert_not(outbox_run(client.app, &(struct outbox_options){.timeout_ms = client_deadline_ms()},
                             freeze_and_decline, &backend, &error));
    process_continue(backend);
    cr_assert_lt(clock_monotonic_us() - from_us, (int64_t)(wait_patience() * 2300000));
    cr_assert_eq(PQstatus(client.app), CONNECTION_BAD);
    client_close(&client);
}

/* ---- COMMIT ---- */

static bool
write_after_all(struct outbox_unit *unit, void *how, struct outbox_error *error)
{
    bool allowed = strcmp(how, "query") == 0
                       ? outbox_query(unit, "set transaction read write", 0, NULL, NULL, error)
                       : client_raw(unit, how);
    cr_assert(allowed);
    bool written = outbox_query(unit, "insert into item (id) values (1)", 0, NULL, NULL, error);
    process_pause(PQbackendPID(outbox_connection(unit)));
    return written;
}

Test(client_hostile, a_read_only_unit_that_writes_after_all_is_not_said_to_have_committed_nothing)
{
    static const char *const hows[] = {"query", "set transaction read write", "begin read write"};
    for (int i = 0; i < 3; i++) {
        struct client client = client_open();
        struct outbox_error error;
        int backend = PQbackendPID(client.app);
        cr_assert_not(outbox_run(
            client.app, &(struct outbox_options){.timeout_ms = client_deadline_ms(), .read_only = true},
            write_after_all, (void *)hows[i], &error));
        process_continue(backend);
        client_await_cut(&client, backend);
        cr_assert(client_items(&client) == 0 || error.kind == OUTBOX_ERROR_UNKNOWN, "%d %s", error.kind,
                  error.message);
        client_close(&client);
    }
}

static bool
insert_one(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return outbox_query(unit, "insert into item (id) values (1)", 0, NULL, NULL, error);
}

Test(client_hostile, a_commit_that_a_proxy_says_was_not_answered_is_unknown)
{
    struct client client = client_open();
    postgres_exec(client.outbox.admin,
                  "create function lost() returns trigger language plpgsql as"
                  " $$ begin raise sqlstate '08007'; end $$;"
                  "create constraint trigger lost after insert on item deferrable initially deferred"
                  " for each row execute function lost()");
    struct outbox_error error = client_must_fail(&client, NULL, insert_one, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_UNKNOWN, "%d %s", error.kind, error.message);
    cr_assert_neq(error.xid, 0);
    client_close(&client);
}

/* The server has gone while the work was busy elsewhere. */
static bool
write_and_lose(struct outbox_unit *unit, void *admin, struct outbox_error *error)
{
    int backend = PQbackendPID(outbox_connection(unit));
    bool written = client_write(unit, 1, error);
    postgres_exec(admin, "select pg_terminate_backend(%d)", backend);
    wait_for(kill(backend, 0) != 0, 10000);
    return written;
}

Test(client_hostile, a_connection_that_was_lost_before_commit_is_not_unknown)
{
    struct client client = client_open();
    struct outbox_error error;
    cr_assert_not(outbox_run(client.app, NULL, write_and_lose, client.outbox.admin, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%d %s", error.kind, error.message);
    client_close(&client);
}

/* ---- hostile settings ---- */

static bool
accept_one(struct outbox_unit *unit, void *first, struct outbox_error *error)
{
    int64_t count;
    return outbox_inbox_accept(unit, "shop", 1, first, error) &&
           outbox_inbox_prune(unit, 0, 0, &count, error) &&
           outbox_emit(unit, &(struct outbox_event){.topic = "t"}, NULL, error) &&
           outbox_emit_many(unit, &(struct outbox_event){.topic = "t"}, 1, error);
}

Test(client_hostile, names_in_front_of_ours_are_not_used)
{
    struct client client = client_open();
    struct outbox_error error;
    bool first = false;
    enum outbox_fate fate;
    postgres_exec(
        client.outbox.admin,
        "create schema evil; create domain evil.text as pg_catalog.text check (value is null);"
        "create domain evil.xid8 as pg_catalog.text check (value is null);"
        "create function evil.pg_current_xact_id_if_assigned() returns integer language sql as 'select 0';"
        "create function evil.current_setting(pg_catalog.text, boolean) returns pg_catalog.text"
        " language sql as $$ select 'evil' $$;"
        "create table evil.event (topic integer)");
    postgres_exec(client.outbox.admin, "set search_path = evil, pg_catalog, public");
    postgres_exec(client.outbox.admin, "set standard_conforming_strings = off; set datestyle = 'SQL, DMY';"
                                       "set intervalstyle = 'sql_standard'; set row_security = off;"
                                       "set bytea_output = 'escape'; set backslash_quote = off");
    cr_assert(outbox_run(client.outbox.admin, NULL, accept_one, &first, &error), "%s", error.message);
    cr_assert(first);
    cr_assert(outbox_was_committed(client.outbox.admin, 3, &fate, &error), "%s", error.message);
    client_close(&client);
}
