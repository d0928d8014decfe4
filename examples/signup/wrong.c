/* wrong.c: do not copy: repositories that commit. Each statement below is a transaction of its own, as it is wherever a
 * repository opens, uses and closes its own session; nothing can take back what the earlier ones have done. */
#include "wrong.h"

#include "password.h"

#include <stdio.h>
#include <string.h>

/* One value comes back, an id. False with the reason, and *taken when an address is. */
static bool
insert_and_commit(PGconn *db, const char *sql, int count, const char *const *values, char id[24],
                  struct signup_answer *answer, bool *taken)
{
    PGresult *result = PQexecParams(db, sql, count, NULL, values, NULL, NULL, 0);
    bool done = PQresultStatus(result) == PGRES_TUPLES_OK;
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    *taken = constraint != NULL && strcmp(constraint, "app_user_email_key") == 0;
    snprintf(done ? id : answer->why, done ? 24 : sizeof answer->why, "%s",
             done ? PQgetvalue(result, 0, 0) : PQerrorMessage(db));
    PQclear(result);
    return done;
}

enum signup_result
signup_execute_wrongly(PGconn *db, const struct signup_request *request, struct signup_answer *answer)
{
    char hash[PASSWORD_HASH_SIZE], event_id[24];
    bool taken = false;
    memset(answer, 0, sizeof *answer);
    if (!password_hash(request->password, request->hash_cost, hash))
        return SIGNUP_FAILED;
    const char *account[] = {request->account_name}, *user[] = {answer->account_id, request->email, hash},
               *event[] = {answer->user_id, answer->account_id};
    bool done =
        insert_and_commit(db, "insert into account (name) values ($1) returning id", 1, account,
                          answer->account_id, answer, &taken) &&
        insert_and_commit(
            db, "insert into app_user (account_id, email, password_hash) values ($1, $2, $3) returning id", 3,
            user, answer->user_id, answer, &taken) &&
        insert_and_commit(db,
                          "select outbox.emit('user.signed_up', $1, jsonb_build_object("
                          "'user_id', $1::bigint, 'account_id', $2::bigint))",
                          2, event, event_id, answer, &taken);
    return done ? SIGNUP_DONE : taken ? SIGNUP_EMAIL_TAKEN : SIGNUP_FAILED;
}
