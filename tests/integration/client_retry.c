/* client_retry.c: liboutbox: what fails in passing (deadlock, serialization) runs again as a whole, within a bound; nothing else
 * does. */
#include "client_fixture.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Reads an item, lets somebody else change it in the first attempts, and changes it. */
struct contest {
    struct client *client;
    int interfere;       /* in so many attempts */
    int attempts;        /* that have begun */
    const char *instead; /* what the work reports of its own accord; NULL: the server's error */
    int told, last_wait_ms;
    struct outbox_error last;
};

static bool
read_and_write(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct contest *contest = context;
    contest->attempts++;
    if (!outbox_query(unit, "select n from item where id = 1", 0, NULL, NULL, error) ||
        !client_write(unit, 2, error))
        return false;
    if (contest->attempts <= contest->interfere)
        postgres_exec(contest->client->outbox.admin, "update item set n = n + 1 where id = 1");
    if (outbox_query(unit, "update item set n = n + 100 where id = 1", 0, NULL, NULL, error))
        return true;
    return contest->instead != NULL ? outbox_fail(error, "%s", contest->instead) : false;
}

static void
count_retry(void *context, int attempt, const struct outbox_error *error, int wait_ms)
{
    struct contest *contest = context;
    contest->told++;
    contest->last_wait_ms = wait_ms;
    contest->last = *error;
    cr_assert_eq(attempt, contest->attempts);
    cr_assert(error->kind != OUTBOX_ERROR_NONE);
}

static struct outbox_options
options_of(struct contest *contest, int attempts)
{
    return (struct outbox_options){.isolation = OUTBOX_REPEATABLE_READ,
                                   .attempts = attempts,
                                   .retry_listener = count_retry,
                                   .retry_context = contest};
}

static struct client
open_with_item(void)
{
    struct client client = client_open();
    postgres_exec(client.outbox.admin, "insert into item (id) values (1)");
    return client;
}

Test(client_retry, a_serialization_failure_runs_the_whole_unit_again)
{
    struct client client = open_with_item();
    struct contest contest = {.client = &client, .interfere = 3};
    struct outbox_options options = options_of(&contest, 0);
    client_must_run(&client, &options, read_and_write, &contest);
    cr_assert_eq(contest.attempts, 4);
    cr_assert_eq(contest.told, 3);
    cr_assert_geq(contest.last_wait_ms, 20, "10, 20, 40 ms, each at least half of it");
    cr_assert_eq(postgres_int(client.outbox.admin, "select n from item where id = 1"), 103);
    cr_assert_eq(client_events(&client), 1, "those of the attempts that failed are gone");
    client_close(&client);
}

Test(client_retry, also_when_the_work_reports_it_in_its_own_words)
{
    struct client client = open_with_item();
    struct contest contest = {.client = &client, .interfere = 1, .instead = "somebody was faster"};
    struct outbox_options options = options_of(&contest, 0);
    client_must_run(&client, &options, read_and_write, &contest);
    cr_assert_eq(contest.attempts, 2);
    cr_assert_eq(contest.last.kind, OUTBOX_ERROR_WORK);
    cr_assert_str_eq(contest.last.message, "somebody was faster");
    cr_assert_str_eq(contest.last.sqlstate, "40001", "the listener learns why");

    contest = (struct contest){.client = &client, .interfere = 100, .instead = "somebody was faster"};
    postgres_exec(client.outbox.admin, "delete from item where id = 2");
    struct outbox_error error = client_must_fail(&client, &options, read_and_write, &contest);
    cr_assert_str_eq(error.message, "somebody was faster");
    cr_assert_str_eq(error.sqlstate, "40001");
    client_close(&client);
}

Test(client_retry, the_attempts_are_bounded)
{
    struct client client = open_with_item();
    for (int bound = 0; bound <= 2; bound++) {
        struct contest contest = {.client = &client, .interfere = 100};
        struct outbox_options options = options_of(&contest, bound);
        struct outbox_error error = client_must_fail(&client, &options, read_and_write, &contest);
        cr_assert_str_eq(error.sqlstate, "40001");
        cr_assert_eq(error.attempts, bound > 0 ? bound : 5);
        cr_assert_eq(contest.attempts, error.attempts);
    }
    cr_assert_eq(client_events(&client), 0);
    client_close(&client);
}

static bool
clash(struct outbox_unit *unit, void *attempts, struct outbox_error *error)
{
    ++*(int *)attempts;
    return client_write(unit, 1, error);
}

Test(client_retry, what_would_fail_again_is_not_tried_again)
{
    struct client client = open_with_item();
    int attempts = 0;
    struct outbox_error error = client_must_fail(&client, NULL, clash, &attempts);
    cr_assert_str_eq(error.sqlstate, "23505");
    cr_assert_eq(attempts, 1);
    client_close(&client);
}

static bool
deadlock(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct contest *contest = context;
    contest->attempts++;
    return outbox_query(unit, "do $$ begin raise sqlstate '40P01'; end $$", 0, NULL, NULL, error);
}

static void
kill_between(void *context, int attempt, const struct outbox_error *error, int wait_ms)
{
    struct contest *contest = context;
    (void)attempt, (void)error, (void)wait_ms;
    PGconn *admin = contest->client->outbox.admin;
    int backend = PQbackendPID(contest->client->app);
    postgres_exec(admin, "select pg_terminate_backend(%d)", backend);
    wait_for(postgres_int(admin, "select count(*) from pg_stat_activity where pid = %d", backend) == 0,
             10000);
}

