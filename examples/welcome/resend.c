/* resend.c: see resend.h. One unit for one mail, as in welcome.c; the lock on the row takes the place of the inbox, so that two who
 * resend at once do not send the same mail. */
#include "resend.h"

#include <stdio.h>

struct attempt {
    struct resend *resend;
    struct delivery delivery;
    bool found;
};

static bool
send_next(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct attempt *attempt = context;
    struct resend *resend = attempt->resend;
    struct refused_mail *mail = &resend->mail;
    if (!refusal_lock_next(unit, resend->pattern, mail, &attempt->found, error))
        return false;
    attempt->delivery.source = mail->source;
    attempt->delivery.event_id = mail->event_id;
    attempt->delivery.user_id = mail->user_id;
    return !attempt->found || delivery_execute(unit, resend->mailer, &attempt->delivery, error);
}

static bool
record(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct attempt *attempt = context;
    bool given_up; /* and it stays so */
    return delivery_record(unit, attempt->resend->mailer, &attempt->delivery, &given_up, error);
}

enum resend_result
resend_next(struct resend *resend)
{
    struct outbox_options options = delivery_options(resend->mailer);
    struct attempt attempt = {.resend = resend};
    struct outbox_error error;
    *resend->why = '\0';
    if (outbox_run(resend->mailer->db, &options, send_next, &attempt, &error))
        return !attempt.found                               ? RESEND_END
               : attempt.delivery.result == DELIVERY_NOBODY ? RESEND_NOBODY
                                                            : RESEND_SENT;
    snprintf(resend->why, sizeof resend->why, "%s", error.message);
    if (!delivery_is_verdict(attempt.delivery.result) ||
        !outbox_run(resend->mailer->db, &options, record, &attempt, &error) ||
        attempt.delivery.result == DELIVERY_DOUBTFUL)
        return RESEND_STOPPED;
    return RESEND_REFUSED;
}
