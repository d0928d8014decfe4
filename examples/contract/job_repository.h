/* job_repository.h: persists the jobs: which contract is wanted, who is at it, what came of it. A job is claimed for a time, in a unit
 * of its own, and finished in the unit that stores the contract: nothing is locked while the API thinks. */
#ifndef EXAMPLE_CONTRACT_JOB_REPOSITORY_H
#define EXAMPLE_CONTRACT_JOB_REPOSITORY_H

#include "contract.h"

#include <outbox.h>

struct job {
    char contract_id[CONTRACT_ID_MAX + 1];
    char claim[24]; /* decimal; whoever claims the job after us gets a higher one */
    int failures;   /* of its own, in a row, up to now */
};

/* Claims the job that is due for the longest time, if any, for `lease_ms`; after that another worker may. None during a pause. */
bool job_claim(struct outbox_unit *unit, int64_t lease_ms, struct job *job, bool *found,
               struct outbox_error *error);

/* The claim ends with an outcome; the job is due again after `again_ms`, at the latest, or, below zero, when somebody wants it.
 * `failed`: it was the job's own failure, and counts; a success sets the count back, everything else leaves it. Fails when
 * another worker has claimed it since: then the whole unit must not be. */
bool job_finish(struct outbox_unit *unit, const struct job *job, const struct result *result, bool failed,
                int64_t again_ms, struct outbox_error *error);

/* No worker claims a job within the next `pause_ms`; a longer pause stays. */
bool job_pause_all(struct outbox_unit *unit, int64_t pause_ms, struct outbox_error *error);

/* The claim ends as if it had not been. Nothing happens when it was lost. */
bool job_release(struct outbox_unit *unit, const struct job *job, struct outbox_error *error);

#endif
