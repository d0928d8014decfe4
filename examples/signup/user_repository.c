/* user_repository.c: see user_repository.h. */
#include "user_repository.h"

#include <stdio.h>
#include <string.h>

bool
user_insert(struct outbox_unit *unit, struct user *user, struct outbox_error *error)
{
    const char *values[] = {user->account_id, user->email, user->password_hash};
    PGresult *result;
    if (!outbox_query(
            unit, "insert into app_user (account_id, email, password_hash) values ($1, $2, $3) returning id",
            3, values, &result, error))
        return false;
    snprintf(user->id, sizeof user->id, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return true;
}

/* The index makes the rule, also between two who sign up at the same time; looking before inserting would not. */
bool
user_email_is_taken(const struct outbox_error *error)
{
    return strcmp(error->sqlstate, "23505") == 0 && strcmp(error->constraint, "app_user_email_key") == 0;
}
