/* postgres_server.h: what the files that start servers share: postgres.c, for one of the run's own kind, and postgres_copies.c,
 * for those that come from another one. */
#ifndef OUTBOXD_TESTS_SUPPORT_POSTGRES_SERVER_H
#define OUTBOXD_TESTS_SUPPORT_POSTGRES_SERVER_H

#include "support/postgres.h"

#include <stddef.h>
#include <sys/types.h>

#define START_MS 60000 /* recovery after a kill, on a busy machine */

struct postgres {
    pid_t pid; /* of the postmaster; 0: down, or not ours */
    int port;
    bool own;
    char *directory, *data, *log;
    char **kept; /* strings promised to live as long as this */
    size_t kept_count;
};

/* Text that is to live as long as the server. */
const char *postgres_keep(struct postgres *postgres, char *text);

/* A server of which nothing is there yet but its directory, which becomes its own. */
struct postgres *postgres_new(char *directory, int port, bool own);
char *postgres_new_directory(void); /* which the server's user owns */

/* Runs a program as the server's user, in `directory` or in /; the test fails when it does. */
void postgres_run_in(const char *directory, const char *const *argv, const char *log);
void postgres_run(const char *const *argv, const char *log);

void postgres_initdb(const char *data, const char *log);
void postgres_configure(const struct postgres *postgres, const char *settings);
void postgres_make_roles(struct postgres *postgres);

#endif
