/* commands_fixture.h: runs a command of the binary in this process, against a database of the suite's server, and keeps what
 * it printed. */
#ifndef OUTBOXD_TESTS_INTEGRATION_COMMANDS_FIXTURE_H
#define OUTBOXD_TESTS_INTEGRATION_COMMANDS_FIXTURE_H

#include "journal_driver.h"
#include "schema_fixture.h"

#include <jansson.h>

/* Writes a configuration that connects as `user`; the caller frees its name. `more` are further lines, or NULL. */
char *command_config(const struct outbox *outbox, const char *user, const char *more);

struct ran {
    int exit_code;
    char *out, *err;
};

/* A command with its arguments, NULL-terminated, the first being its name; free with ran_free. */
struct ran run_command(int (*command)(int argc, char **argv), const char *const *arguments);

/* `outboxd NAME --config FILE ARGUMENTS`. */
struct ran run_with(int (*command)(int argc, char **argv), const char *name, const char *config,
                    const char *const *arguments);
/* It must have ended with this exit code and printed `out` and `err` (NULL: whatever); frees it. */
void expect_ran(struct ran ran, int exit_code, const char *out, const char *err);

/* status or status --json with that configuration. */
struct ran run_status(const char *config, bool json);
void ran_free(struct ran *ran);

/* status --json, which must have succeeded; the caller drops the reference. */
json_t *status_object(const struct outbox *outbox);

/* The only relay of such an object (borrowed), and the slot of the newest event. */
json_t *status_relay_of(const json_t *object);
json_t *status_slot_of(const struct outbox *outbox, const json_t *object);

/* A member of such an object, which must be there and be of this type. */
int64_t status_integer(const json_t *object, const char *key);
const char *status_text(const json_t *object, const char *key);
double status_real(const json_t *object, const char *key);

/* Committed at once, unless the writer has begun a transaction. */
void emit_events(PGconn *writer, const char *topic, int64_t count);

/* Takes the lead as relay "main". */
struct driver *lead_outbox(const struct outbox *outbox);

/* Appends a row that says so, as a leader does while it reads a tick, or when it stops (`release`). */
void confirm_tick(struct driver *driver, int64_t seq, int64_t id, bool release);

#endif
