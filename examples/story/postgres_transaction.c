/* postgres_transaction.c: see postgres_transaction.h, postgres_store.h and domain/transaction.h: begin, commit, rollback are
 * liboutbox', and the order in which they may come is kept here. */
#include "postgres_transaction.h"

#include "postgres_store.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the store ---- */

struct store *
store_open(const char *conninfo)
{
    struct store *store = calloc(1, sizeof *store);
    if (store != NULL)
        store->db = PQconnectdb(conninfo);
    return store;
}

bool
store_ready(struct store *store, const char **why)
{
    if (PQstatus(store->db) != CONNECTION_OK)
        PQreset(store->db);
    *why = PQerrorMessage(store->db);
    return PQstatus(store->db) == CONNECTION_OK;
}

void
store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->transaction.open)
        transaction_abort(&store->transaction);
    PQfinish(store->db);
    free(store);
}

/* ---- the transaction ---- */

struct transaction *
transaction_use(struct store *store, struct transaction *given)
{
    if (given != NULL)
        return given;
    struct transaction *transaction = &store->transaction;
    if (transaction->open) {
        outbox_fail(&transaction->error, "a transaction is open in this store: pass on the one that you got");
        return transaction;
    }
    *transaction = (struct transaction){.open = true};
    transaction->unit = outbox_begin(store->db, NULL, &transaction->error);
    return transaction;
}

bool
transaction_failed(const struct transaction *transaction)
{
    return transaction->error.kind != OUTBOX_ERROR_NONE;
}

bool
transaction_query(struct transaction *transaction, const char *sql, int count, const char *const *values,
                  PGresult **result)
{
    return !transaction_failed(transaction) &&
           outbox_query(transaction->unit, sql, count, values, result, &transaction->error);
}

void
transaction_abort(struct transaction *transaction)
{
    if (transaction->unit != NULL)
        outbox_rollback(transaction->unit);
    transaction->unit = NULL;
    transaction->open = false;
}

bool
transaction_commit(struct transaction *transaction, struct transaction_report *report)
{
    const struct outbox_error *error = &transaction->error;
    bool committed = false;
    if (!transaction_failed(transaction)) {
        committed = outbox_commit(transaction->unit, &transaction->error);
        transaction->unit = NULL;
    }
    transaction_abort(transaction);
    *report = (struct transaction_report){.unknown = error->kind == OUTBOX_ERROR_UNKNOWN,
                                          .in_passing = strcmp(error->sqlstate, "40P01") == 0 ||
                                                        strcmp(error->sqlstate, "40001") == 0};
    snprintf(report->why, sizeof report->why, "%s", error->message);
    return committed;
}
