/* worker.c: see worker.h. */
#include "worker.h"

#include "stop.h"

#include <stdio.h>

enum {
    LOOK_MS = 500, /* how often an empty table is looked at: one look at an index */
    AWAY_MS = 1000,
};

void
worker_print(const char *id, const struct result *result)
{
    printf("%s %s%s%s\n", id, outcome_name(result->outcome), *result->why != '\0' ? ": " : "", result->why);
    fflush(stdout);
}

/* Connected again, or not yet. Says it once when Postgres goes and once when it is back. */
static bool
stay_connected(PGconn *db, bool *away)
{
    if (PQstatus(db) != CONNECTION_OK)
        PQreset(db);
    bool connected = PQstatus(db) == CONNECTION_OK;
    if (!connected && !*away)
        fprintf(stderr, "contract: Postgres is away, trying again: %s", PQerrorMessage(db));
    if (connected && *away)
        fputs("contract: Postgres is back\n", stderr);
    *away = !connected;
    return connected;
}

/* True when there may be more to do at once. */
static bool
work_on_one(PGconn *db, struct api *api, const struct sync_options *options)
{
    struct job job;
    struct result result;
    struct outbox_error error;
    bool found;
    bool done = sync_next(db, api, options, &job, &found, &result, &error);
    if (!done)
        fprintf(stderr, "contract: %s%s%s\n", job.contract_id, found ? ": " : "", error.message);
    else if (found)
        worker_print(job.contract_id, &result);
    return done && found;
}

void
worker_run(PGconn *db, struct api *api, const struct sync_options *options)
{
    bool away = false;
    int64_t wait_ms = 0;
    while (!stop_within(wait_ms)) {
        /* no claim that would only wait; contract_pause says it to the other workers */
        wait_ms = api_closed_ms(api);
        if (wait_ms == 0 && !stay_connected(db, &away))
            wait_ms = AWAY_MS;
        else if (wait_ms == 0 && !work_on_one(db, api, options))
            wait_ms = LOOK_MS;
    }
}
