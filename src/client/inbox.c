/* inbox.c: the inbox of a consumer: which events it has accepted, in the transaction of its own work. The table and its
 * functions are the schema's. Called by applications that consume. */
#include "client/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool
outbox_inbox_accept(struct outbox_unit *unit, const char *source, int64_t id, bool *first,
                    struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (unit == NULL || source == NULL || first == NULL)
        return failure_missing(error, unit == NULL ? "unit" : source == NULL ? "source" : "first");
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, id);
    const char *values[] = {source, number, unit->options.consumer};
    PGresult *result;
    if (!outbox_query(unit,
                      "select outbox.inbox_accept($1::pg_catalog.text, $2::bigint, "
                      "coalesce($3::pg_catalog.text, current_user))",
                      3, values, &result, error))
        return false;
    *first = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    PQclear(result);
    return true;
}

bool
outbox_inbox_prune(struct outbox_unit *unit, int64_t age_s, int limit, int64_t *count,
                   struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (unit == NULL)
        return failure_missing(error, "unit");
    if (age_s < 0 || limit < 0)
        return failure_set(error, OUTBOX_ERROR_USAGE, "age_s and limit cannot be negative");
    char age[32], most[16];
    snprintf(age, sizeof age, "%" PRId64 " s", age_s);
    snprintf(most, sizeof most, "%d", limit > 0 ? limit : 10000);
    const char *values[] = {age, most, unit->options.consumer};
    PGresult *result;
    if (!outbox_query(unit,
                      "select outbox.inbox_prune($1::interval, $2::integer, coalesce($3::pg_catalog.text, "
                      "current_user))",
                      3, values, &result, error))
        return false;
    if (count != NULL)
        *count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return true;
}
