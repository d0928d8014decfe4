/* resend.h: the use case "the mail server is well again": sends what stands in mail_refused as given up, one mail at a time, when the
 * operator asks for it. Called by main.c; needs no Kafka, and may run beside the mailer, whose inbox has those events already. */
#ifndef EXAMPLE_WELCOME_RESEND_H
#define EXAMPLE_WELCOME_RESEND_H

#include "delivery.h"
#include "refusal_repository.h"

struct resend {
    struct mailer *mailer;
    const char *pattern;      /* of reasons, as LIKE has it: "550%" */
    struct refused_mail mail; /* at hand; empty at the start */
    char why[600];            /* when it was not sent; without anybody's address */
};

enum resend_result {
    RESEND_SENT,
    RESEND_NOBODY,  /* the user is no more */
    RESEND_REFUSED, /* once more; it stays in mail_refused */
    RESEND_END,     /* there is none behind the last one */
    RESEND_STOPPED, /* Postgres or the mail server is not well: end here, and ask again later */
};

/* The next one; each is asked for once. Blocks as welcome_execute does. */
enum resend_result resend_next(struct resend *resend);

#endif
