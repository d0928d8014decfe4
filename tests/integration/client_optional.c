/* client_optional.c: liboutbox: a step that may fail undoes itself, its events included, and nothing else. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static int64_t two = 2;

/* What the optional step said, for a work that reports it and goes on. */
struct step {
    outbox_work *work;
    void *context;
    bool done;
    struct outbox_error error;
};

static bool
write_around(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct step *step = context;
    if (!client_write(unit, 1, error))
        return false;
    step->done = outbox_optional(unit, step->work, step->context, &step->error);
    return client_write(unit, 3, error);
}

static void
expect_kept(const struct client *client, const char *ids)
{
    char *items =
        postgres_text(client->outbox.admin, "select string_agg(id::text, ' ' order by id) from item");
    char *keys =
        postgres_text(client->outbox.admin,
                      "select string_agg(convert_from(key, 'UTF8'), ' ' order by key) from outbox.event");
    cr_assert_str_eq(items, ids);
    cr_assert_str_eq(keys, ids, "events go with their rows");
    free(items);
    free(keys);
}

Test(client_optional, a_step_that_succeeds_is_committed_with_the_unit)
{
    struct client client = client_open();
    struct step step = {.work = client_write_one, .context = &two};
    client_must_run(&client, NULL, write_around, &step);
    cr_assert(step.done);
    expect_kept(&client, "1 2 3");
    client_close(&client);
}

static bool
write_and_clash(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 2, error) && client_write(unit, 1, error);
}

static bool
write_and_decline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_write(unit, 2, error) && outbox_fail(error, "declined");
}

static bool
ignore_a_failure(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context, (void)error;
    (void)client_write(unit, 2, error);
    (void)client_raw(unit, "select 1/0");
    return true;
}

static bool
emit_nonsense(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    struct outbox_event event = {.topic = "not a topic"};
    return client_write(unit, 2, error) && outbox_emit(unit, &event, NULL, error);
}

static bool
join_a_failure(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    cr_assert_not(outbox_run(outbox_connection(unit), NULL, write_and_decline, context, error));
    return true; /* and hides it */
}

static bool
commit_inside(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    cr_assert(client_write(unit, 2, error));
    cr_assert_not(outbox_commit(unit, error));
    return true;
}

Test(client_optional, a_step_that_fails_undoes_itself_alone)
{
    static const struct {
        outbox_work *work;
        enum outbox_error_kind kind;
        const char *sqlstate;
    } steps[] = {{write_and_clash, OUTBOX_ERROR_SQL, "23505"},  {write_and_decline, OUTBOX_ERROR_WORK, ""},
                 {ignore_a_failure, OUTBOX_ERROR_SQL, "22012"}, {emit_nonsense, OUTBOX_ERROR_SQL, "23514"},
                 {join_a_failure, OUTBOX_ERROR_WORK, ""},       {commit_inside, OUTBOX_ERROR_USAGE, ""}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct client client = client_open();
        struct step step = {.work = steps[i].work};
        client_must_run(&client, NULL, write_around, &step);
        cr_assert_not(step.done, "step %zu", i);
        cr_assert_eq(step.error.kind, steps[i].kind, "step %zu: %s", i, step.error.message);
        cr_assert_str_eq(step.error.sqlstate, steps[i].sqlstate);
        expect_kept(&client, "1 3");
        client_close(&client);
    }
}

/* ---- nesting ---- */

static bool
nest(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct step *inner = context;
    if (!client_write(unit, 2, error))
        return false;
    inner->done = outbox_optional(unit, inner->work, inner->context, &inner->error);
    return true;
}

Test(client_optional, steps_nest_and_only_the_failed_one_is_undone)
{
    static int64_t four = 4;
    struct client client = client_open();
    struct step inner = {.work = write_and_clash}, outer = {.work = nest, .context = &inner};
    client_must_run(&client, NULL, write_around, &outer);
    cr_assert(outer.done);
    cr_assert_not(inner.done);
    expect_kept(&client, "1 2 3");
    postgres_exec(client.outbox.admin, "delete from item; truncate outbox.event");

    inner = (struct step){.work = client_write_one, .context = &four};
    client_must_run(&client, NULL, write_around, &outer);
    cr_assert(inner.done);
    expect_kept(&client, "1 2 3 4");
    client_close(&client);
}

static bool
nest_and_decline(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    return nest(unit, context, error) && outbox_fail(error, "declined");
}

Test(client_optional, a_failed_step_takes_the_steps_inside_it_along)
{
    struct client client = client_open();
    static int64_t four = 4;
    struct step inner = {.work = client_write_one, .context = &four},
                outer = {.work = nest_and_decline, .context = &inner};
    client_must_run(&client, NULL, write_around, &outer);
    cr_assert(inner.done, "it was, until the outer one failed");
    expect_kept(&client, "1 3");
    client_close(&client);
}

static bool
leave_a_savepoint(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    return client_raw(unit, "savepoint theirs") && client_write(unit, 2, error);
}

Test(client_optional, a_savepoint_that_the_step_leaves_open_ends_with_it)
{
    struct client client = client_open();
    struct step step = {.work = leave_a_savepoint};
    client_must_run(&client, NULL, write_around, &step);
    cr_assert(step.done);
    expect_kept(&client, "1 2 3");
    client_close(&client);
}

/* ---- what no savepoint heals ---- */

static bool
commit(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context, (void)error;
    return client_raw(unit, "commit");
}

static bool
optional_and_true(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct step *step = context;
    step->done = outbox_optional(unit, step->work, step->context, &step->error);
    (void)error;
    return true;
}

Test(client_optional, a_step_that_ends_the_transaction_breaks_the_unit)
{
    struct client client = client_open();
    struct step step = {.work = commit};
    struct outbox_error error = client_must_fail(&client, NULL, optional_and_true, &step);
    cr_assert_not(step.done);
    cr_assert_eq(step.error.kind, OUTBOX_ERROR_BROKEN, "%s", step.error.message);
    cr_assert_eq(error.kind, OUTBOX_ERROR_BROKEN, "%s", error.message);
    client_close(&client);
}

static bool
die(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context, (void)error;
    return client_raw(unit, "select pg_terminate_backend(pg_backend_pid())");
}

Test(client_optional, a_step_that_loses_the_connection_loses_the_unit)
{
    struct client client = client_open();
    struct step step = {.work = die};
    struct outbox_error error;
    cr_assert_not(outbox_run(client.app, NULL, write_around, &step, &error));
    cr_assert_not(step.done);
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%s", error.message);
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

static bool
release_ours(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context, (void)error;
    return client_raw(unit, "release savepoint outbox_1");
}

Test(client_optional, a_step_that_releases_our_savepoint_breaks_the_unit)
{
    struct client client = client_open();
    struct step step = {.work = release_ours};
    struct outbox_error error = client_must_fail(&client, NULL, write_around, &step);
    cr_assert_not(step.done);
    cr_assert_eq(error.kind, OUTBOX_ERROR_BROKEN, "%s", error.message);
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}

static bool
many_steps(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    for (int64_t id = 1; id <= 200; id++) {
        struct outbox_error ignored;
        bool done = outbox_optional(unit, id % 2 ? client_write_one : write_and_decline, &id, &ignored);
        cr_assert_eq(done, id % 2 == 1, "%s", ignored.message);
    }
    (void)error;
    return true;
}

Test(client_optional, hundreds_of_steps_one_after_the_other)
{
    struct client client = client_open();
    client_must_run(&client, NULL, many_steps, NULL);
    cr_assert_eq(client_items(&client), 100);
    cr_assert_eq(client_events(&client), 100);
    client_close(&client);
}
