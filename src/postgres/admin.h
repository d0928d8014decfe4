/* admin.h: a connection of an administrator, for the commands that change the schema or everything in it: migrate and rebase.
 * Blocks; never called from the relay. But for the listener, private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_ADMIN_H
#define OUTBOXD_POSTGRES_ADMIN_H

#include "base/backoff.h"
#include "base/error.h"
#include "postgres/blockers.h"

#include <stdint.h>

struct pg_conn;
struct pg_result;

/* One line about something that was done, or that is waited for. */
typedef void admin_listener(void *context, const char *line);

/* Connects as `application`; the caller finishes the connection. ERROR_USAGE: no conninfo; else the server says why not. */
MUST_CHECK bool admin_connect(struct pg_conn **connection, const char *conninfo, const char *application,
                              struct error *error);

/* Longer than a base backup's or a checkpoint's hiccup, short enough for a deployment script. */
#define ADMIN_PATIENCE_US 60000000

/* For a transaction that is tried until nobody is in its way. Writers may stand in the queue behind each try, so that it waits
 * for a lock for a tenth of the pause before it, at most. */
struct admin_patience {
    const char *conninfo;
    admin_listener *waits; /* what is waited for, at each try that failed; may be NULL */
    void *context;
    int64_t deadline_us, pause_us;
    int tries;
    struct backoff backoff;
    struct blockers blockers;
};

/* `conninfo` must outlive it. To be ended. */
struct admin_patience admin_patience_make(const char *conninfo, admin_listener *waits, void *context);
void admin_patience_end(struct admin_patience *patience);

/* How long the next try may wait for a lock. */
int admin_lock_timeout_ms(const struct admin_patience *patience);

/* PQexec, with an eye on who is in the way. */
struct pg_result *admin_exec(struct admin_patience *patience, struct pg_conn *connection, const char *sql);

/* After a try that failed with `error`: pauses and returns true when another one may succeed. False: it is final, or the
 * patience is at its end, which `error` then says. */
bool admin_try_again(struct admin_patience *patience, struct pg_conn *connection, struct error *error);

#endif
