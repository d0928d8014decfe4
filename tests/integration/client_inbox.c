/* client_inbox.c: the inbox: an event that is received twice is worked on once, whoever is killed in between; old entries go. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#define CONSUMER "mailer_login"

static struct client
open_consumer(void)
{
    struct client client = client_open();
    struct schema_wish wish = outbox_wish();
    wish.logins[SCHEMA_CONSUMERS] = (struct schema_logins){(const char *const[]){CONSUMER}, 1};
    outbox_migrate(client.outbox.server, client.outbox.database, POSTGRES_ADMIN, &wish);
    postgres_exec(client.outbox.admin, "grant select, insert on item to " CONSUMER);
    PQfinish(client.app);
    client.app = outbox_session(&client.outbox, CONSUMER);
    return client;
}

struct received {
    const char *source;
    int64_t id;
    bool first, fails;
};

static bool
handle(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct received *received = context;
    if (!outbox_inbox_accept(unit, received->source, received->id, &received->first, error))
        return false;
    if (received->first &&
        !outbox_query(unit, "insert into item (id) select count(*) from item", 0, NULL, NULL, error))
        return false;
    return !received->fails || outbox_fail(error, "the handler failed");
}

static bool
receive(struct client *client, const struct outbox_options *options, const char *source, int64_t id)
{
    struct received received = {.source = source, .id = id};
    client_must_run(client, options, handle, &received);
    return received.first;
}

Test(client_inbox, p3_an_event_is_accepted_once)
{
    struct client client = open_consumer();
    cr_assert(receive(&client, NULL, "shop", 7));
    cr_assert_not(receive(&client, NULL, "shop", 7));
    cr_assert(receive(&client, NULL, "shop", 8));
    cr_assert(receive(&client, NULL, "stock", 7), "ids are unique within a source");
    cr_assert_eq(client_items(&client), 3);
    client_close(&client);
}

Test(client_inbox, a_handler_that_fails_has_not_accepted)
{
    struct client client = open_consumer();
    struct received received = {.source = "shop", .id = 7, .fails = true};
    (void)client_must_fail(&client, NULL, handle, &received);
    cr_assert(received.first);
    cr_assert(receive(&client, NULL, "shop", 7));
    client_close(&client);
}

Test(client_inbox, each_consumer_has_an_inbox_of_its_own)
{
    struct client client = open_consumer();
    struct outbox_options mailer = {.consumer = "mailer"}, search = {.consumer = "search"};
    cr_assert(receive(&client, &mailer, "shop", 7));
    cr_assert(receive(&client, &search, "shop", 7));
    cr_assert(receive(&client, NULL, "shop", 7), "the role's");
    cr_assert_not(receive(&client, &mailer, "shop", 7));
    cr_assert_eq(postgres_int(client.outbox.admin,
                              "select count(*) from outbox.inbox where consumer = '" CONSUMER "'"),
                 1);
    client_close(&client);
}

/* ---- at the same time ---- */

#define WORKERS 4
#define DELIVERIES 200

struct worker {
    pthread_t thread;
    PGconn *connection;
    atomic_int *accepted;
};

static bool
accept_only(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct received *received = context;
    return outbox_inbox_accept(unit, received->source, received->id, &received->first, error);
}

static void *
accept_all(void *context)
{
    struct worker *worker = context;
    struct outbox_options options = {.consumer = "mailer", .attempts = 50};
    for (int64_t id = 1; id <= DELIVERIES; id++) {
        struct received received = {.source = "shop", .id = id};
        struct outbox_error error;
        options.isolation = id % 2 ? OUTBOX_READ_COMMITTED : OUTBOX_SERIALIZABLE;
        if (!outbox_run(worker->connection, &options, accept_only, &received, &error))
            cr_assert_fail("%s %s", error.sqlstate, error.message);
        if (received.first)
            atomic_fetch_add(worker->accepted, 1);
    }
    return NULL;
}

Test(client_inbox, p3_one_of_many_workers_accepts_each_event)
{
    struct client client = open_consumer();
    struct worker workers[WORKERS];
    atomic_int accepted = 0;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] =
            (struct worker){.connection = outbox_session(&client.outbox, CONSUMER), .accepted = &accepted};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, accept_all, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        PQfinish(workers[i].connection);
    }
    cr_assert_eq(accepted, DELIVERIES, "%d", accepted);
    cr_assert_eq(postgres_int(client.outbox.admin, "select count(*) from outbox.inbox"), DELIVERIES);
    client_close(&client);
}

/* ---- pruning ---- */

struct pruning {
    int64_t age_s, count;
    int limit;
};

static bool
prune(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct pruning *pruning = context;
    return outbox_inbox_prune(unit, pruning->age_s, pruning->limit, &pruning->count, error);
}

static int64_t
prune_now(struct client *client, int64_t age_s, int limit)
{
    struct pruning pruning = {.age_s = age_s, .limit = limit};
    client_must_run(client, NULL, prune, &pruning);
    return pruning.count;
}

Test(client_inbox, old_entries_are_forgotten_and_young_ones_kept)
{
    struct client client = open_consumer();
    postgres_exec(
        client.outbox.admin,
        "insert into outbox.inbox (consumer, source, id, accepted_at)"
        " select '" CONSUMER "', 'shop', i, now() - i * interval '1 minute' from generate_series(1, 100) i"
        " union all select 'another', 'shop', i, now() - interval '1 year' from generate_series(1, 5) i");
    cr_assert_eq(prune_now(&client, 50 * 60 + 30, 20), 20, "the limit");
    cr_assert_eq(
        postgres_int(client.outbox.admin, "select max(id) from outbox.inbox where consumer = '" CONSUMER "'"),
        80, "the oldest first");
    cr_assert_eq(prune_now(&client, 50 * 60 + 30, 0), 30);
    cr_assert_eq(prune_now(&client, 50 * 60 + 30, 0), 0);
    cr_assert_eq(
        postgres_int(client.outbox.admin, "select count(*) from outbox.inbox where consumer = 'another'"), 5);
    struct pruning wrong = {.age_s = -1};
    struct outbox_error error = client_must_fail(&client, NULL, prune, &wrong);
    cr_assert_eq(error.kind, OUTBOX_ERROR_USAGE);
    client_close(&client);
}

/* ---- rights ---- */

Test(client_inbox, a_consumer_has_the_two_functions_and_nothing_else)
{
    static const char *const forbidden[] = {
        "select * from outbox.inbox",
        "insert into outbox.inbox (consumer, source, id) values ('a', 'b', 1)",
        "delete from outbox.inbox",
        "select outbox.emit('t', 'k', '{}')",
        "insert into outbox.event (topic) values ('t')",
        "select * from outbox.event",
        "select outbox.relay_retire('main')"};
    struct client client = open_consumer();
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        cr_assert_str_eq(postgres_sqlstate(client.app, "%s", forbidden[i]), "42501", "%s", forbidden[i]);
    const char *accept = "select outbox.inbox_accept('shop', 1)";
    cr_assert_str_eq(postgres_sqlstate(client.outbox.writer, "%s", accept), "42501");
    cr_assert_str_eq(postgres_sqlstate(client.outbox.relay, "%s", accept), "42501");
    cr_assert_str_eq(postgres_sqlstate(client.app, "%s", accept), "00000");
    cr_assert_str_eq(postgres_sqlstate(client.app, "select outbox.inbox_accept('', 1)"), "23514");
    cr_assert_str_eq(postgres_sqlstate(client.app, "select outbox.inbox_prune('-1 s')"), "22023");
    client_close(&client);
}
