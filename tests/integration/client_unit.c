/* client_unit.c: liboutbox: a unit commits rows and events together or not at all; joins; says what the server refused. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static int64_t one = 1, two = 2;

Test(client_unit, p1_rows_and_events_are_committed_together)
{
    struct client client = client_open();
    client_must_run(&client, NULL, client_write_one, &one);
    cr_assert_eq(client_items(&client), 1);
    cr_assert_eq(client_events(&client), 1);
    client_close(&client);
}

static bool
write_and_decline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    return client_write(unit, 1, error) && outbox_fail(error, "no more than %s", (const char *)context);
}

Test(client_unit, p1_a_work_that_says_no_leaves_neither_rows_nor_events)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, write_and_decline, "three");
    cr_assert_eq(error.kind, OUTBOX_ERROR_WORK);
    cr_assert_str_eq(error.message, "no more than three");
    cr_assert_eq(error.attempts, 1);
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

static bool
write_twice(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 1, error) && client_write(unit, 1, error);
}

Test(client_unit, an_error_carries_sqlstate_constraint_and_table)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, write_twice, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_SQL);
    cr_assert_str_eq(error.sqlstate, "23505");
    cr_assert_str_eq(error.constraint, "item_pkey");
    cr_assert_str_eq(error.schema, "public");
    cr_assert_str_eq(error.table, "item");
    cr_assert(strstr(error.message, "duplicate key") != NULL, "%s", error.message);
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

static bool
decline_silently(struct outbox_unit *unit, void *sql, struct outbox_error *error)
{
    (void)error;
    (void)client_raw(unit, sql);
    return false;
}

Test(client_unit, a_work_that_gives_no_reason_gets_the_servers)
{
    struct client client = client_open();
    struct outbox_error error =
        client_must_fail(&client, NULL, decline_silently, "insert into item (id) values (null)");
    cr_assert_str_eq(error.sqlstate, "23502");
    cr_assert_str_eq(error.column, "id");
    error = client_must_fail(&client, NULL, decline_silently, "select 1");
    cr_assert_eq(error.kind, OUTBOX_ERROR_WORK);
    cr_assert(strlen(error.message) > 0);
    client_close(&client);
}

static bool
ignore_a_failure(struct outbox_unit *unit, void *sql, struct outbox_error *error)
{
    bool written = client_write(unit, 1, error);
    cr_assert_not(client_raw(unit, sql));
    (void)client_raw(unit, "select 1"); /* 25P02, which explains nothing */
    return written;
}

Test(client_unit, a_failed_statement_that_the_work_ignores_fails_the_unit)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, ignore_a_failure, "select 1/0");
    cr_assert_eq(error.kind, OUTBOX_ERROR_SQL);
    cr_assert_str_eq(error.sqlstate, "22012");
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

static bool
write_without_owner(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return outbox_query(unit, "insert into item (id, owner) values (1, 99)", 0, NULL, NULL, error);
}

Test(client_unit, what_commit_itself_refuses_is_an_error_with_its_constraint)
{
    struct client client = client_open();
    struct outbox_error error = client_must_fail(&client, NULL, write_without_owner, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_SQL);
    cr_assert_str_eq(error.sqlstate, "23503");
    cr_assert_str_eq(error.constraint, "item_owner");
    client_close(&client);
}

/* ---- joining ---- */

static bool
join_one(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    return client_write(unit, 1, error) &&
           outbox_run(outbox_connection(unit), NULL, client_write_one, context, error);
}

Test(client_unit, a_unit_inside_a_unit_joins_it)
{
    struct client client = client_open();
    client_must_run(&client, NULL, join_one, &two);
    cr_assert_eq(client_items(&client), 2);
    cr_assert_eq(postgres_int(client.outbox.admin, "select count(distinct xid) from outbox.event"), 1,
                 "one transaction");
    client_close(&client);
}

static bool
decline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context;
    return outbox_fail(error, "declined");
}

static bool
join_and_go_on(struct outbox_unit *unit, void *inner, struct outbox_error *error)
{
    bool written = client_write(unit, 1, error);
    cr_assert_not(outbox_run(outbox_connection(unit), NULL, *(outbox_work **)inner, NULL, error));
    cr_assert_not(outbox_emit(unit, &(struct outbox_event){.topic = "t"}, NULL, error), "nothing goes on");
    return written;
}

Test(client_unit, a_joined_failure_fails_the_whole_unit_whatever_the_outer_work_says)
{
    struct client client = client_open();
    outbox_work *inner = decline;
    struct outbox_error error = client_must_fail(&client, NULL, join_and_go_on, &inner);
    cr_assert_eq(error.kind, OUTBOX_ERROR_WORK);
    cr_assert(strstr(error.message, "declined") != NULL, "%s", error.message);
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

static bool
nothing(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)unit, (void)context, (void)error;
    return true;
}

static bool
join_with(struct outbox_unit *unit, void *options, struct outbox_error *error)
{
    return outbox_run(outbox_connection(unit), options, nothing, NULL, error);
}