Test(client_retry, only_the_attempts_in_which_the_work_ran_count)
{
    struct client client = client_open();
    struct contest contest = {.client = &client};
    struct outbox_error error =
        client_must_fail(&client, &(struct outbox_options){.attempts = -1}, deadlock, &contest);
    cr_assert_eq(error.attempts, 0);
    postgres_exec(client.app, "begin");
    cr_assert_not(outbox_run(client.app, NULL, deadlock, &contest, &error));
    cr_assert_eq(error.attempts, 0);
    postgres_exec(client.app, "rollback");

    struct outbox_options options = {.retry_listener = kill_between, .retry_context = &contest};
    cr_assert_not(outbox_run(client.app, &options, deadlock, &contest, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%s", error.message);
    cr_assert_eq(error.attempts, 1, "the second one could not begin");
    cr_assert_not(outbox_run(client.app, NULL, deadlock, &contest, &error));
    cr_assert_eq(error.attempts, 0);
    cr_assert_eq(contest.attempts, 1);
    client_close(&client);
}

static bool
join_the_contest(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    bool done = outbox_run(outbox_connection(unit), NULL, read_and_write, context, error);
    (void)done;
    return true; /* a joined failure is the whole unit's, whatever is said here */
}

Test(client_retry, a_joined_unit_is_tried_again_with_the_outer_one)
{
    struct client client = open_with_item();
    struct contest contest = {.client = &client, .interfere = 2};
    struct outbox_options options = options_of(&contest, 0);
    client_must_run(&client, &options, join_the_contest, &contest);
    cr_assert_eq(contest.attempts, 3);
    cr_assert_eq(postgres_int(client.outbox.admin, "select n from item where id = 1"), 102);
    client_close(&client);
}

/* ---- what only COMMIT finds ---- */

struct skew {
    struct client *client;
    PGconn *other;
    int attempts;
};

/* Write skew: both read everything and add a row; the other one commits first, in the first attempt. */
static bool
skew(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct skew *skew = context;
    if (++skew->attempts == 1)
        postgres_exec(skew->other, "begin isolation level serializable; select count(*) from item");
    if (!outbox_query(unit, "select count(*) from item", 0, NULL, NULL, error) ||
        !outbox_query(unit, "insert into item (id) values (2)", 0, NULL, NULL, error))
        return false;
    if (skew->attempts == 1)
        postgres_exec(skew->other, "insert into item (id) values (3); commit");
    return true;
}

Test(client_retry, a_serialization_failure_of_commit_runs_the_unit_again)
{
    struct client client = open_with_item();
    struct skew context = {.client = &client, .other = outbox_session(&client.outbox, POSTGRES_WRITER)};
    client_must_run(&client, &(struct outbox_options){.isolation = OUTBOX_SERIALIZABLE}, skew, &context);
    cr_assert_eq(context.attempts, 2);
    cr_assert_eq(client_items(&client), 3);
    PQfinish(context.other);
    client_close(&client);
}

/* ---- deadlocks ---- */

#define RIVALS 4
#define ROUNDS 25

struct rival {
    struct client *client;
    pthread_t thread;
    PGconn *connection;
    bool backwards;
    atomic_int *retries;
};

static bool
lock_both(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct rival *rival = context;
    static const char *const updates[] = {"update item set n = n + 1 where id = 1",
                                          "update item set n = n + 1 where id = 2"};
    return outbox_query(unit, updates[rival->backwards], 0, NULL, NULL, error) &&
           outbox_query(unit, "select pg_sleep(0.002)", 0, NULL, NULL, error) &&
           outbox_query(unit, updates[!rival->backwards], 0, NULL, NULL, error);
}

static void
count_deadlock(void *context, int attempt, const struct outbox_error *error, int wait_ms)
{
    (void)attempt, (void)wait_ms;
    if (strcmp(error->sqlstate, "40P01") == 0)
        atomic_fetch_add((atomic_int *)context, 1);
}

static void *
compete(void *context)
{
    struct rival *rival = context;
    struct outbox_options options = {
        .attempts = 50, .retry_listener = count_deadlock, .retry_context = rival->retries};
    struct outbox_error error;
    for (int i = 0; i < ROUNDS; i++)
        if (!outbox_run(rival->connection, &options, lock_both, rival, &error))
            cr_assert_fail("%s %s", error.sqlstate, error.message);
    return NULL;
}

Test(client_retry, deadlocks_run_again_until_everybody_is_through)
{
    struct client client = open_with_item();
    struct rival rivals[RIVALS];
    atomic_int retries = 0;
    postgres_exec(client.outbox.admin, "insert into item (id) values (2)");
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (struct rival){.client = &client,
                                   .connection = outbox_session(&client.outbox, POSTGRES_ADMIN),
                                   .backwards = i % 2 == 1,
                                   .retries = &retries};
        postgres_exec(rivals[i].connection, "set deadlock_timeout = '10ms'");
    }
    for (int i = 0; i < RIVALS; i++)
        cr_assert_eq(pthread_create(&rivals[i].thread, NULL, compete, &rivals[i]), 0);
    for (int i = 0; i < RIVALS; i++) {
        pthread_join(rivals[i].thread, NULL);
        PQfinish(rivals[i].connection);
    }
    cr_assert_eq(postgres_int(client.outbox.admin, "select sum(n) from item"), 2 * RIVALS * ROUNDS);
    cr_assert_gt(retries, 0, "otherwise nothing was tried");
    client_close(&client);
}
