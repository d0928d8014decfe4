/* user_repository.h: persists users. Like every repository it writes inside the unit of work that it is given and never
 * ends it. */
#ifndef EXAMPLE_USER_REPOSITORY_H
#define EXAMPLE_USER_REPOSITORY_H

#include <outbox.h>

struct user {
    const char *account_id, *email, *password_hash;
    char id[24]; /* set by user_insert, decimal */
};

bool user_insert(struct outbox_unit *unit, struct user *user, struct outbox_error *error);

/* Whether user_insert failed because somebody has this address already: the only thing that a use case has to know of the
 * table, said in the domain's words. */
bool user_email_is_taken(const struct outbox_error *error);

#endif
