/* account_repository.c: see account_repository.h. */
#include "account_repository.h"

#include <stdio.h>

bool
account_insert(struct outbox_unit *unit, const char *name, char id[24], struct outbox_error *error)
{
    const char *values[] = {name};
    PGresult *result;
    if (!outbox_query(unit, "insert into account (name) values ($1) returning id", 1, values, &result, error))
        return false;
    snprintf(id, 24, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return true;
}
