/* transaction_scope.c: see transaction_scope.h. All of the work is outbox_run's; what is decided here is the policy. */
#include "transaction_scope.h"

#include <stdatomic.h>

/* More than the five of outbox_run: under serializable isolation, sixteen creators are in each other's way. */
#define ATTEMPTS 20

static int limit_ms = 10000;
static atomic_long retries;

static void
count_retry(void *context, int attempt, const struct outbox_error *error, int wait_ms)
{
    (void)context, (void)attempt, (void)error, (void)wait_ms;
    atomic_fetch_add(&retries, 1);
}

bool
transaction_scope(PGconn *db, outbox_work *body, void *context, struct outbox_error *error)
{
    /* the isolation is the session's: default_transaction_isolation of the role, or in the connection string */
    const struct outbox_options policy = {
        .attempts = ATTEMPTS, .timeout_ms = limit_ms, .retry_listener = count_retry};
    bool outermost = PQtransactionStatus(db) == PQTRANS_IDLE; /* the others live within its deadline */
    return outbox_run(db, outermost ? &policy : NULL, body, context, error);
}

void
transaction_scope_limit(int timeout_ms)
{
    limit_ms = timeout_ms;
}

long
transaction_scope_retries(void)
{
    return atomic_load(&retries);
}
