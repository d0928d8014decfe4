/* failure.h: turns what libpq and the server say into a `struct error` whose kind says what to do. */
#ifndef OUTBOXD_POSTGRES_FAILURE_H
#define OUTBOXD_POSTGRES_FAILURE_H

#include "base/error.h"

struct pg_conn;
struct pg_result;

/* What an SQLSTATE means for the relay: ERROR_RETRY for everything that heals by itself (connections, shutdown, disk
 * full, lock time-outs, read-only after a switch of roles ..), ERROR_UNUSABLE for what a person must mend (privileges,
 * missing schema, authentication), ERROR_INTERNAL for what can only be our mistake. */
enum error_kind failure_kind(const char *sqlstate);

/* A failed statement: SQLSTATE, message, detail and hint. */
void failure_of_result(const struct pg_result *result, struct error *error);

/* True when this WARNING says that a commit stopped waiting for its synchronous standbys, on a cancel or a shutdown. Both
 * come from one function of the server (seen in the sources of 13 to 17), which it names in every language and at every
 * verbosity. A warning of a trigger or an extension says nothing about the commit; one without its origin counts, to be safe. */
bool failure_is_cancelled_wait(const struct pg_result *warning);

/* A lost connection, or one that was never made; `result` (may be NULL) is the last thing the server said. `what` opens the
 * message. */
void failure_of_connection(const struct pg_conn *connection, const struct pg_result *result, const char *what,
                           struct error *error);

/* What helps against such an error. */
const char *failure_cure(const struct error *error);

#endif
