/* delivery.c: see delivery.h. What cannot be undone is done last, and the address is read without a lock: a lock would make the user's
 * own change of it wait for the mail server, and a mail that is under way cannot be called back either way. */
#include "delivery.h"

#include "mail.h"
#include "refusal_repository.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outbox_options
delivery_options(const struct mailer *mailer)
{
    return (struct outbox_options){.isolation = OUTBOX_READ_COMMITTED,
                                   .attempts = 1,
                                   .timeout_ms = (mailer->timeout_s + POSTGRES_S) * 1000};
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

/* The log is told the number of an answer only: its words may hold the address. */
static bool
send_to(const struct mailer *mailer, struct delivery *delivery, const char *address,
        struct outbox_error *error)
{
    struct mail mail = {
        .from = mailer->from, .to = address, .source = delivery->source, .event_id = delivery->event_id};
    char answer[256], *text = mail_write(&mail);
    if (text == NULL)
        return outbox_fail(error, "no memory for a mail");
    enum smtp_result result = smtp_send(mailer->smtp, address, text, answer);
    free(text);
    snprintf(delivery->reason, sizeof delivery->reason, "%s%s",
             result == SMTP_DOUBTFUL ? "in doubt: handed over, and then: " : "", answer);
    switch (result) {
    case SMTP_SENT:
        delivery->result = DELIVERY_SENT;
        return true;
    case SMTP_REFUSED:
    case SMTP_DEFERRED:
        delivery->result = result == SMTP_REFUSED ? DELIVERY_REFUSED : DELIVERY_DEFERRED;
        return outbox_fail(error, "the mail server says %.3s", answer);
    case SMTP_DOUBTFUL:
        delivery->result = DELIVERY_DOUBTFUL;
        return outbox_fail(error, "the mail server has the mail and does not say so: %s", answer);
    case SMTP_UNREACHABLE:
        break;
    }
    bool spoken = *answer == '4' || *answer == '5';
    return outbox_fail(error, "no service from the mail server: %.*s", spoken ? 3 : INT_MAX, answer);
}

bool
delivery_execute(struct outbox_unit *unit, struct mailer *mailer, struct delivery *delivery,
                 struct outbox_error *error)
{
    char *address;
    bool done = true;
    delivery->result = DELIVERY_FAILED;
    if (!refusal_forget(unit, delivery->source, delivery->event_id, error) ||
        !user_find_address(unit, delivery->user_id, &address, error))
        return false;
    if (address == NULL) {
        delivery->result = DELIVERY_NOBODY;
    } else if (!mail_address_is_plain(address)) {
        delivery->result = DELIVERY_REFUSED;
        snprintf(delivery->reason, sizeof delivery->reason,
                 "the address is not of the plain kind that this mailer sends to");
        done = outbox_fail(error, "%s", delivery->reason);
    } else { /* the last step before COMMIT; the session is idle meanwhile, for as long as --timeout at the most */
        done =
            outbox_query(unit, "set local idle_in_transaction_session_timeout = 0", 0, NULL, NULL, error) &&
            send_to(mailer, delivery, address, error);
    }
    free(address);
    return done;
}

bool
delivery_is_verdict(enum delivery_result result)
{
    return result == DELIVERY_REFUSED || result == DELIVERY_DEFERRED || result == DELIVERY_DOUBTFUL;
}

bool
delivery_record(struct outbox_unit *unit, const struct mailer *mailer, const struct delivery *delivery,
                bool *given_up, struct outbox_error *error)
{
    struct refusal refusal = {.source = delivery->source,
                              .event_id = delivery->event_id,
                              .user_id = delivery->user_id,
                              .kind = delivery->result == DELIVERY_REFUSED    ? REFUSAL_FOR_GOOD
                                      : delivery->result == DELIVERY_DEFERRED ? REFUSAL_FOR_NOW
                                                                              : REFUSAL_IN_DOUBT,
                              .reason = delivery->reason};
    struct refusal_bounds bounds = {.patience_s = mailer->patience_s, .copies = mailer->copies};
    return refusal_count(unit, &refusal, &bounds, given_up, error);
}
