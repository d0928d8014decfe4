/* signup.c: one transaction writes the account, the user and the event that tells the rest of the world.
 * The use case owns the transaction. The repositories only persist; they never begin, commit or roll back. */
#include "signup.h"

#include "account_repository.h"
#include "notification_repository.h"
#include "password.h"
#include "user_repository.h"

#include <jansson.h>
#include <outbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct signup {
    const struct signup_request *request;
    const char *password_hash;
    struct signup_answer *answer;
};

/* Its key is the user's id: all events of one user keep their order. It says who signed up and carries no address: whoever
 * works on it later asks for the one that is right then. */
static bool
signed_up_emit(struct outbox_unit *unit, const struct signup_answer *answer, struct outbox_error *error)
{
    json_t *object = json_pack("{s:I, s:I}", "user_id", (json_int_t)strtoll(answer->user_id, NULL, 10),
                               "account_id", (json_int_t)strtoll(answer->account_id, NULL, 10));
    char *payload = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (payload == NULL)
        return outbox_fail(error, "no memory for an event");
    struct outbox_event event = {
        .topic = "user.signed_up", .key = outbox_text(answer->user_id), .payload = outbox_text(payload)};
    bool done = outbox_emit(unit, &event, NULL, error);
    free(payload);
    return done;
}

static bool
account_notify(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct signup_answer *answer = context;
    return notification_insert(unit, answer->account_id, answer->user_id, error);
}

/* Account, user and event are critical: without one of them there is no sign-up. The notification is optional: what goes wrong with it
 * is undone, reported in the answer, and costs nobody the sign-up. */
bool
signup_within(struct outbox_unit *unit, const struct signup_request *request, const char *password_hash,
              struct signup_answer *answer, struct outbox_error *error)
{
    struct user user = {
        .account_id = answer->account_id, .email = request->email, .password_hash = password_hash};
    if (!account_insert(unit, request->account_name, answer->account_id, error) ||
        !user_insert(unit, &user, error))
        return false;
    memcpy(answer->user_id, user.id, sizeof answer->user_id);
    struct outbox_error why;
    bool notified = outbox_optional(unit, account_notify, answer, &why);
    snprintf(answer->not_notified, sizeof answer->not_notified, "%s", notified ? "" : why.message);
    return signed_up_emit(unit, answer, error);
}

static bool
sign_up(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct signup *signup = context;
    return signup_within(unit, signup->request, signup->password_hash, signup->answer, error);
}

enum signup_result
signup_execute(PGconn *db, const struct signup_request *request, struct signup_answer *answer)
{
    char hash[PASSWORD_HASH_SIZE];
    memset(answer, 0, sizeof *answer);
    /* before the transaction: nobody's row is locked while the processor works */
    if (!password_hash(request->password, request->hash_cost, hash)) {
        snprintf(answer->why, sizeof answer->why, "the password cannot be hashed");
        return SIGNUP_FAILED;
    }
    struct signup signup = {.request = request, .password_hash = hash, .answer = answer};
    struct outbox_error error;
    if (outbox_run(db, NULL, sign_up, &signup, &error))
        return SIGNUP_DONE;
    if (user_email_is_taken(&error))
        return SIGNUP_EMAIL_TAKEN;
    snprintf(answer->why, sizeof answer->why, "%s", error.message);
    return error.kind == OUTBOX_ERROR_UNKNOWN ? SIGNUP_UNKNOWN : SIGNUP_FAILED;
}
