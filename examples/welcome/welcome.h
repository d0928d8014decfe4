/* welcome.h: the use case "somebody signed up, so a mail is sent": one event of the topic user.signed_up, once. Called by main.c, for
 * one record after the other. */
#ifndef EXAMPLE_WELCOME_WELCOME_H
#define EXAMPLE_WELCOME_WELCOME_H

#include "delivery.h"

#include <stddef.h>
#include <stdint.h>

#define WELCOME_CONSUMER "mailer" /* whose inbox it is, whatever its logins are called */

/* As it came; the payload is {"user_id": number, ..}. */
struct welcome_event {
    const char *source;
    int64_t id;
    const char *payload;
    size_t payload_size;
};

enum welcome_result {
    WELCOME_SENT,
    WELCOME_KNOWN,    /* the event had been accepted before: nothing was sent */
    WELCOME_NOBODY,   /* the user is no more: nothing was sent */
    WELCOME_REFUSED,  /* nothing was sent, and mail_refused says why */
    WELCOME_DOUBTFUL, /* handed over as often as is allowed, and never answered for; mail_refused says so */
    WELCOME_AGAIN,    /* the event is not accepted, `why` says why: hand it in again, later */
};

struct welcome_answer {
    int64_t user_id; /* 0: the event does not say */
    char why[600];   /* for the log, without anybody's address; "" when there is nothing to say */
};

/* Every result but WELCOME_AGAIN is committed: the event need not come again. Blocks for as long as Postgres and the mail server take:
 * twice POSTGRES_S and once timeout_s at the most, and a new session first when the old one was lost. */
enum welcome_result welcome_execute(struct mailer *mailer, const struct welcome_event *event,
                                    struct welcome_answer *answer);

#endif
