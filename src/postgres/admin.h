/* admin.h: a connection of an administrator, for the commands that change the schema or everything in it: migrate and rebase.
 * Blocks; never called from the relay. Private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_ADMIN_H
#define OUTBOXD_POSTGRES_ADMIN_H

#include "base/backoff.h"
#include "base/error.h"

#include <stdint.h>

struct pg_conn;

/* Connects as `application`; the caller finishes the connection. ERROR_USAGE: no conninfo; else the server says why not. */
MUST_CHECK bool admin_connect(struct pg_conn **connection, const char *conninfo, const char *application,
                              struct error *error);

/* Longer than a base backup's or a checkpoint's hiccup, short enough for a deployment script. */
#define ADMIN_PATIENCE_US 60000000

/* For a transaction that is tried until nobody is in its way. */
struct admin_patience {
    int64_t deadline_us;
    struct backoff backoff;
};

struct admin_patience admin_patience_make(void);

/* After a try that failed with `error`: pauses and returns true when another one may succeed. False: it is final, or the
 * patience is at its end, which `error` then says. */
bool admin_try_again(struct admin_patience *patience, struct pg_conn *connection, struct error *error);

#endif
