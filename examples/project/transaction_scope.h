/* transaction_scope.h: how this program runs a transaction, said in one place: begin, body, commit when the body returned true;
 * rollback when it returned false, when a statement had failed, or when COMMIT fails. */
#ifndef EXAMPLE_TRANSACTION_SCOPE_H
#define EXAMPLE_TRANSACTION_SCOPE_H

#include <outbox.h>

/* Runs `body` in a transaction on `db`. Inside another scope of that connection it joins it: the outermost scope commits or
 * rolls back everything. A body that met a deadlock or a serialization failure runs again from its start, the outermost one
 * with all that it calls, so it sets what it leaves in `context` anew each time. Blocks, for ten seconds at most. */
OUTBOX_MUST_CHECK bool transaction_scope(PGconn *db, outbox_work *body, void *context,
                                         struct outbox_error *error);

/* How long a scope may take instead of ten seconds, in all its tries; said before the first one. */
void transaction_scope_limit(int timeout_ms);

/* How many times a scope of this process has run again: a number for the program's metrics. */
long transaction_scope_retries(void);

#endif
