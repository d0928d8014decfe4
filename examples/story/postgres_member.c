/* postgres_member.c: domain/member.h in Postgres. */
#include "domain/member.h"

#include "postgres_transaction.h"

#include <stdio.h>
#include <stdlib.h>

struct transaction *
member_insert(struct store *store, struct transaction *transaction, struct member *member)
{
    PGresult *result;
    transaction = transaction_use(store, transaction);
    if (transaction_query(transaction, "insert into member (name) values ($1) returning id", 1, &member->name,
                          &result)) {
        snprintf(member->id, sizeof member->id, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    return transaction;
}

/* Not read, add, write: two who had read the same number would write the same one. The update locks the member's row. */
struct transaction *
member_count_story(struct store *store, struct transaction *transaction, const char *member_id, long *count)
{
    PGresult *result;
    *count = 0;
    transaction = transaction_use(store, transaction);
    if (transaction_query(transaction,
                          "update member set stories_written_count = stories_written_count + 1"
                          " where id = $1 returning stories_written_count",
                          1, &member_id, &result)) {
        if (PQntuples(result) == 1)
            *count = strtol(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
    return transaction;
}
