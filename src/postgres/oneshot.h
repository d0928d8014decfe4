/* oneshot.h: a session for commands, which have nothing else to do and may wait: one question after the other, each with a
 * deadline, so that a server that hangs ends the command instead of keeping it. For src/command only; the relay never
 * waits. */
#ifndef OUTBOXD_POSTGRES_ONESHOT_H
#define OUTBOXD_POSTGRES_ONESHOT_H

#include "base/error.h"
#include "config/settings.h"
#include "postgres/inspect.h"
#include "postgres/session.h"

/* Connects; the session is IDLE and can only read: the server refuses every change. Waits as long as servers may be silent
 * (dial.h). On failure *session is NULL. ERROR_CONFIG: conninfo; ERROR_UNUSABLE, ERROR_RETRY: the server says why not. */
MUST_CHECK bool oneshot_open(struct session **session, const struct settings *settings, struct error *error);

/* Runs `sql` to its answer, which the caller frees with session_forget(). Waits up to ONESHOT_ANSWER_US. False: the
 * server's error, and the session goes on (IDLE); or it was lost, and is CLOSED: every further question fails at once. */
MUST_CHECK bool oneshot_ask(struct session *session, const char *sql, struct pg_result **result,
                            struct error *error);

/* Waits likewise for the answer to what was asked by a function of another header of this room, which reads it. */
MUST_CHECK bool oneshot_await(struct session *session, struct error *error);

/* A statement that an earlier question has prepared. */
struct oneshot_statement {
    const char *name;
    int count;
    const char *const *values; /* as text; NULL: SQL NULL */
    bool binary;               /* the format of the result */
};

/* Runs it likewise. */
MUST_CHECK bool oneshot_run(struct session *session, const struct oneshot_statement *statement,
                            struct pg_result **result, struct error *error);

/* From now on the session may change what its role may change. */
MUST_CHECK bool oneshot_allow_changes(struct session *session, struct error *error);

/* After a function of the schema has refused: a value that it does not take is the command line's fault (ERROR_USAGE), and nothing
 * that a server answers to a command is a broken invariant. */
void oneshot_blame(struct error *error);

/* Fills the facts of inspect.h, those of the outbox only where they can be read. They are to be freed in any case, and on
 * failure may be incomplete. */
MUST_CHECK bool oneshot_inspect(struct session *session, struct inspect_facts *facts, struct error *error);

/* What one question may cost the server; it cancels then. Longer than any of ours takes on 20 million events. */
#define ONESHOT_STATEMENT_MS 15000
/* When the server does not even cancel: it hangs, or the network does. */
#define ONESHOT_ANSWER_US (ONESHOT_STATEMENT_MS * INT64_C(1000) + 3 * INT64_C(1000000))

#endif
