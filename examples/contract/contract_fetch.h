/* contract_fetch.h: one contract from the API, header and all pages of items, of one and the same version. No transaction is open
 * while it runs: it takes no connection, so none can be. */
#ifndef EXAMPLE_CONTRACT_CONTRACT_FETCH_H
#define EXAMPLE_CONTRACT_CONTRACT_FETCH_H

#include "api_client.h"
#include "contract.h"

/* `known_etag` is that of the stored contract, "" for none. True: it is here, complete and valid. False: `result` says why there is
 * nothing to store, which may be OUTCOME_UNCHANGED. Clear the contract in any case. */
bool contract_fetch(struct api *api, const char *id, const char *known_etag, int64_t deadline_ms,
                    struct contract *contract, struct result *result);

#endif
