/* client_behind.c: liboutbox: whatever the work does to the transaction or the connection behind the unit's back is found, and
 * fails the unit; what is harmless is not. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static int64_t one = 1;

static bool
meddle(struct outbox_unit *unit, void *sql, struct outbox_error *error)
{
    return client_write(unit, 1, error) && client_raw(unit, sql);
}

/* The event that follows must not be committed on its own. */
static bool
meddle_and_emit(struct outbox_unit *unit, void *sql, struct outbox_error *error)
{
    (void)meddle(unit, sql, error);
    struct outbox_event event = {.topic = "late"};
    cr_assert_not(outbox_emit(unit, &event, NULL, error), "after %s", (const char *)sql);
    cr_assert_eq(error->kind, OUTBOX_ERROR_BROKEN, "%s", error->message);
    return true;
}

static void
expect_broken(const char *sql, bool committed)
{
    struct client client = client_open();
    outbox_work *works[] = {meddle, meddle_and_emit};
    for (int i = 0; i < 2; i++) {
        struct outbox_error error = client_must_fail(&client, NULL, works[i], (void *)sql);
        cr_assert_eq(error.kind, OUTBOX_ERROR_BROKEN, "%s: %d %s", sql, error.kind, error.message);
        cr_assert(strlen(error.message) > 0);
        cr_assert_eq(client_items(&client), committed, "%s", sql);
        cr_assert_eq(
            postgres_int(client.outbox.admin, "select count(*) from outbox.event where topic = 'late'"), 0);
        postgres_exec(client.outbox.admin, "delete from item");
    }
    client_must_run(&client, NULL, client_write_one, &one); /* the next unit is not disturbed */
    client_close(&client);
}

Test(client_behind, commit_is_found)
{
    expect_broken("commit", true);
}

Test(client_behind, commit_in_the_midst_of_several_statements_is_found)
{
    expect_broken("select 1; commit; select 2", true);
}

Test(client_behind, commit_and_begin_is_found)
{
    expect_broken("commit; begin", true);
}

Test(client_behind, commit_and_chain_is_found)
{
    expect_broken("commit and chain", true);
}

Test(client_behind, rollback_is_found)
{
    expect_broken("rollback", false);
}

Test(client_behind, rollback_and_begin_is_found)
{
    expect_broken("rollback; begin", false);
}

Test(client_behind, rollback_and_chain_is_found)
{
    expect_broken("rollback and chain", false);
}

Test(client_behind, end_and_abort_are_the_same_by_other_names)
{
    expect_broken("end", true);
    expect_broken("abort; start transaction", false);
}

static bool
use_savepoints(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && client_raw(unit, "savepoint mine") &&
           client_raw(unit, "insert into item (id) values (2)") &&
           client_raw(unit, "rollback to savepoint mine") &&
           client_raw(unit, "insert into item (id) values (3)") &&
           client_raw(unit, "release savepoint mine") && client_write(unit, 4, error);
}

Test(client_behind, savepoints_of_the_application_are_its_own_affair)
{
    struct client client = client_open();
    client_must_run(&client, NULL, use_savepoints, NULL);
    cr_assert_eq(postgres_int(client.outbox.admin, "select sum(id) from item"), 1 + 3 + 4);
    cr_assert_eq(client_events(&client), 2);
    client_close(&client);
}

static bool
heal_by_hand(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    bool begun = client_write(unit, 1, error) && client_raw(unit, "savepoint mine");
    cr_assert_not(client_raw(unit, "select 1/0"));
    return begun && client_raw(unit, "rollback to savepoint mine") && client_write(unit, 2, error);
}

Test(client_behind, a_failure_that_the_application_rolls_back_to_its_own_savepoint_is_over)
{
    struct client client = client_open();
    client_must_run(&client, NULL, heal_by_hand, NULL);
    cr_assert_eq(client_items(&client), 2);
    client_close(&client);
}

/* ---- the connection ---- */

static bool
leave_running(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && PQsendQuery(outbox_connection(unit), "select 1") == 1;
}

Test(client_behind, a_statement_left_running_fails_the_unit)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, leave_running, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%s", error.message);
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}

static bool
leave_commit_running(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && PQsendQuery(outbox_connection(unit), "commit") == 1;
}

