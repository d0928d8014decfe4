/* transaction.h: what the domain knows of transactions: that there are some, that they commit or abort. What they are made of is
 * the adapter's affair (postgres_transaction.c). Whoever has a transaction controls it; nobody else ends it.
 *
 * A repository function takes a transaction, or NULL for "begin one", and returns the one that it used, never NULL; its caller
 * passes that on and ends it, once. When something fails, the transaction remembers: what follows in it does nothing, and its
 * commit reports. So a use case asks once, at the end. */
#ifndef EXAMPLE_STORY_TRANSACTION_H
#define EXAMPLE_STORY_TRANSACTION_H

#include <stdbool.h>

/* Where members and stories are kept; has at most one open transaction. */
struct store;

struct transaction;

struct transaction_report {
    bool unknown;    /* committed or not: the store fell silent. Look, before it is done again */
    bool in_passing; /* others were in the way (a deadlock): all of it again may succeed */
    char why[512];   /* for the log */
};

/* Whether something failed in it. */
bool transaction_failed(const struct transaction *transaction);

/* Both end it, so that the pointer is no longer valid. False: not committed, and the report says why; a transaction in which
 * something failed is aborted. `report` is set in either case. */
bool transaction_commit(struct transaction *transaction, struct transaction_report *report);
void transaction_abort(struct transaction *transaction);

#endif
