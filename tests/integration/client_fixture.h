/* client_fixture.h: an outbox, an application's tables beside it, and a connection of the application: for the tests of
 * liboutbox. Work functions that several suites use. */
#ifndef OUTBOXD_TESTS_INTEGRATION_CLIENT_FIXTURE_H
#define OUTBOXD_TESTS_INTEGRATION_CLIENT_FIXTURE_H

#include "outbox.h"
#include "schema_fixture.h"

/* item (id bigint primary key, name text unique, n bigint); owner (id) referenced by item.owner, checked at COMMIT. */
struct client {
    struct outbox outbox;
    PGconn *app;
};

struct client client_open(void);
void client_close(struct client *client);

/* The application's tables and connection, in an outbox that is there already. */
void client_prepare(struct client *client);

/* What is committed, as another connection sees it. */
int64_t client_items(const struct client *client);

/* A connection that was cut may still be committing: waits until its server process (PQbackendPID before the cut) is gone. */
void client_await_cut(const struct client *client, int pid);

int64_t client_events(const struct client *client);

/* Inserts item `id` and emits an event with that key; the two that always stand or fall together. */
bool client_write(struct outbox_unit *unit, int64_t id, struct outbox_error *error);

/* client_write of the number to which the context points. */
bool client_write_one(struct outbox_unit *unit, void *id, struct outbox_error *error);

/* The application's own statement, without the library: PQexec, and the result's status. */
bool client_raw(struct outbox_unit *unit, const char *sql);

/* Runs a work that must be committed. */
void client_must_run(struct client *client, const struct outbox_options *options, outbox_work *work,
                     void *context);

/* Runs a work that must fail, and asserts that the connection can be used again. */
struct outbox_error client_must_fail(struct client *client, const struct outbox_options *options,
                                     outbox_work *work, void *context);

/* A deadline that a test waits for, ms; what precedes it is done by then on a busy machine, too. */
int client_deadline_ms(void);

/* The connection is good and outside of a transaction. */
void client_assert_idle(const struct client *client);

#endif
