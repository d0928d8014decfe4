/* postgres_transaction.h: what the repositories of this adapter share: the domain's transaction is a unit of work of liboutbox.
 * Nothing of it is seen by domain/. */
#ifndef EXAMPLE_STORY_POSTGRES_TRANSACTION_H
#define EXAMPLE_STORY_POSTGRES_TRANSACTION_H

#include "domain/transaction.h"

#include <outbox.h>

struct transaction {
    bool open;
    struct outbox_unit *unit;  /* NULL when it could not begin */
    struct outbox_error error; /* the first one; OUTBOX_ERROR_NONE: nothing failed */
};

struct store {
    PGconn *db;
    struct transaction transaction; /* a connection has one at a time */
};

/* The one that is given, or one that begins here. Never NULL: one that cannot begin has failed. */
struct transaction *transaction_use(struct store *store, struct transaction *given);

/* Runs a statement in it, as outbox_query; false, and the transaction has failed, when Postgres refuses it, or had failed
 * before. The caller clears the result. */
bool transaction_query(struct transaction *transaction, const char *sql, int count, const char *const *values,
                       PGresult **result);

#endif
