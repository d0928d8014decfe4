/* welcome.c: what cannot be undone is done last. One unit of work for one mail:
 *
 *     begin -> accept in the inbox -> read the present address -> SEND -> commit -> (then only) the offset in Kafka
 *                                                                      ^
 *     killed before SEND: nothing happened, the event comes again. Killed at ^: the mail is out, and nobody remembers it; the event
 *     comes again, and the same mail with the same Message-ID is sent a second time. Committing first would lose it instead.
 *
 * When SEND does not go through, that unit is undone, and a second one records what the mail server said about this mail; the event is
 * accepted in it when the mail is given up. */
#include "welcome.h"

#include <jansson.h>
#include <stdio.h>

struct welcome {
    struct mailer *mailer;
    struct delivery delivery;
    bool known, given_up;
};

static int64_t
user_of(const struct welcome_event *event)
{
    json_t *object = json_loadb(event->payload != NULL ? event->payload : "", event->payload_size, 0, NULL);
    int64_t id = json_integer_value(json_object_get(object, "user_id"));
    json_decref(object);
    return id;
}

static bool
deliver(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct welcome *welcome = context;
    struct delivery *delivery = &welcome->delivery;
    bool first;
    if (!outbox_inbox_accept(unit, delivery->source, delivery->event_id, &first, error))
        return false;
    welcome->known = !first;
    if (welcome->known)
        return true;
    if (delivery->user_id > 0)
        return delivery_execute(unit, welcome->mailer, delivery, error);
    delivery->result = DELIVERY_REFUSED;
    snprintf(delivery->reason, sizeof delivery->reason, "the event has no user_id");
    return outbox_fail(error, "%s", delivery->reason);
}

/* Fails when another mailer was through with the event meanwhile: its result is the right one, and comes to light the next time. */
static bool
record(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct welcome *welcome = context;
    const struct delivery *delivery = &welcome->delivery;
    bool first;
    if (!delivery_record(unit, welcome->mailer, delivery, &welcome->given_up, error))
        return false;
    if (!welcome->given_up)
        return true;
    return outbox_inbox_accept(unit, delivery->source, delivery->event_id, &first, error) &&
           (first || outbox_fail(error, "another mailer was faster"));
}

enum welcome_result
welcome_execute(struct mailer *mailer, const struct welcome_event *event, struct welcome_answer *answer)
{
    struct outbox_options sending = delivery_options(mailer), recording = sending;
    struct welcome welcome = {
        .mailer = mailer,
        .delivery = {.source = event->source, .event_id = event->id, .user_id = user_of(event)}};
    struct outbox_error error;
    sending.consumer = recording.consumer = WELCOME_CONSUMER;
    recording.timeout_ms = POSTGRES_S * 1000;
    *answer = (struct welcome_answer){.user_id = welcome.delivery.user_id};
    if (PQstatus(mailer->db) != CONNECTION_OK)
        PQreset(mailer->db);
    if (outbox_run(mailer->db, &sending, deliver, &welcome, &error))
        return welcome.known                                ? WELCOME_KNOWN
               : welcome.delivery.result == DELIVERY_NOBODY ? WELCOME_NOBODY
                                                            : WELCOME_SENT;
    snprintf(answer->why, sizeof answer->why, "%s", error.message);
    if (!delivery_is_verdict(welcome.delivery.result) ||
        !outbox_run(mailer->db, &recording, record, &welcome, &error) || !welcome.given_up)
        return WELCOME_AGAIN;
    return welcome.delivery.result == DELIVERY_DOUBTFUL ? WELCOME_DOUBTFUL : WELCOME_REFUSED;
}
