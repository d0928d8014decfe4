/* postgres.h: a private, real Postgres for tests: initdb, its own directory, socket and port, durable (fsync
 * on), run by user postgres when the tests run as root. A test that stops or kills its server starts one of
 * its own; the others share the suite's and each makes its own database. */
#ifndef OUTBOXD_TESTS_SUPPORT_POSTGRES_H
#define OUTBOXD_TESTS_SUPPORT_POSTGRES_H

#include "base/error.h"

#include <libpq-fe.h>
#include <stdint.h>

struct postgres;

/* Roles of every test server, made when it starts; trust authentication. */
#define POSTGRES_ADMIN "postgres"    /* superuser */
#define POSTGRES_WRITER "app"        /* the application's login: migrate's --writer */
#define POSTGRES_RELAY "relay"       /* the daemon's login: migrate's --relay */
#define POSTGRES_STRANGER "stranger" /* a login without any right */

/* A server of this test alone, up and answering. `settings` are further lines of postgresql.conf, or NULL. */
struct postgres *postgres_start(const char *settings);

/* Lets everybody in who comes from these addresses ("10.77.0.0/16"); what it listens on is a setting. */
void postgres_trust(struct postgres *postgres, const char *addresses);

/* Restarts a server of the test's own with TLS and this certificate (authority_issue); `settings` as above. */
void postgres_serve_tls(struct postgres *postgres, const char *certificate, const char *settings);

/* From now on this role needs a password, on a server of the test's own. */
void postgres_want_password(struct postgres *postgres, const char *role, const char *password);

/* Restarts a server of the test's own, which holds nothing yet, with `left` transactions to come in this epoch before their numbers
 * start anew in the next one. Needs Postgres 14 or later. */
void postgres_near_wraparound(struct postgres *postgres, uint32_t epoch, uint32_t left);

/* Restarts a server of the test's own with transaction numbers that have jumped, as after pg_resetwal: so many epochs and numbers, more
 * than two million, are left out. */
void postgres_jump_numbers(struct postgres *postgres, uint32_t epochs, uint32_t numbers);
/* With numbers that were used up already, so many of them: rows that their transactions have written are hidden until they come again. */
void postgres_set_numbers_back(struct postgres *postgres, uint32_t numbers);

/* The suite's server (OUTBOXD_TEST_POSTGRES, see postgres_share); a server of its own when there is none.
 * Never stop or kill it: postgres_free() only lets go. */
struct postgres *postgres_shared(void);

/* For a suite's PRE_ALL hook: starts a server and sets OUTBOXD_TEST_POSTGRES for the tests to come; NULL when
 * the environment names one already. */
struct postgres *postgres_share(void);

/* Ends the server at once if it is this process's own, and removes its data. NULL is allowed. */
void postgres_free(struct postgres *postgres);

void postgres_stop_fast(struct postgres *postgres);      /* SIGINT: clean, sessions are thrown out */
void postgres_stop_immediate(struct postgres *postgres); /* SIGQUIT: recovery at the next start */
void postgres_kill(struct postgres *postgres); /* kill -9 of the postmaster; returns when all of it is gone */
void postgres_up(struct postgres *postgres); /* start again: same data, same port; returns when it answers */
void postgres_pause(struct postgres *postgres); /* SIGSTOP; when it returns, no process of it runs */
void postgres_continue(struct postgres *postgres);

int postgres_port(const struct postgres *postgres);
const char *postgres_directory(const struct postgres *postgres); /* data/, log and the socket are in it */
const char *postgres_log_path(const struct postgres *postgres);

/* A program of the server's version, such as pg_dump; the caller frees the path. */
char *postgres_program(const char *name);

/* Over TCP. The string lives as long as `postgres`. */
const char *postgres_conninfo(struct postgres *postgres, const char *database, const char *user);

/* A new empty database with a name of its own; the name lives as long as `postgres`. */
const char *postgres_create_database(struct postgres *postgres);

/* A new database with the product's schema, as `outboxd migrate --writer app --relay relay` makes it. */
const char *postgres_create_outbox(struct postgres *postgres);
/* The same with slots of this width. */
const char *postgres_create_ring(struct postgres *postgres, int64_t slot_width_us);

/* Migrates an existing database likewise. */
void postgres_migrate(struct postgres *postgres, const char *database);

/* A server that is no relation of the run's others: its system identifier is its own. */
struct postgres *postgres_start_other(const char *settings);
/* pg_upgrade of `from`, which is down then, to the same version: transaction numbers stay, the identifier changes. */
struct postgres *postgres_upgrade(struct postgres *from);

/* pg_dump of a database into a file, and pg_restore into a new database, whose name lives as long as `to`, with migrate
 * behind it, as operations.md says. */
void postgres_dump(struct postgres *from, const char *database, const char *path);
const char *postgres_restore(struct postgres *to, const char *path);

/* Connected, or the test fails with the server's message. The caller finishes it. */
PGconn *postgres_connect(const char *conninfo);
/* The same by parts. */
PGconn *postgres_open(struct postgres *postgres, const char *database, const char *user);

/* SQL for tests: printf's formats; a server's error fails the test and says which statement. */
void postgres_exec(PGconn *connection, const char *format, ...) PRINTF_LIKE(2, 3);
int64_t postgres_int(PGconn *connection, const char *format, ...)
    PRINTF_LIKE(2, 3); /* first column, first row */
char *postgres_text(PGconn *connection, const char *format, ...)
    PRINTF_LIKE(2, 3); /* the caller frees; NULL: null or no row */
/* For statements that must fail: the SQLSTATE, "00000" when it succeeded. The string is valid until the next
 * call. */
const char *postgres_sqlstate(PGconn *connection, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
