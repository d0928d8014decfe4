/* notification_repository.h: persists what the people of an account are told when they look next. Like every repository it writes
 * inside the unit of work that it is given and never ends it; whether its failure matters is the use case's to say. */
#ifndef EXAMPLE_NOTIFICATION_REPOSITORY_H
#define EXAMPLE_NOTIFICATION_REPOSITORY_H

#include <outbox.h>

/* "Somebody new in your account." Fails at once, instead of waiting, when somebody holds the table. */
bool notification_insert(struct outbox_unit *unit, const char *account_id, const char *user_id,
                         struct outbox_error *error);

#endif
