/* rebase_parts.h: what the files of a rebase share; for them only. */
#ifndef OUTBOXD_POSTGRES_REBASE_PARTS_H
#define OUTBOXD_POSTGRES_REBASE_PARTS_H

#include "postgres/rebase.h"

#include <libpq-fe.h>
#include <stdio.h>

struct rebase {
    PGconn *connection;
    char *conninfo;
    /* records on their way into the session (rebase_kafka.c) */
    char *lines;
    size_t lines_size;
    FILE *stream;
};

/* True when the statement did what it should; else *error says why not, and the result is freed. */
MUST_CHECK bool rebase_accept(struct rebase *rebase, PGresult *result, struct error *error);
MUST_CHECK bool rebase_ask(struct rebase *rebase, const char *sql, PGresult **result, struct error *error);
/* Parameters as text; NULL: SQL NULL. */
MUST_CHECK bool rebase_ask_with(struct rebase *rebase, const char *sql, int count, const char *const *values,
                                PGresult **result, struct error *error);
MUST_CHECK bool rebase_tell(struct rebase *rebase, const char *sql, struct error *error);

/* One transaction, tried until nobody is in its way. */
MUST_CHECK bool rebase_try(struct rebase *rebase, const char *sql, admin_listener *waits, void *context,
                           PGresult **result, struct error *error);

#endif
