/* refusal_repository.h: persists what the mail server refused, or took without saying so. Like every repository it writes inside the
 * unit of work that it is given and never ends it. */
#ifndef EXAMPLE_WELCOME_REFUSAL_REPOSITORY_H
#define EXAMPLE_WELCOME_REFUSAL_REPOSITORY_H

#include <outbox.h>

enum refusal_kind {
    REFUSAL_FOR_GOOD,
    REFUSAL_FOR_NOW,
    REFUSAL_IN_DOUBT, /* handed over, and no answer: the user may have it */
};

struct refusal {
    const char *source;
    int64_t event_id;
    int64_t user_id; /* 0: unknown */
    enum refusal_kind kind;
    const char *reason;
};

/* When a mail is given up that is not refused for good. */
struct refusal_bounds {
    int patience_s; /* after the first refusal */
    int copies;     /* so often in doubt */
};

/* One refusal more. *given_up: it was the last; and what is given up stays so. */
bool refusal_count(struct outbox_unit *unit, const struct refusal *refusal,
                   const struct refusal_bounds *bounds, bool *given_up, struct outbox_error *error);

/* It goes through at last: its refusals are forgotten. */
bool refusal_forget(struct outbox_unit *unit, const char *source, int64_t event_id,
                    struct outbox_error *error);

/* A mail that was given up, of a user who is known. */
struct refused_mail {
    char source[101];
    int64_t event_id, user_id;
};

/* The next one after *mail ("" and 0: the first) whose reason is LIKE `pattern`, locked to the end of the unit; those that another
 * session has locked are passed over. *found is false when there is none, and *mail is as it was. */
bool refusal_lock_next(struct outbox_unit *unit, const char *pattern, struct refused_mail *mail, bool *found,
                       struct outbox_error *error);

#endif
