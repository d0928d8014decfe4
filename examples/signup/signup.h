/* signup.h: the use case "somebody signs up". Called by whoever has a connection to Postgres: a web handler,
 * a command, here main.c. */
#ifndef EXAMPLE_SIGNUP_H
#define EXAMPLE_SIGNUP_H

#include <outbox.h>

struct signup_request {
    const char *account_name;
    const char *email;
    const char *password;
    int hash_cost; /* password.h */
};

enum signup_result {
    SIGNUP_DONE,        /* account, user and event are committed, all three */
    SIGNUP_EMAIL_TAKEN, /* a domain error: nothing was written, ask for another address */
    SIGNUP_FAILED,      /* Postgres said no: nothing was written; `why` says what */
    SIGNUP_UNKNOWN, /* the connection broke during COMMIT: ask outbox_was_committed, or look for the address */
};

struct signup_answer {
    char account_id[24], user_id[24]; /* decimal; valid after SIGNUP_DONE only */
    char not_notified[512];           /* why the account was not told of the sign-up; "" when it was */
    char why[512];                    /* for the log; set after SIGNUP_FAILED and SIGNUP_UNKNOWN */
};

/* Runs one unit of work on `db`, which is outside of one: the password is hashed before it begins. Blocks for as long as hashing
 * and Postgres take. Kafka has no part in it. */
enum signup_result signup_execute(PGconn *db, const struct signup_request *request,
                                  struct signup_answer *answer);

/* The same inside the unit of a larger use case, whose caller has hashed the password before it began (password.h). False: the
 * whole unit fails; user_email_is_taken (user_repository.h) says whether that is why. Sets the ids and `not_notified` only. */
OUTBOX_MUST_CHECK bool signup_within(struct outbox_unit *unit, const struct signup_request *request,
                                     const char *password_hash, struct signup_answer *answer,
                                     struct outbox_error *error);

#endif
