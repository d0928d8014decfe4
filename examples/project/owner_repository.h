/* owner_repository.h: what a new project changes of its owner. */
#ifndef EXAMPLE_OWNER_REPOSITORY_H
#define EXAMPLE_OWNER_REPOSITORY_H

#include <outbox.h>

/* One project fewer may be created; Postgres refuses to go below none. Locks the owner until the unit ends, so it comes late
 * in one. */
bool owner_spend_project(struct outbox_unit *unit, const char *owner_id, struct outbox_error *error);

#endif
