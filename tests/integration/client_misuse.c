/* client_misuse.c: liboutbox: a call that cannot be right says so, and does not crash; one that succeeds leaves an empty error. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static int64_t one = 1;

static void
expect_misuse(bool done, struct outbox_error *error, const char *what)
{
    cr_assert_not(done, "%s", what);
    cr_assert_eq(error->kind, OUTBOX_ERROR_USAGE, "%s: %d %s", what, error->kind, error->message);
    cr_assert(strstr(error->message, what) != NULL, "%s: %s", what, error->message);
    cr_assert_eq(error->attempts, 0);
    memset(error, 0xff, sizeof *error);
}

static bool
nothing(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context, (void)error;
    return true;
}

Test(client_misuse, a_call_without_a_unit_is_refused)
{
    struct outbox_event event = {.topic = "t"};
    struct outbox_error error;
    bool first;
    expect_misuse(outbox_emit(NULL, &event, NULL, &error), &error, "unit");
    expect_misuse(outbox_emit_many(NULL, &event, 1, &error), &error, "unit");
    expect_misuse(outbox_query(NULL, "select 1", 0, NULL, NULL, &error), &error, "unit");
    expect_misuse(outbox_optional(NULL, nothing, NULL, &error), &error, "unit");
    expect_misuse(outbox_inbox_accept(NULL, "shop", 1, &first, &error), &error, "unit");
    expect_misuse(outbox_inbox_prune(NULL, 1, 0, NULL, &error), &error, "unit");
    expect_misuse(outbox_commit(NULL, &error), &error, "unit");
    outbox_rollback(NULL);
    cr_assert_null(outbox_connection(NULL));
}

static bool
leave_everything_out(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct outbox_event event = {0};
    struct client *client = context;
    expect_misuse(outbox_emit(unit, NULL, NULL, error), error, "event");
    expect_misuse(outbox_emit(unit, &event, NULL, error), error, "event.topic");
    expect_misuse(outbox_emit_many(unit, NULL, 3, error), error, "events");
    expect_misuse(outbox_inbox_accept(unit, NULL, 1, &(bool){false}, error), error, "source");
    expect_misuse(outbox_inbox_accept(unit, "shop", 1, NULL, error), error, "first");
    expect_misuse(outbox_optional(unit, NULL, NULL, error), error, "work");
    expect_misuse(outbox_query(unit, NULL, 0, NULL, NULL, error), error, "sql");
    expect_misuse(outbox_query(unit, "", 0, NULL, NULL, error), error, "the statement is empty");
    expect_misuse(outbox_query(unit, " -- nothing", 0, NULL, NULL, error), error, "the statement is empty");
    expect_misuse(outbox_query(unit, "select $1", 1, NULL, NULL, error), error, "no values");
    expect_misuse(outbox_query(unit, "select 1", -1, NULL, NULL, error), error, "no values");
    expect_misuse(outbox_begin(client->app, NULL, error) != NULL, error, "a unit is open");
    return client_write(unit, 1, error);
}

Test(client_misuse, what_is_left_out_is_named_and_the_unit_goes_on)
{
    struct client client = client_open();
    client_must_run(&client, NULL, leave_everything_out, &client);
    cr_assert_eq(client_items(&client), 1);
    client_close(&client);
}

static bool
join_without_work(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    expect_misuse(outbox_run(outbox_connection(unit), NULL, NULL, context, error), error, "work");
    return true;
}

Test(client_misuse, a_unit_without_a_work_is_refused)
{
    struct client client = client_open();
    struct outbox_error error;
    enum outbox_fate *fate = NULL;
    expect_misuse(outbox_run(client.app, NULL, NULL, NULL, &error), &error, "work");
    expect_misuse(outbox_was_committed(client.app, 1000, fate, &error), &error, "fate");
    error = client_must_fail(&client, NULL, join_without_work, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "joined, it fails both: %s", error.message);
    client_close(&client);
}

/* ---- success ---- */

static const struct outbox_error stale = {
    .kind = OUTBOX_ERROR_SQL, .sqlstate = "23505", .message = "of the call before", .attempts = 3};

static void
expect_success(bool done, struct outbox_error *error)
{
    static const struct outbox_error none;
    cr_assert(done, "%d %s", error->kind, error->message);
    cr_assert_eq(memcmp(error, &none, sizeof none), 0, "%d %s", error->kind, error->message);
    *error = stale;
}

static bool
get_over_it(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context;
    *error = stale;
    return true;
}

static bool
succeed(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct outbox_event event = {.topic = "t"};
    bool first;
    (void)context;
    *error = stale;
    expect_success(outbox_emit(unit, &event, NULL, error), error);
    expect_success(outbox_emit_many(unit, &event, 1, error), error);
    expect_success(outbox_emit_many(unit, NULL, 0, error), error);
    expect_success(outbox_query(unit, "select 1", 0, NULL, NULL, error), error);
    expect_success(outbox_optional(unit, get_over_it, NULL, error), error);
    expect_success(outbox_run(outbox_connection(unit), NULL, get_over_it, NULL, error), error);
    expect_success(outbox_inbox_accept(unit, "shop", 1, &first, error), error);
    expect_success(outbox_inbox_prune(unit, 1, 0, NULL, error), error);
    return true;
}

Test(client_misuse, a_call_that_succeeds_leaves_no_error)
{
    struct client client = client_open();
    struct outbox_error error = stale;
    enum outbox_fate fate;
    PGconn *writes = client.app;
    client.app = client.outbox.admin; /* who may also accept */
    expect_success(outbox_run(client.app, NULL, succeed, NULL, &error), &error);
    struct outbox_unit *unit = outbox_begin(client.app, NULL, &error);
    expect_success(unit != NULL, &error);
    expect_success(client_write(unit, one, &error), &error);
    expect_success(outbox_commit(unit, &error), &error);
    expect_success(outbox_was_committed(client.app, 3, &fate, &error), &error);
    client.app = writes;
    client_close(&client);
}
