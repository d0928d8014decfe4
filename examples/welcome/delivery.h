/* delivery.h: one mail to one user, at the address that is right now, and the record of what became of it. The part that welcome.c and
 * resend.c share; knows nothing of Kafka or of the inbox. */
#ifndef EXAMPLE_WELCOME_DELIVERY_H
#define EXAMPLE_WELCOME_DELIVERY_H

#include "smtp.h"

#include <libpq-fe.h>
#include <outbox.h>
#include <stdint.h>

/* What Postgres may take in one unit beside the mail server: time that runs out between sending and committing sends the mail twice. */
enum { POSTGRES_S = 20 };

struct mailer {
    PGconn *db;
    struct smtp *smtp;
    const char *from;
    int timeout_s;  /* what smtp_send may take */
    int patience_s; /* how long a mail that is refused for now is tried again */
    int copies;     /* how often one is handed over in all to a server that does not say whether it took it */
};

enum delivery_result {
    DELIVERY_FAILED, /* the trouble is Postgres' or the mail server's own, and says nothing about this mail */
    DELIVERY_SENT,
    DELIVERY_NOBODY,   /* the user is no more */
    DELIVERY_REFUSED,  /* for good */
    DELIVERY_DEFERRED, /* refused for now */
    DELIVERY_DOUBTFUL, /* handed over, and no answer */
};

struct delivery {
    const char *source; /* of the event that it is for; with event_id it is in the Message-ID */
    int64_t event_id, user_id;
    enum delivery_result result;
    char reason[300]; /* of a refusal or a doubt, in the server's words, which may hold the address */
};

/* Options of a unit that sends; of one attempt, for a unit that is run again by itself would send again. */
struct outbox_options delivery_options(const struct mailer *mailer);

/* The last step of a unit: true, SENT or NOBODY, for COMMIT; false to undo it. The error's message is without anybody's address. */
bool delivery_execute(struct outbox_unit *unit, struct mailer *mailer, struct delivery *delivery,
                      struct outbox_error *error);

/* Whether `result` has to be recorded, by delivery_record in a unit of its own, for the one that tried is undone. *given_up: it is
 * not to be tried again by itself. */
bool delivery_is_verdict(enum delivery_result result);
bool delivery_record(struct outbox_unit *unit, const struct mailer *mailer, const struct delivery *delivery,
                     bool *given_up, struct outbox_error *error);

#endif
