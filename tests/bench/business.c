/* business.c: sign-ups as fast as Postgres takes them (business.h). */
#include "business.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 4

void
business_prepare(const struct outbox *outbox)
{
    postgres_exec(
        outbox->admin,
        "create table account (id bigint generated always as identity primary key, name text not null);"
        "create table app_user (id bigint generated always as identity primary key,"
        " account_id bigint not null references account (id), email text not null unique);"
        "grant select, insert on account, app_user to " POSTGRES_WRITER ";"
        "grant usage on sequence account_id_seq to " POSTGRES_WRITER);
}

struct client {
    struct outbox *outbox;
    pthread_t thread;
    int64_t end_us, run, done;
    int number;
};

/* The statements of one sign-up; $1 is its e-mail, whose account and whose event are told apart by it. */
static const struct {
    const char *name, *sql;
} steps[] = {
    {"begin", "begin"},
    {"account", "insert into account (name) values ($1)"},
    {"user", "insert into app_user (account_id, email) values (currval(pg_get_serial_sequence('account', "
             "'id')), $1)"},
    {"emit", "select outbox.emit('" STAGE_LATENCY_TOPIC
             "', $1, jsonb_build_object('email', $1::text, 'plan', 'basic',"
             " 'locale', 'en-GB', 'source', 'benchmark', 'note', repeat('.', 100)))"},
    {"commit", "commit"},
};
#define STEPS (sizeof steps / sizeof steps[0])

static void
must(PGconn *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        test_fail("a sign-up: %s", PQerrorMessage(connection));
    PQclear(result);
}

static void *
sign_up(void *context)
{
    struct client *client = context;
    char email[80];
    const char *values[] = {email};
    PGconn *app = postgres_connect(outbox_conninfo(client->outbox, POSTGRES_WRITER));
    for (size_t i = 0; i < STEPS; i++)
        must(app, PQprepare(app, steps[i].name, steps[i].sql, 0, NULL));
    for (; clock_monotonic_us() < client->end_us; client->done++) {
        snprintf(email, sizeof email, "%" PRId64 ".%d.%" PRId64 "@example.com", client->run, client->number,
                 client->done);
        for (size_t i = 0; i < STEPS; i++)
            must(app, PQexecPrepared(app, steps[i].name, strchr(steps[i].sql, '$') != NULL, values, NULL,
                                     NULL, 0));
    }
    PQfinish(app);
    return NULL;
}

double
business_rate(struct outbox *outbox, double seconds)
{
    struct client clients[CLIENTS];
    int64_t start_us = clock_monotonic_us(), done = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){
            .outbox = outbox, .end_us = start_us + (int64_t)(seconds * 1e6), .run = start_us, .number = i};
        CHECK(pthread_create(&clients[i].thread, NULL, sign_up, &clients[i]) == 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        done += clients[i].done;
    }
    return (double)done / ((double)(clock_monotonic_us() - start_us) / 1e6);
}
