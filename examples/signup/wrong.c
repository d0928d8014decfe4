/* wrong.c: do not copy: repositories that commit. Each _save below is a transaction of its own, as it is wherever a repository
 * opens, uses and closes its own session; nothing can take back what the earlier ones have done. */
#include "wrong.h"

#include "password.h"

#include <stdio.h>
#include <string.h>

struct wrong {
    PGconn *db;
    const struct signup_request *request;
    struct signup_answer *answer;
    bool taken; /* the address is somebody's already */
};

/* Runs one statement and commits it, for PQexecParams outside of a transaction does. It returns one value, an id. */
static bool
insert_and_commit(struct wrong *wrong, const char *sql, int count, const char *const *values, char id[24])
{
    PGresult *result = PQexecParams(wrong->db, sql, count, NULL, values, NULL, NULL, 0);
    bool done = PQresultStatus(result) == PGRES_TUPLES_OK;
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    wrong->taken = constraint != NULL && strcmp(constraint, "app_user_email_key") == 0;
    if (done)
        snprintf(id, 24, "%s", PQgetvalue(result, 0, 0));
    else
        snprintf(wrong->answer->why, sizeof wrong->answer->why, "%s", PQerrorMessage(wrong->db));
    PQclear(result);
    return done;
}

static bool
account_save(struct wrong *wrong)
{
    const char *values[] = {wrong->request->account_name};
    return insert_and_commit(wrong, "insert into account (name) values ($1) returning id", 1, values,
                             wrong->answer->account_id);
}

static bool
user_save(struct wrong *wrong, const char *hash)
{
    const char *values[] = {wrong->answer->account_id, wrong->request->email, hash};
    return insert_and_commit(
        wrong, "insert into app_user (account_id, email, password_hash) values ($1, $2, $3) returning id", 3,
        values, wrong->answer->user_id);
}

static bool
event_save(struct wrong *wrong)
{
    const char *values[] = {wrong->answer->user_id, wrong->answer->account_id};
    char id[24];
    return insert_and_commit(wrong,
                             "select outbox.emit('user.signed_up', $1::text, jsonb_build_object("
                             "'user_id', $1::bigint, 'account_id', $2::bigint))",
                             2, values, id);
}

enum signup_result
signup_execute_wrongly(PGconn *db, const struct signup_request *request, struct signup_answer *answer)
{
    char hash[PASSWORD_HASH_SIZE];
    struct wrong wrong = {.db = db, .request = request, .answer = answer};
    memset(answer, 0, sizeof *answer);
    if (!password_hash(request->password, request->hash_cost, hash))
        return SIGNUP_FAILED;
    if (account_save(&wrong) && user_save(&wrong, hash) && event_save(&wrong))
        return SIGNUP_DONE;
    return wrong.taken ? SIGNUP_EMAIL_TAKEN : SIGNUP_FAILED;
}
