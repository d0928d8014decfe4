/* kafka_secure.h: a broker with doors that want TLS or a password, beside the plain one that the test itself uses. */
#ifndef OUTBOXD_TESTS_SUPPORT_KAFKA_SECURE_H
#define OUTBOXD_TESTS_SUPPORT_KAFKA_SECURE_H

#include "support/kafka.h"

/* Who may enter where a password is wanted (SCRAM-SHA-256). */
#define BROKER_USER "relay"
#define BROKER_PASSWORD "first-password"

/* A listener, on 127.0.0.1. */
struct broker_door {
    const char *name;        /* of capitals */
    const char *protocol;    /* "SSL" or "SASL_SSL" */
    const char *certificate; /* of authority_issue() */
    const char *clients;     /* the certificate of who issues theirs, which is wanted; NULL: it is not */
    int port;                /* set by broker_start_secure() */
};

/* A broker of this test alone. `version` as in broker_options. */
struct broker *broker_start_secure(struct broker_door *doors, size_t count, const char *version);

/* Changes the password of BROKER_USER; open connections stay. Takes a JVM, two seconds. */
void broker_set_password(struct broker *broker, const char *password);

/* How often somebody has tried to enter with a wrong password, or without TLS where it is wanted. */
int broker_count_refused(const struct broker *broker);

#endif
