/* client_unwind.c: liboutbox: a thread that is cancelled inside a work leaves no unit behind that swallows the next one. The same for
 * exceptions of C++: client_library.c. */
#include "client_fixture.h"

#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>

/* AddressSanitizer hears of exceptions, but not that the frames of a cancelled thread are gone: it reports whoever comes to stand in
 * their place. */
#ifdef __SANITIZE_ADDRESS__
#define BLIND true
#else
#define BLIND false
#endif

TestSuite(client_unwind, .timeout = 60, .disabled = BLIND);

static int64_t one = 1, two = 2;

struct victim {
    struct client *client;
    outbox_work *work;
    sem_t inside; /* the work has written, and is about to wait for ever */
};

static bool
wait_between_statements(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct victim *victim = context;
    bool written = client_write(unit, 1, error);
    sem_post(&victim->inside);
    for (sem_t never; sem_init(&never, 0, 0) == 0;)
        sem_wait(&never);
    return written;
}

static bool
wait_in_a_statement(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct victim *victim = context;
    bool written = client_write(unit, 1, error);
    sem_post(&victim->inside);
    return written && outbox_query(unit, "select pg_sleep(600)", 0, NULL, NULL, error);
}

static bool
write_only(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct victim *victim = context;
    bool written = client_write(unit, 1, error);
    sem_post(&victim->inside);
    return written;
}

static bool
wait_in_an_optional_step(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    return client_write(unit, 2, error) && outbox_optional(unit, wait_between_statements, context, error);
}

static void *
run(void *context)
{
    struct victim *victim = context;
    bool done = outbox_run(victim->client->app, NULL, victim->work, victim, NULL);
    return done ? victim : NULL;
}

static void
cancel_inside(struct client *client, outbox_work *work, const char *statement)
{
    struct victim victim = {.client = client, .work = work};
    int backend = PQbackendPID(client->app);
    pthread_t thread;
    void *left;
    cr_assert_eq(sem_init(&victim.inside, 0, 0), 0);
    cr_assert_eq(pthread_create(&thread, NULL, run, &victim), 0);
    sem_wait(&victim.inside);
    if (statement != NULL)
        wait_for(postgres_int(client->outbox.admin,
                              "select count(*) from pg_stat_activity where pid = %d and state = 'active' and"
                              " query = '%s'",
                              backend, statement) == 1,
                 10000);
    cr_assert_eq(pthread_cancel(thread), 0);
    cr_assert_eq(pthread_join(thread, &left), 0);
    cr_assert(left == PTHREAD_CANCELED);
    sem_destroy(&victim.inside);
}

Test(client_unwind, a_thread_cancelled_between_statements_rolls_back)
{
    struct client client = client_open();
    outbox_work *works[] = {wait_between_statements, wait_in_an_optional_step};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        cancel_inside(&client, works[i], NULL);
        client_assert_idle(&client);
        cr_assert_eq(client_items(&client), (int64_t)i);
        client_must_run(&client, NULL, client_write_one, i == 0 ? &one : &two);
        cr_assert_eq(client_items(&client), (int64_t)i + 1, "the next unit is a unit of its own");
    }
    client_close(&client);
}

static void
expect_cut(struct client *client, outbox_work *work, const char *statement)
{
    int backend = PQbackendPID(client->app);
    cancel_inside(client, work, statement);
    cr_assert_eq(PQstatus(client->app), CONNECTION_BAD, "nobody waits for the statement's end");
    postgres_exec(client->outbox.admin, "select pg_terminate_backend(%d)", backend);
    client_await_cut(client, backend);
    PQreset(client->app);
    client_must_run(client, NULL, client_write_one, &two);
    cr_assert_eq(client_items(client), 1);
}

Test(client_unwind, a_thread_cancelled_in_a_statement_costs_the_connection_and_no_more)
{
    struct client client = client_open();
    expect_cut(&client, wait_in_a_statement, "select pg_sleep(600)");
    client_close(&client);
}

Test(client_unwind, a_thread_cancelled_in_commit_costs_the_connection_and_no_more)
{
    struct client client = client_open();
    postgres_exec(
        client.outbox.admin,
        "create function hang() returns trigger language plpgsql as $$ begin perform pg_sleep(600);"
        " return null; end $$;"
        "create constraint trigger hangs after insert on item deferrable initially deferred for each row"
        " when (new.id = 1) execute function hang()");
    expect_cut(&client, write_only, "commit");
    client_close(&client);
}
