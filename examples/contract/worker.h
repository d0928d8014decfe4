/* worker.h: the loop that works on the jobs, one after the other, each a unit of its own. Several may run, in any number of
 * processes; the claims keep them apart. */
#ifndef EXAMPLE_CONTRACT_WORKER_H
#define EXAMPLE_CONTRACT_WORKER_H

#include "contract_sync.h"

/* Until SIGTERM or SIGINT. Prints a line for each contract; a Postgres or an API that is away is waited for. */
void worker_run(PGconn *db, struct api *api, const struct sync_options *options);

/* "C-1 stored", "C-2 bad_data: C-2: header.total: must be ..", on stdout, at once. */
void worker_print(const char *id, const struct result *result);

#endif
