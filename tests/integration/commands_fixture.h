/* commands_fixture.h: runs a command of the binary in this process, against a database of the suite's server, and keeps what
 * it printed. */
#ifndef OUTBOXD_TESTS_INTEGRATION_COMMANDS_FIXTURE_H
#define OUTBOXD_TESTS_INTEGRATION_COMMANDS_FIXTURE_H

#include "postgres/status.h"
#include "schema_fixture.h"

#include <jansson.h>

/* Writes a configuration that connects as `user`; the caller frees its name. `more` are further lines, or NULL. */
char *command_config(const struct outbox *outbox, const char *user, const char *more);

struct ran {
    int exit_code;
    char *out, *err;
};

/* status or status --json with that configuration; free with ran_free. */
struct ran run_status(const char *config, bool json);
void ran_free(struct ran *ran);

/* status --json, which must have succeeded; the caller drops the reference. */
json_t *status_object(const struct outbox *outbox);

/* The only relay of such an object (borrowed), and the slot of the newest event. */
json_t *status_relay_of(const json_t *object);
json_t *status_slot_of(const struct outbox *outbox, const json_t *object);

#endif
