/* contract_sync.h: the use case "have a contract as it is at the other company". Three steps, of which the first and the last are
 * units of work, and the one in the middle has none:
 *
 *     unit: claim the job, read the ETag  -->  fetch and validate, seconds long  -->  unit: header, items, event, job */
#ifndef EXAMPLE_CONTRACT_CONTRACT_SYNC_H
#define EXAMPLE_CONTRACT_CONTRACT_SYNC_H

#include "api_client.h"
#include "job_repository.h"

#include <outbox.h>

struct sync_options {
    int deadline_ms;    /* for all requests of one contract together; a claim lasts somewhat longer */
    int64_t retry_ms;   /* after a failure: doubles with each further one of the same job */
    int64_t refresh_ms; /* after a success; 0: never again by itself */
};

/* Fetches and stores one contract, whether it has a job or not. False: Postgres could not, and nothing is stored, or, after
 * OUTBOX_ERROR_UNKNOWN, perhaps everything is; to run it again is right in any case. That it does not take this contract is an
 * outcome. Refuses to run inside a unit: that would stay open while the API thinks. */
bool sync_contract(PGconn *db, struct api *api, const char *id, const struct sync_options *options,
                   struct result *result, struct outbox_error *error);

/* The same for the next job that is due; its row says what came of it. *found is false when none is. After an error the job comes
 * again, at the latest when its claim ends. */
bool sync_next(PGconn *db, struct api *api, const struct sync_options *options, struct job *job, bool *found,
               struct result *result, struct outbox_error *error);

#endif
