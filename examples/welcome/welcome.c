/* welcome.c: what cannot be undone is done last. One unit of work for one mail:
 *
 *     begin -> accept in the inbox -> read the present address -> SEND -> commit -> (then only) the offset in Kafka
 *                                                                      ^
 *     killed before SEND: nothing happened, the event comes again. Killed at ^: the mail is out, and nobody remembers it; the event
 *     comes again, and the same mail with the same Message-ID is sent a second time. Committing first would lose it instead.
 *
 * The address is read without a lock: a lock would make the user's own change of it wait for the mail server, and a mail that is
 * under way cannot be called back either way. */
#include "welcome.h"

#include "mail.h"
#include "refusal_repository.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <outbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What Postgres may take beside the mail server: time that runs out between sending and committing sends the mail twice. */
enum { POSTGRES_S = 30 };

struct welcome {
    struct mailer *mailer;
    const struct welcome_event *event;
    struct welcome_answer *answer;
    enum welcome_result result;
    bool deferred; /* refused for now, for a reason of this mail's own: `reason` */
    char reason[256];
};

static int64_t
user_of(const struct welcome_event *event)
{
    json_t *object = json_loadb(event->payload != NULL ? event->payload : "", event->payload_size, 0, NULL);
    int64_t id = json_integer_value(json_object_get(object, "user_id"));
    json_decref(object);
    return id;
}

/* The address that is right now, whatever it was when the event was made. *address is NULL when there is no such user any more; the
 * caller frees it. */
static bool
user_find_address(struct outbox_unit *unit, int64_t user_id, char **address, struct outbox_error *error)
{
    char id[24];
    const char *values[] = {id};
    PGresult *result;
    snprintf(id, sizeof id, "%" PRId64, user_id);
    if (!outbox_query(unit, "select email from app_user where id = $1", 1, values, &result, error))
        return false;
    bool found = PQntuples(result) == 1;
    *address = found ? strdup(PQgetvalue(result, 0, 0)) : NULL;
    PQclear(result);
    return !found || *address != NULL || outbox_fail(error, "no memory for an address");
}

static bool
refuse(struct outbox_unit *unit, struct welcome *welcome, const char *reason, struct outbox_error *error)
{
    struct refusal refusal = {.source = welcome->event->source,
                              .event_id = welcome->event->id,
                              .user_id = welcome->answer->user_id,
                              .reason = reason};
    welcome->result = WELCOME_REFUSED;
    return refusal_insert(unit, &refusal, error);
}

/* The log is told the number of an answer only: its words may hold the address. */
static bool
send_to(struct outbox_unit *unit, struct welcome *welcome, const char *address, struct outbox_error *error)
{
    const struct welcome_event *event = welcome->event;
    struct mail mail = {
        .from = welcome->mailer->from, .to = address, .source = event->source, .event_id = event->id};
    char *text = mail_write(&mail);
    if (text == NULL)
        return outbox_fail(error, "no memory for a mail");
    enum smtp_result result = smtp_send(welcome->mailer->smtp, address, text, welcome->reason);
    free(text);
    switch (result) {
    case SMTP_SENT:
        welcome->result = WELCOME_SENT;
        return true;
    case SMTP_REFUSED:
        snprintf(welcome->answer->why, sizeof welcome->answer->why, "the mail server says %.3s",
                 welcome->reason);
        return refuse(unit, welcome, welcome->reason, error);
    case SMTP_DEFERRED:
        welcome->deferred = true;
        return outbox_fail(error, "the mail server says %.3s", welcome->reason);
    case SMTP_UNREACHABLE:
        break;
    }
    bool spoken = *welcome->reason == '4' || *welcome->reason == '5';
    return outbox_fail(error, "no service from the mail server: %.*s", spoken ? 3 : INT_MAX, welcome->reason);
}

static bool
deliver(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct welcome *welcome = context;
    const struct welcome_event *event = welcome->event;
    bool first;
    if (!outbox_inbox_accept(unit, event->source, event->id, &first, error))
        return false;
    if (!first) {
        welcome->result = WELCOME_KNOWN;
        return true;
    }
    if (welcome->answer->user_id <= 0)
        return refuse(unit, welcome, "the event has no user_id", error);
    char *address;
    if (!refusal_forget(unit, event->source, event->id, error) ||
        !user_find_address(unit, welcome->answer->user_id, &address, error))
        return false;
    bool done = true;
    if (address == NULL)
        welcome->result = WELCOME_NOBODY;
    else if (!mail_address_is_plain(address))
        done = refuse(unit, welcome, "the address is not of the plain kind that this mailer sends to", error);
    else /* the last step before COMMIT; the session is idle meanwhile, for as long as --timeout at the most */
        done =
            outbox_query(unit, "set local idle_in_transaction_session_timeout = 0", 0, NULL, NULL, error) &&
            send_to(unit, welcome, address, error);
    free(address);
    return done;
}

/* In a unit of its own, for the one that tried is rolled back. An event that is given up is accepted with it. */
static bool
count_refusal(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct welcome *welcome = context;
    struct refusal refusal = {.source = welcome->event->source,
                              .event_id = welcome->event->id,
                              .user_id = welcome->answer->user_id,
                              .reason = welcome->reason};
    bool given_up, first;
    if (!refusal_count(unit, &refusal, welcome->mailer->patience_s, &given_up, error))
        return false;
    welcome->result = given_up ? WELCOME_REFUSED : WELCOME_AGAIN;
    return !given_up || outbox_inbox_accept(unit, refusal.source, refusal.event_id, &first, error);
}

enum welcome_result
welcome_execute(struct mailer *mailer, const struct welcome_event *event, struct welcome_answer *answer)
{
    /* one attempt: a unit that is run again by itself would send again */
    struct outbox_options options = {.isolation = OUTBOX_READ_COMMITTED,
                                     .attempts = 1,
                                     .timeout_ms = (mailer->timeout_s + POSTGRES_S) * 1000,
                                     .consumer = WELCOME_CONSUMER};
    struct welcome welcome = {.mailer = mailer, .event = event, .answer = answer};
    struct outbox_error error;
    *answer = (struct welcome_answer){.user_id = user_of(event)};
    if (PQstatus(mailer->db) != CONNECTION_OK)
        PQreset(mailer->db);
    if (outbox_run(mailer->db, &options, deliver, &welcome, &error))
        return welcome.result;
    snprintf(answer->why, sizeof answer->why, "%s", error.message);
    if (welcome.deferred && outbox_run(mailer->db, &options, count_refusal, &welcome, &error))
        return welcome.result;
    return WELCOME_AGAIN;
}
