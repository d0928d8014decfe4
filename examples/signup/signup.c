/* signup.c: one transaction writes the account, the user and the event that tells the rest of the world.
 * The use case (signup_execute) owns the transaction. The repositories below it read and write inside the
 * transaction that they are given; they never begin, commit or roll back, so that any use case can combine
 * them. */
#include "signup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What a repository says: like signup_result, but a repository cannot know about COMMIT. */
enum written { WRITTEN, WRITTEN_EMAIL_TAKEN, WRITTEN_FAILED };

/* ---- repositories ---- */

static bool
is_unique_violation(const PGresult *result, const char *index)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    return sqlstate && constraint && strcmp(sqlstate, "23505") == 0 && strcmp(constraint, index) == 0;
}

/* Only the first line of what the server says: its detail repeats the row, and people's data has no place in
 * a log. */
static void
explain(PGconn *db, const PGresult *result, struct signup_answer *answer)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(answer->why, sizeof answer->why, "%s", primary ? primary : PQerrorMessage(db));
}

/* Runs a statement that returns one value, an id, and copies it. */
static enum written
insert_returning(PGconn *tx, const char *sql, int count, const char *const *values, char id[24],
                 struct signup_answer *answer)
{
    PGresult *result = PQexecParams(tx, sql, count, NULL, values, NULL, NULL, 0);
    enum written written = WRITTEN;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        snprintf(id, 24, "%s", PQgetvalue(result, 0, 0));
    } else if (is_unique_violation(result, "app_user_email_key")) {
        written = WRITTEN_EMAIL_TAKEN;
    } else {
        explain(tx, result, answer);
        written = WRITTEN_FAILED;
    }
    PQclear(result);
    return written;
}

static enum written
account_insert(PGconn *tx, const char *name, struct signup_answer *answer)
{
    const char *values[] = {name};
    return insert_returning(tx, "insert into account (name) values ($1) returning id", 1, values,
                            answer->account_id, answer);
}

static enum written
user_insert(PGconn *tx, const char *account_id, const char *email, struct signup_answer *answer)
{
    const char *values[] = {account_id, email};
    return insert_returning(tx, "insert into app_user (account_id, email) values ($1, $2) returning id", 2,
                            values, answer->user_id, answer);
}

/* The event. Its key is the user's id: all events of one user keep their order. Postgres makes the JSON, so
 * every value is quoted as it must be. */
static enum written
signed_up_emit(PGconn *tx, const char *account_id, const char *user_id, const char *email,
               struct signup_answer *answer)
{
    const char *values[] = {user_id, account_id, email};
    return insert_returning(tx,
                            "select outbox.emit('user.signed_up', $1::text, jsonb_build_object("
                            "'user_id', $1::bigint, 'account_id', $2::bigint, 'email', $3::text))",
                            3, values, answer->event_id, answer);
}

/* ---- the use case ---- */

static bool
execute(PGconn *db, const char *command, const char *expected, struct signup_answer *answer)
{
    PGresult *result = PQexec(db, command);
    /* COMMIT of a transaction that has failed succeeds, and answers ROLLBACK: the tag is the truth. */
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), expected) == 0;
    if (!done)
        explain(db, result, answer);
    PQclear(result);
    return done;
}

static enum written
write_all(PGconn *tx, const struct signup_request *request, struct signup_answer *answer)
{
    enum written written = account_insert(tx, request->account_name, answer);
    if (written == WRITTEN)
        written = user_insert(tx, answer->account_id, request->email, answer);
    if (written == WRITTEN)
        written = signed_up_emit(tx, answer->account_id, answer->user_id, request->email, answer);
    return written;
}

enum signup_result
signup_execute(PGconn *db, const struct signup_request *request, struct signup_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    if (!execute(db, "begin", "BEGIN", answer))
        return SIGNUP_FAILED;

    enum written written = write_all(db, request, answer);
    if (written != WRITTEN) {
        struct signup_answer
            ignored; /* the first error is the one that explains; a bad connection rolls back too */
        (void)execute(db, "rollback", "ROLLBACK", &ignored);
        return written == WRITTEN_EMAIL_TAKEN ? SIGNUP_EMAIL_TAKEN : SIGNUP_FAILED;
    }
    if (execute(db, "commit", "COMMIT", answer))
        return SIGNUP_DONE;
    return PQstatus(db) == CONNECTION_OK ? SIGNUP_FAILED : SIGNUP_UNKNOWN;
}
