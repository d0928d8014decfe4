/* outcome.h: what can come of asking the API for one contract, in the words of the job's row. Errors of HTTP, of curl and of
 * JSON are translated where they happen; nobody above knows a status code. */
#ifndef EXAMPLE_CONTRACT_OUTCOME_H
#define EXAMPLE_CONTRACT_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

enum outcome {
    OUTCOME_STORED,       /* header, items and event are committed, all of them */
    OUTCOME_UNCHANGED,    /* the database has this version, or a newer one */
    OUTCOME_NOT_FOUND,    /* the API does not know it */
    OUTCOME_TIMEOUT,      /* no good answer in time: it hung, was out of order, or could not be reached */
    OUTCOME_BAD_DATA,     /* an answer that cannot be right; asking again would not help */
    OUTCOME_REFUSED,      /* Postgres does not take it; nothing is stored */
    OUTCOME_RATE_LIMITED, /* we ask too often; see retry_after_ms */
    OUTCOME_UNAUTHORIZED, /* the API does not let us in: no contract is at fault, and none could be had */
    OUTCOME_STOPPED,      /* this process was asked to end; nothing came of it, and no row says so */
};

struct result {
    enum outcome outcome;
    int64_t retry_after_ms; /* no request before that, for any contract; 0: the API minds none */
    char why[256]; /* with the place; "" when nothing is wrong; cut between two characters of UTF-8 */
};

/* "stored", "not_found": as contract_job.outcome has it. */
const char *outcome_name(enum outcome outcome);

/* Returns false, so that `return result_fail(..)` reads well. */
bool result_fail(struct result *result, enum outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