Test(client_behind, a_commit_left_running_is_found)
{
    static const struct outbox_options options[] = {{0}, {.timeout_ms = 60000}};
    for (int i = 0; i < 2; i++) {
        struct client client = client_open();
        struct outbox_error error = client_must_fail(&client, &options[i], leave_commit_running, NULL);
        cr_assert_eq(error.kind, OUTBOX_ERROR_BROKEN, "%s", error.message);
        cr_assert_eq(client_items(&client), 1);
        client_close(&client);
    }
}

static bool
leave_half_read(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    PGconn *connection = outbox_connection(unit);
    bool sent = client_write(unit, 1, error) &&
                PQsendQuery(connection, "select i from generate_series(1, 100000) i") == 1 &&
                PQsetSingleRowMode(connection) == 1;
    PQclear(PQgetResult(connection));
    return sent && outbox_fail(error, "seen enough");
}

Test(client_behind, a_result_left_half_read_does_not_hinder_the_rollback)
{
    struct client client = client_open();
    for (int timeout_ms = 0; timeout_ms <= 60000; timeout_ms += 60000) {
        struct outbox_options options = {.timeout_ms = timeout_ms};
        struct outbox_error error = client_must_fail(&client, &options, leave_half_read, NULL);
        cr_assert_str_eq(error.message, "seen enough");
        cr_assert_eq(client_items(&client), 0);
    }
    client_close(&client);
}

static bool
leave_copying(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    PGresult *result = PQexec(outbox_connection(unit), "copy item (id) from stdin");
    cr_assert_eq(PQresultStatus(result), PGRES_COPY_IN);
    PQclear(result);
    cr_assert_eq(PQputCopyData(outbox_connection(unit), "5\n", 2), 1);
    (void)error;
    return true;
}

Test(client_behind, a_copy_left_open_fails_the_unit)
{
    struct client client = client_open();
    for (int timeout_ms = 0; timeout_ms <= 60000; timeout_ms += 60000) {
        struct outbox_options options = {.timeout_ms = timeout_ms};
        struct outbox_error error = client_must_fail(&client, &options, leave_copying, NULL);
        cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%s", error.message);
        cr_assert_eq(client_items(&client), 0);
    }
    client_close(&client);
}

/* These cost the connection: it is cut, so that the server rolls back, and the caller resets it. */
static void
expect_lost(outbox_work *work, enum outbox_error_kind kind)
{
    struct client client = client_open();
    struct outbox_error error;
    int pid = PQbackendPID(client.app);
    cr_assert_not(outbox_run(client.app, NULL, work, NULL, &error));
    cr_assert_eq(error.kind, kind, "%d %s", error.kind, error.message);
    if (PQstatus(client.app) != CONNECTION_OK) {
        client_await_cut(&client, pid);
        PQreset(client.app);
    }
    cr_assert_eq(client_items(&client), 0);
    client_must_run(&client, NULL, client_write_one, &one);
    client_close(&client);
}

static bool
leave_pipeline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && PQenterPipelineMode(outbox_connection(unit)) == 1 &&
           PQsendQueryParams(outbox_connection(unit), "select 1", 0, NULL, NULL, NULL, NULL, 0) == 1;
}

Test(client_behind, a_pipeline_left_open_fails_the_unit)
{
    expect_lost(leave_pipeline, OUTBOX_ERROR_USAGE);
}

static bool
reset(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    bool written = client_write(unit, 1, error);
    PQreset(outbox_connection(unit));
    cr_assert_not(client_write(unit, 2, error), "not on the new connection");
    return written;
}

Test(client_behind, a_reset_connection_is_another_transaction)
{
    expect_lost(reset, OUTBOX_ERROR_CONNECTION);
}

static bool
reset_and_begin(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    bool written = client_write(unit, 1, error);
    PQreset(outbox_connection(unit));
    return written && client_raw(unit, "begin");
}

Test(client_behind, a_reset_connection_with_a_transaction_of_its_own_too)
{
    expect_lost(reset_and_begin, OUTBOX_ERROR_CONNECTION);
}

static bool
finish(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    bool written = client_write(unit, 1, error);
    PQfinish(outbox_connection(unit));
    cr_assert_not(client_write(unit, 2, error));
    return written;
}

Test(client_behind, a_finished_connection_ends_the_unit_without_a_crash)
{
    struct client client = client_open();
    PGconn *connection = outbox_session(&client.outbox, POSTGRES_WRITER);
    struct outbox_error error;
    cr_assert_not(outbox_run(connection, NULL, finish, NULL, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%s", error.message);
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}
