/* contract_sync.c: see contract_sync.h. Owns the units of work; the repositories only persist. */
#include "contract_sync.h"

#include "contract_fetch.h"
#include "contract_repository.h"
#include "stop.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNIT_TIMEOUT_MS = 10000,
    LEASE_BEYOND_MS =
        UNIT_TIMEOUT_MS + 5000, /* beyond the deadline of the fetch: who lives does not lose its claim */
    FAILURES_MAX = 10,          /* with doubling pauses of a minute: an API that is away for a night */
    RETRY_MAX_MS = 4 * 3600 * 1000,
};

static const struct outbox_options unit_options = {.timeout_ms = UNIT_TIMEOUT_MS};

/* What goes from one step to the next. */
struct sync {
    const struct sync_options *options;
    struct job *job; /* NULL: it was not a job that brought us here */
    bool found;
    const char *id;
    char etag[CONTRACT_ETAG_MAX + 1];
    struct contract contract;
    bool fetched;
    bool blameless; /* what went wrong is not this contract's */
    struct result *result;
};

/* ---- the first unit ---- */

static bool
begin_contract(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct sync *sync = context;
    return contract_find_etag(unit, sync->id, sync->etag, error);
}

static bool
begin_job(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct sync *sync = context;
    if (!job_claim(unit, sync->options->deadline_ms + LEASE_BEYOND_MS, sync->job, &sync->found, error))
        return false;
    return !sync->found || contract_find_etag(unit, sync->job->contract_id, sync->etag, error);
}

/* ---- the last unit ---- */

/* Its key is the contract's id, and the row is locked by now: events of one contract come in the order of its versions. */
static bool
stored_emit(struct outbox_unit *unit, const struct contract *contract, struct outbox_error *error)
{
    json_t *object = json_pack("{s:s, s:I, s:I}", "contract_id", contract->id, "version",
                               (json_int_t)contract->version, "item_count", (json_int_t)contract->item_count);
    char *payload = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (payload == NULL)
        return outbox_fail(error, "no memory for an event");
    struct outbox_event event = {
        .topic = "contract.stored", .key = outbox_text(contract->id), .payload = outbox_text(payload)};
    bool done = outbox_emit(unit, &event, NULL, error);
    free(payload);
    return done;
}

static bool
is_failure(const struct sync *sync)
{
    enum outcome outcome = sync->result->outcome;
    return outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_BAD_DATA || outcome == OUTCOME_TIMEOUT ||
           (outcome == OUTCOME_REFUSED && !sync->blameless);
}

/* When the job is due again by itself; below zero: not. */
static int64_t
again_after_ms(const struct sync *sync)
{
    const struct result *result = sync->result;
    int failures = sync->job->failures + is_failure(sync);
    if (result->outcome == OUTCOME_STORED || result->outcome == OUTCOME_UNCHANGED)
        return sync->options->refresh_ms > 0 ? sync->options->refresh_ms : -1;
    if (result->outcome == OUTCOME_RATE_LIMITED)
        return result->retry_after_ms;
    if (result->outcome == OUTCOME_NOT_FOUND || result->outcome == OUTCOME_BAD_DATA ||
        (is_failure(sync) && failures >= FAILURES_MAX))
        return -1; /* a person has to look */
    int64_t wait = sync->options->retry_ms;
    for (int i = 1; i < failures && wait < RETRY_MAX_MS; i++)
        wait *= 2;
    wait = wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS;
    return wait > result->retry_after_ms ? wait : result->retry_after_ms;
}

static bool
end(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct sync *sync = context;
    if (sync->fetched) {
        bool changed = false;
        if (!contract_store(unit, &sync->contract, &changed, error) ||
            (changed && !stored_emit(unit, &sync->contract, error)))
            return false;
        sync->result->outcome = changed ? OUTCOME_STORED : OUTCOME_UNCHANGED;
    }
    if (sync->job == NULL)
        return true;
    if (sync->result->outcome == OUTCOME_STOPPED)
        return job_release(unit, sync->job, error);
    if (sync->result->retry_after_ms > 0 && !job_pause_all(unit, sync->result->retry_after_ms, error))
        return false;
    return job_finish(unit, sync->job, sync->result, is_failure(sync), again_after_ms(sync), error);
}

/* The classes of SQLSTATE that are about the rows: data, constraints, views, sizes, and what a trigger raises. */
static bool
is_about_rows(const char *sqlstate)
{
    static const char *const classes[] = {"22", "23", "44", "54", "P0"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    return false;
}

/* Postgres has refused a statement of the last unit, and would next time: the job says so, in a unit without the contract. True when
 * the contract is to blame; the server's own troubles, and ours with it, stay an error. */
static bool
end_refused(PGconn *db, struct sync *sync, const struct outbox_error *refusal)
{
    struct outbox_error ignored; /* then the claim ends by itself */
    sync->blameless = !is_about_rows(refusal->sqlstate);
    sync->fetched = false;
    result_fail(sync->result, OUTCOME_REFUSED, "%s: SQLSTATE %s: %s", sync->id, refusal->sqlstate,
                refusal->message);
    bool noted = sync->job == NULL || outbox_run(db, &unit_options, end, sync, &ignored);
    return noted && !sync->blameless;
}

/* ---- the use cases ---- */

static bool
fetch_and_end(PGconn *db, struct api *api, struct sync *sync, struct outbox_error *error)
{
    int64_t deadline_ms = stop_clock_ms() + sync->options->deadline_ms;
    sync->fetched = contract_fetch(api, sync->id, sync->etag, deadline_ms, &sync->contract, sync->result);
    bool needed = sync->fetched || sync->job != NULL;
    bool done = !needed || outbox_run(db, &unit_options, end, sync, error);
    if (!done && sync->fetched && error->kind == OUTBOX_ERROR_SQL)
        done = end_refused(db, sync, error);
    contract_clear(&sync->contract);
    return done;
}

bool
sync_contract(PGconn *db, struct api *api, const char *id, const struct sync_options *options,
              struct result *result, struct outbox_error *error)
{
    struct sync sync = {.options = options, .id = id, .result = result};
    memset(result, 0, sizeof *result);
    return outbox_run(db, &unit_options, begin_contract, &sync, error) &&
           fetch_and_end(db, api, &sync, error);
}

bool
sync_next(PGconn *db, struct api *api, const struct sync_options *options, struct job *job, bool *found,
          struct result *result, struct outbox_error *error)
{
    struct sync sync = {.options = options, .job = job, .id = job->contract_id, .result = result};
    memset(result, 0, sizeof *result);
    memset(job, 0, sizeof *job);
    bool begun = outbox_run(db, &unit_options, begin_job, &sync, error);
    *found = begun && sync.found;
    return begun && (!sync.found || fetch_and_end(db, api, &sync, error));
}
