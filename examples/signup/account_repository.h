/* account_repository.h: persists accounts. Writes inside the unit of work that it is given and never ends it, so that any use
 * case can combine it with others. */
#ifndef EXAMPLE_ACCOUNT_REPOSITORY_H
#define EXAMPLE_ACCOUNT_REPOSITORY_H

#include <outbox.h>

/* The new account's id, decimal. */
bool account_insert(struct outbox_unit *unit, const char *name, char id[24], struct outbox_error *error);

#endif
