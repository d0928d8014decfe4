/* relay_scram.h: the scene of relay_sasl and relay_secrets: a relay that enters Kafka over TLS with a password from a file. */
#ifndef OUTBOXD_TESTS_E2E_RELAY_SCRAM_H
#define OUTBOXD_TESTS_E2E_RELAY_SCRAM_H

#include "relay_setup.h"
#include "support/kafka_secure.h"

struct scram {
    struct authority *authority;
    char *certificate, *password_file;
    struct broker_door door;
    struct setup setup;
    const char *topic;
};

/* On a broker of its own, of this version, which knows BROKER_USER and BROKER_PASSWORD. The password file is not written yet. */
struct scram scram_begin(struct postgres *postgres, const char *version);

/* A file that its owner alone may read. */
void scram_write_secret(const char *path, const char *secret);

/* Starts the relay, with up to three overrides more. */
void scram_start(struct scram *scram, const char *const more[3]);

void scram_end(struct scram *scram);

#endif
