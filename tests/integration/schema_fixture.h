/* schema_fixture.h: a database with the outbox in it, made by the code under test in this process, and a connection for each
 * of its roles. For tests of src/postgres/schema.h, src/postgres/inspect.h and schema/. */
#ifndef OUTBOXD_TESTS_INTEGRATION_SCHEMA_FIXTURE_H
#define OUTBOXD_TESTS_INTEGRATION_SCHEMA_FIXTURE_H

#include "postgres/schema.h"
#include "support/postgres.h"

struct outbox {
    struct postgres *server;
    const char *database;
    PGconn *admin, *writer, *relay;
};

/* In a new database of the suite's server, for the roles POSTGRES_WRITER and POSTGRES_RELAY. */
struct outbox outbox_open(void);
/* In a database that is there already. */
struct outbox outbox_open_in(struct postgres *server, const char *database);
/* Of a database as it is: nothing is migrated. */
struct outbox outbox_connect(struct postgres *server, const char *database);
void outbox_close(struct outbox *outbox);

/* What the fixture asks of migrate. */
struct schema_wish outbox_wish(void);

/* Migrates; a failure fails the test. */
void outbox_migrate(struct postgres *server, const char *database, const char *admin,
                    const struct schema_wish *wish);

/* Migrates in vain: the error's message (valid until the next call); fails the test when it succeeds. */
const char *outbox_migrate_refused(struct postgres *server, const char *database,
                                   const struct schema_wish *wish);

/* Everything about the schema that a catalog knows: columns, defaults, constraints, indexes, options, functions, owners,
 * privileges. The caller frees it. */
char *outbox_fingerprint(PGconn *admin);

/* A session on the same database, e.g. POSTGRES_STRANGER's. */
PGconn *outbox_session(const struct outbox *outbox, const char *user);

/* Registers relay "main", and appends the journal row that says: everything visible now is confirmed. */
void outbox_register(const struct outbox *outbox);
void outbox_confirm_all(const struct outbox *outbox, const char *relay);

/* What the role of the relay reads, in a suite whose database is the static `outbox`. */
#define EXPECT_TEXT(want, ...)                                                                               \
    do {                                                                                                     \
        char *got = postgres_text(outbox.relay, __VA_ARGS__);                                                \
        cr_expect_str_eq(got != NULL ? got : "(null)", want);                                                \
        free(got);                                                                                           \
    } while (0)

#endif