Test(client_unit, a_joined_unit_cannot_ask_for_more_than_the_outer_one_has)
{
    struct client client = client_open();
    struct outbox_options wrong[] = {{.isolation = OUTBOX_SERIALIZABLE},
                                     {.read_only = true},
                                     {.timeout_ms = 1000},
                                     {.consumer = "mailer"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct outbox_error error = client_must_fail(&client, NULL, join_with, &wrong[i]);
        cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%zu: %s", i, error.message);
    }
    struct outbox_options outer = {.isolation = OUTBOX_SERIALIZABLE, .read_only = true},
                          same = {.isolation = OUTBOX_SERIALIZABLE, .attempts = 2};
    client_must_run(&client, &outer, join_with, &same);
    client_close(&client);
}

/* ---- options ---- */

struct seen {
    char isolation[32], read_only[8], deferrable[8];
};

static bool
look(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct seen *seen = context;
    PGresult *result;
    if (!outbox_query(
            unit,
            "select current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
            " current_setting('transaction_deferrable')",
            0, NULL, &result, error))
        return false;
    strcpy(seen->isolation, PQgetvalue(result, 0, 0));
    strcpy(seen->read_only, PQgetvalue(result, 0, 1));
    strcpy(seen->deferrable, PQgetvalue(result, 0, 2));
    PQclear(result);
    return true;
}

Test(client_unit, isolation_and_access_are_those_that_were_asked_for)
{
    struct client client = client_open();
    static const char *const names[] = {"repeatable read", "read committed", "repeatable read",
                                        "serializable"};
    struct seen seen;
    postgres_exec(client.app, "set default_transaction_isolation = 'repeatable read'");
    for (enum outbox_isolation i = OUTBOX_ISOLATION_DEFAULT; i <= OUTBOX_SERIALIZABLE; i++) {
        client_must_run(&client, &(struct outbox_options){.isolation = i}, look, &seen);
        cr_assert_str_eq(seen.isolation, names[i]);
        cr_assert_str_eq(seen.read_only, "off");
    }
    struct outbox_options report = {.isolation = OUTBOX_SERIALIZABLE, .read_only = true, .deferrable = true};
    client_must_run(&client, &report, look, &seen);
    cr_assert_str_eq(seen.read_only, "on");
    cr_assert_str_eq(seen.deferrable, "on");
    struct outbox_error error =
        client_must_fail(&client, &(struct outbox_options){.read_only = true}, client_write_one, &one);
    cr_assert_str_eq(error.sqlstate, "25006");
    client_close(&client);
}

static void
expect_misuse(struct client *client, const struct outbox_options *options)
{
    struct outbox_error error = client_must_fail(client, options, nothing, NULL);
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%s", error.message);
    cr_assert(strlen(error.message) > 0);
}

Test(client_unit, wrong_options_are_refused_before_anything_begins)
{
    struct client client = client_open();
    expect_misuse(&client, &(struct outbox_options){.isolation = 7});
    expect_misuse(&client, &(struct outbox_options){.attempts = -1});
    expect_misuse(&client, &(struct outbox_options){.timeout_ms = -1});
    expect_misuse(&client, &(struct outbox_options){.deferrable = true});
    expect_misuse(&client, &(struct outbox_options){.reserved = {&client}});
    client_close(&client);
}

/* ---- by hand ---- */

Test(client_unit, begin_commit_and_rollback_can_be_called_one_by_one)
{
    struct client client = client_open();
    struct outbox_error error;
    struct outbox_unit *unit = outbox_begin(client.app, NULL, &error);
    cr_assert(client_write(unit, 1, &error));
    cr_assert(outbox_begin(client.app, NULL, &error) == NULL, "a second unit on the connection");
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE);
    cr_assert(outbox_run(client.app, NULL, client_write_one, &two, &error), "joins: %s", error.message);
    cr_assert(outbox_commit(unit, &error), "%s", error.message);
    client_assert_idle(&client);
    cr_assert_eq(client_items(&client), 2);

    unit = outbox_begin(client.app, NULL, NULL);
    cr_assert(client_write(unit, 3, NULL));
    outbox_rollback(unit);
    client_assert_idle(&client);
    cr_assert_eq(client_items(&client), 2);
    client_close(&client);
}

Test(client_unit, a_transaction_that_no_unit_began_is_left_alone)
{
    struct client client = client_open();
    struct outbox_error error;
    postgres_exec(client.app, "begin; insert into item (id) values (7)");
    cr_assert_not(outbox_run(client.app, NULL, client_write_one, &one, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE, "%s", error.message);
    cr_assert_eq(PQtransactionStatus(client.app), PQTRANS_INTRANS);
    postgres_exec(client.app, "commit");
    cr_assert_eq(client_items(&client), 1);
    client_close(&client);
}

Test(client_unit, every_error_may_be_null)
{
    struct client client = client_open();
    cr_assert_not(outbox_run(client.app, NULL, write_twice, NULL, NULL));
    cr_assert(outbox_run(client.app, NULL, client_write_one, &one, NULL));
    cr_assert_not(outbox_run(client.app, NULL, write_and_decline, "", NULL));
    client_close(&client);
}
