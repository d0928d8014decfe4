/* contract_repository.h: persists contracts with their items. Writes inside the unit of work that it is given and never ends it. */
#ifndef EXAMPLE_CONTRACT_CONTRACT_REPOSITORY_H
#define EXAMPLE_CONTRACT_CONTRACT_REPOSITORY_H

#include "contract.h"

#include <outbox.h>

/* The ETag of the stored contract, "" when there is none. */
bool contract_find_etag(struct outbox_unit *unit, const char *id, char etag[CONTRACT_ETAG_MAX + 1],
                        struct outbox_error *error);

/* Inserts the contract or brings it up to date, header and items as a set: what has vanished from it is deleted. *changed is false
 * when this version or a newer one is there already; then the items are left alone. Until the unit ends the row is locked. */
bool contract_store(struct outbox_unit *unit, const struct contract *contract, bool *changed,
                    struct outbox_error *error);

#endif
