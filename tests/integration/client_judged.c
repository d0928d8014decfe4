/* client_judged.c: liboutbox: a COMMIT or ROLLBACK behind the unit's back, in whatever way it was sent and whatever the work says
 * of it afterwards, is mistaken neither for success nor for "nothing is committed". */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

/* What a work does behind the back, and what it says then. */
struct mischief {
    const char *queried, *sent; /* by outbox_query; by libpq */
    bool left;                  /* sent without reading the answer */
    bool piped, synced;         /* sent in pipeline mode, which is left on */
    const char *sqlstate;       /* says no with this, else "" for a text; NULL: says yes */
};

static void
send_behind(PGconn *connection, const struct mischief *mischief)
{
    if (mischief->piped) {
        cr_assert_eq(PQenterPipelineMode(connection), 1);
        cr_assert_eq(PQsendQueryParams(connection, mischief->sent, 0, NULL, NULL, NULL, NULL, 0), 1);
        if (mischief->synced)
            cr_assert_eq(PQpipelineSync(connection), 1);
        else
            cr_assert_eq(PQsendFlushRequest(connection), 1);
        cr_assert_eq(PQflush(connection), 0);
    } else if (mischief->left) {
        cr_assert_eq(PQsendQuery(connection, mischief->sent), 1);
    } else {
        PQclear(PQexec(connection, mischief->sent));
    }
}

static int works_run;

static bool
make_mischief(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct mischief *mischief = context;
    works_run++;
    if (!client_write(unit, 1, error))
        return false;
    if (mischief->queried != NULL)
        cr_assert(outbox_query(unit, mischief->queried, 0, NULL, NULL, error), "%s", error->message);
    if (mischief->sent != NULL)
        send_behind(outbox_connection(unit), mischief);
    if (mischief->sqlstate == NULL)
        return true;
    (void)outbox_fail(error, "no");
    if (mischief->sqlstate[0] != '\0') {
        error->kind = OUTBOX_ERROR_SQL;
        strcpy(error->sqlstate, mischief->sqlstate);
    }
    return false;
}

static bool
make_mischief_optionally(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)outbox_optional(unit, make_mischief, context, error);
    return true;
}

static bool
make_mischief_joined(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    bool done = outbox_run(outbox_connection(unit), NULL, make_mischief, context, error);
    return done || outbox_fail(error, "in other words");
}

static void
expect_honest(const struct mischief *mischief)
{
    outbox_work *works[] = {make_mischief, make_mischief_optionally, make_mischief_joined};
    static const struct outbox_options options[] = {{0}, {.timeout_ms = 60000}};
    for (size_t i = 0; i < 6; i++) {
        struct client client = client_open();
        struct outbox_error error;
        int pid = PQbackendPID(client.app);
        works_run = 0;
        bool done = outbox_run(client.app, &options[i % 2], works[i / 2], (void *)mischief, &error);
        cr_assert_not(done, "%zu: success for %s", i, mischief->sent);
        if (PQstatus(client.app) != CONNECTION_OK)
            client_await_cut(&client, pid);
        bool warned = error.kind == OUTBOX_ERROR_BROKEN || error.kind == OUTBOX_ERROR_UNKNOWN;
        cr_assert(warned || client_items(&client) == 0, "%zu: %d %s", i, error.kind, error.message);
        cr_assert_eq(works_run, 1, "a broken unit does not run again");
        if (PQstatus(client.app) == CONNECTION_OK)
            client_assert_idle(&client);
        client_close(&client);
    }
}

#define HONEST(name, ...)                                                                                    \
    Test(client_judged, name)                                                                                \
    {                                                                                                        \
        expect_honest(&(struct mischief){__VA_ARGS__});                                                      \
    }

HONEST(a_commit_by_query, .queried = "commit")
HONEST(a_chained_commit_by_query, .queried = "commit and chain")
HONEST(a_chained_commit_by_query_and_a_no, .queried = "commit and chain", .sqlstate = "")
HONEST(a_chained_rollback_by_query, .queried = "rollback and chain")
HONEST(a_rollback_by_query_and_a_begin, .queried = "rollback", .sent = "begin")
HONEST(a_commit_by_query_and_a_begin, .queried = "commit", .sent = "begin", .sqlstate = "")
HONEST(a_commit_and_a_no, .sent = "commit", .sqlstate = "")
HONEST(a_commit_and_a_deadlock, .sent = "commit", .sqlstate = "40P01")
HONEST(a_rollback_and_an_insert_of_its_own_and_a_no, .sent = "rollback; insert into item (id) values (9)",
       .sqlstate = "")
HONEST(a_rollback_and_a_procedure_that_commits_and_fails_and_a_no,
       .sent = "rollback; do $$ begin insert into item (id) values (9); commit; perform 1/0; end $$",
       .sqlstate = "")
HONEST(a_commit_left_running_and_a_no, .sent = "commit", .left = true, .sqlstate = "")
HONEST(a_commit_and_chain_left_running_and_a_no, .sent = "commit and chain", .left = true, .sqlstate = "")
HONEST(a_commit_behind_a_copy, .sent = "copy (select 1) to stdout; commit")
HONEST(a_commit_behind_a_copy_and_a_no, .sent = "copy (select 1) to stdout; commit", .sqlstate = "")
HONEST(a_commit_behind_a_large_copy, .sent = "copy (select generate_series(1, 1000000)) to stdout; commit")
HONEST(a_commit_in_a_pipeline, .sent = "commit", .piped = true, .synced = true)
HONEST(a_commit_in_a_pipeline_and_a_no, .sent = "commit", .piped = true, .synced = true, .sqlstate = "")
HONEST(a_commit_in_a_pipeline_that_nobody_synchronized, .sent = "commit", .piped = true)

static bool
roll_back_for_a_deadlock(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    if (++works_run > 1)
        return client_write(unit, 1, error);
    bool failed = !outbox_query(unit, "do $$ begin raise sqlstate '40P01'; end $$", 0, NULL, NULL, error);
    return client_raw(unit, "rollback") && !failed;
}

Test(client_judged, a_rollback_by_hand_after_a_failure_does_not_hide_it)
{
    struct client client = client_open();
    client_must_run(&client, NULL, roll_back_for_a_deadlock, NULL);
    cr_assert_eq(works_run, 2);
    client_close(&client);
}
