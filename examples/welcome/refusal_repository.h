/* refusal_repository.h: persists what the mail server refused. Like every repository it writes inside the unit of work that it is
 * given and never ends it. */
#ifndef EXAMPLE_WELCOME_REFUSAL_REPOSITORY_H
#define EXAMPLE_WELCOME_REFUSAL_REPOSITORY_H

#include <outbox.h>

struct refusal {
    const char *source;
    int64_t event_id;
    int64_t user_id; /* 0: unknown */
    const char *reason;
};

/* Refused for good. */
bool refusal_insert(struct outbox_unit *unit, const struct refusal *refusal, struct outbox_error *error);

/* Refused for now. *given_up: for longer than `patience_s` already, so that this was the last time. */
bool refusal_count(struct outbox_unit *unit, const struct refusal *refusal, int patience_s, bool *given_up,
                   struct outbox_error *error);

/* It goes through at last: what was refused for now is forgotten. */
bool refusal_forget(struct outbox_unit *unit, const char *source, int64_t event_id,
                    struct outbox_error *error);

#endif
