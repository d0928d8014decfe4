/* client_fixture.c: see client_fixture.h. */
#include "client_fixture.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

void
client_prepare(struct client *client)
{
    postgres_exec(client->outbox.admin,
                  "create table owner (id bigint primary key);"
                  "create table item (id bigint primary key, name text, n bigint not null default 0,"
                  " owner bigint constraint item_owner references owner deferrable initially deferred,"
                  " constraint item_name unique (name));"
                  "grant select, insert, update, delete on owner, item to " POSTGRES_WRITER);
    client->app = outbox_session(&client->outbox, POSTGRES_WRITER);
}

struct client
client_open(void)
{
    struct client client = {.outbox = outbox_open()};
    client_prepare(&client);
    return client;
}

void
client_close(struct client *client)
{
    PQfinish(client->app);
    outbox_close(&client->outbox);
}

int
client_deadline_ms(void)
{
    return (int)(wait_patience() * 300);
}

int64_t
client_items(const struct client *client)
{
    return postgres_int(client->outbox.admin, "select count(*) from item");
}

void
client_await_cut(const struct client *client, int pid)
{
    wait_for(
        postgres_int(client->outbox.admin, "select count(*) from pg_stat_activity where pid = %d", pid) == 0,
        10000);
}

int64_t
client_events(const struct client *client)
{
    return postgres_int(client->outbox.admin, "select count(*) from outbox.event");
}

bool
client_write(struct outbox_unit *unit, int64_t id, struct outbox_error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, id);
    const char *values[] = {text};
    struct outbox_event event = {.topic = "item", .key = outbox_text(text), .payload = outbox_text("{}")};
    return outbox_query(unit, "insert into item (id, name) values ($1::bigint, $1::text)", 1, values, NULL,
                        error) &&
           outbox_emit(unit, &event, NULL, error);
}

bool
client_write_one(struct outbox_unit *unit, void *id, struct outbox_error *error)
{
    return client_write(unit, *(const int64_t *)id, error);
}

bool
client_raw(struct outbox_unit *unit, const char *sql)
{
    PGresult *result = PQexec(outbox_connection(unit), sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

void
client_assert_idle(const struct client *client)
{
    cr_assert_eq(PQstatus(client->app), CONNECTION_OK, "%s", PQerrorMessage(client->app));
    cr_assert_eq(PQtransactionStatus(client->app), PQTRANS_IDLE, "%d", PQtransactionStatus(client->app));
}

void
client_must_run(struct client *client, const struct outbox_options *options, outbox_work *work, void *context)
{
    struct outbox_error error;
    if (!outbox_run(client->app, options, work, context, &error))
        test_fail("the unit failed: %d %s %s", error.kind, error.sqlstate, error.message);
    client_assert_idle(client);
}

struct outbox_error
client_must_fail(struct client *client, const struct outbox_options *options, outbox_work *work,
                 void *context)
{
    struct outbox_error error;
    cr_assert_not(outbox_run(client->app, options, work, context, &error), "the unit should have failed");
    client_assert_idle(client);
    return error;
}
