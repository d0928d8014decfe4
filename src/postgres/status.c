/* status.c: asks what status.h lists and decodes the answers. Called by the commands status and check; judges nothing
 * (command/report.c does). */
#include "postgres/status.h"

#include "postgres/cells.h"
#include "postgres/oneshot.h"
#include "postgres/status_statements.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

static char *
member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return must_strdup(text != NULL ? text : "");
}

/* A trouble that cannot be read is still one: its fields stay empty. Requests that wait (requests.c) are none. */
static void
read_trouble(const PGresult *result, int row, struct status_trouble *trouble)
{
    trouble->active = !PQgetisnull(result, row, 3);
    if (!trouble->active)
        return;
    json_t *object = json_loads(PQgetvalue(result, row, 3), 0, NULL);
    trouble->active = json_object_get(object, "waits") == NULL || json_object_get(object, "error") != NULL;
    trouble->event_id = json_integer_value(json_object_get(object, "event_id"));
    trouble->topic = member(object, "topic");
    trouble->error = member(object, "error");
    trouble->message = member(object, "message");
    trouble->age_us = cell_number(result, row, 4);
    json_decref(object);
}

static void
read_relay(const PGresult *result, int row, struct status_relay *relay)
{
    relay->name = cell_text(result, row, 0);
    relay->source = cell_text(result, row, 1);
    relay->retention_us = cell_number(result, row, 2);
    read_trouble(result, row, &relay->trouble);
    relay->has_journal = !PQgetisnull(result, row, 5);
    relay->tick_seq = cell_number(result, row, 5);
    relay->epoch = cell_number(result, row, 6);
    relay->holder = cell_text(result, row, 7);
    relay->led = relay->epoch > 0;
    relay->released = cell_truth(result, row, 8);
    relay->heartbeat_age_us = cell_number(result, row, 9);
    relay->confirmed_seq = cell_number(result, row, 10);
    relay->confirmed_id = cell_number(result, row, 11);
    relay->elsewhere = relay->has_journal && cell_truth(result, row, 12);
    int64_t confirmed = cell_number(result, row, 13);
    relay->rate_us = cell_number(result, row, 14);
    /* by ids: a late transaction's are lower than those before it */
    bool has_rate = !PQgetisnull(result, row, 13) && relay->rate_us > 0;
    relay->rate = !has_rate ? -1 : confirmed < 0 ? 0 : (double)confirmed * 1e6 / (double)relay->rate_us;
    relay->unconfirmed_ids = cell_number(result, row, 15);
}

static void
take_lag(const PGresult *result, int64_t unconfirmed_ids, struct status_lag *lag)
{
    int64_t counted = cell_number(result, 0, 0);
    lag->known = cell_number(result, 0, 3) == 1; /* the row that says what is confirmed is there */
    lag->exact = counted <= STATUS_LAG_COUNTED;
    lag->events = counted;
    lag->bytes = cell_number(result, 0, 1);
    lag->age_us = cell_number(result, 0, 2);
    if (!lag->exact && unconfirmed_ids > counted) {
        lag->events = unconfirmed_ids;
        lag->bytes = (int64_t)((double)lag->bytes / (double)counted * (double)unconfirmed_ids);
    }
}

/* True when the server ended the statement, for taking too long or for waiting for a lock, and goes on. */
static bool
was_cancelled(const struct session *session, const struct error *error)
{
    bool ended = strcmp(error->sqlstate, "57014") == 0 || strcmp(error->sqlstate, "55P03") == 0;
    return ended && session_state(session) == SESSION_IDLE;
}

static bool
read_lag(struct session *session, struct status_relay *relay, struct error *error)
{
    PGresult *result;
    char *name = PQescapeLiteral(session_connection(session), relay->name, strlen(relay->name));
    CHECK(name != NULL); /* it came from this database */
    char *sql = must_format(sql_lag, name, STATUS_LAG_COUNTED + 1);
    bool good = oneshot_ask(session, sql, &result, error);
    if (good)
        take_lag(result, relay->unconfirmed_ids, &relay->lag);
    PQclear(result);
    PQfreemem(name);
    free(sql);
    return good || was_cancelled(session, error);
}

bool
status_read_relays(struct session *session, struct status *status, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, sql_relays, &result, error))
        return error_prefix(error, "cannot read the relays");
    size_t count = (size_t)PQntuples(result);
    status->relays = must_calloc(count, sizeof *status->relays);
    for (status->relay_count = 0; status->relay_count < count; status->relay_count++)
        read_relay(result, (int)status->relay_count, &status->relays[status->relay_count]);
    PQclear(result);
    for (size_t i = 0; i < count; i++)
        if (status->relays[i].has_journal && !status->relays[i].elsewhere &&
            !read_lag(session, &status->relays[i], error))
            return error_prefix(error, "cannot count what relay \"%s\" has to publish",
                                status->relays[i].name);
    return true;
}

/* ---- what was passed over ---- */

static struct status_relay *
find_relay(struct status *status, const char *name)
{
    for (size_t i = 0; i < status->relay_count; i++)
        if (strcmp(status->relays[i].name, name) == 0)
            return &status->relays[i];
    return NULL;
}

static void
take_aside(const PGresult *result, struct status *status)
{
    for (int row = 0; row < PQntuples(result); row++) {
        struct status_relay *relay = find_relay(status, PQgetvalue(result, row, 0));
        if (relay == NULL)
            continue; /* registered just now */
        relay->aside = (struct status_aside){.known = true,
                                             .paused = cell_truth(result, row, 1),
                                             .dead_letters = cell_number(result, row, 2),
                                             .held_events = cell_number(result, row, 3),
                                             .dead_us = cell_number(result, row, 4),
                                             .open_requests = cell_number(result, row, 5)};
    }
}

static bool
read_open_requests(struct session *session, struct status *status, struct error *error)
{
    if (!requests_prepare(session, error))
        return false;
    for (size_t i = 0; i < status->relay_count; i++) {
        struct status_relay *relay = &status->relays[i];
        if (relay->aside.open_requests > 0 &&
            !requests_read_open(session, relay->name, &relay->aside.requests, error))
            return false;
    }
    return true;
}

bool
status_read_aside(struct session *session, struct status *status, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, sql_aside, &result, error))
        return was_cancelled(session, error) || error_prefix(error, "cannot count the dead letters");
    take_aside(result, status);
    PQclear(result);
    if (!pauses_read(session, &status->pauses, error) || !read_open_requests(session, status, error))
        return false;
    for (size_t i = 0; i < status->pauses.count; i++) {
        struct status_relay *relay = find_relay(status, status->pauses.list[i].relay);
        if (relay != NULL)
            relay->aside.paused_topics++;
    }
    return true;
}

bool
status_read_processes(struct session *session, struct status *status, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, sql_processes, &result, error))
        return error_prefix(error, "cannot look for the relays' processes");
    size_t count = (size_t)PQntuples(result);
    status->processes = must_calloc(count, sizeof *status->processes);
    for (status->process_count = 0; status->process_count < count; status->process_count++) {
        int row = (int)status->process_count;
        status->processes[row] = (struct status_process){.relay = cell_text(result, row, 0),
                                                         .pid = (int)cell_number(result, row, 1),
                                                         .holder = cell_text(result, row, 2),
                                                         .client = cell_text_or_null(result, row, 3),
                                                         .connected_us = cell_number(result, row, 4)};
    }
    PQclear(result);
    return true;
}

bool
status_read_slots(struct session *session, struct status *status, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, sql_slots, &result, error))
        return was_cancelled(session, error) || error_prefix(error, "cannot look at the slots");
    status->slots_known = true;
    size_t count = (size_t)PQntuples(result);
    status->slots = must_calloc(count, sizeof *status->slots);
    for (status->slot_count = 0; status->slot_count < count; status->slot_count++) {
        int row = (int)status->slot_count;
        status->slots[row] = (struct status_slot){.name = cell_text(result, row, 0),
                                                  .state = cell_text(result, row, 1),
                                                  .events = cell_number(result, row, 2),
                                                  .bytes = cell_number(result, row, 3),
                                                  .newest_age_us = cell_number(result, row, 4)};
    }
    PQclear(result);
    return true;
}

bool
status_read_oldest(struct session *session, struct status *status, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, sql_oldest, &result, error))
        return error_prefix(error, "cannot look for open transactions");
    if (PQntuples(result) == 1)
        status->oldest = (struct status_transaction){.any = true,
                                                     .pid = (int)cell_number(result, 0, 0),
                                                     .gid = cell_text_or_null(result, 0, 1),
                                                     .user = cell_text(result, 0, 2),
                                                     .application = cell_text(result, 0, 3),
                                                     .age_us = cell_number(result, 0, 4),
                                                     .age_xids = cell_number(result, 0, 5),
                                                     .wrote_events = cell_truth(result, 0, 6)};
    PQclear(result);
    return true;
}

static void
free_relay(struct status_relay *relay)
{
    free(relay->name);
    free(relay->source);
    free(relay->holder);
    free(relay->trouble.topic);
    free(relay->trouble.error);
    free(relay->trouble.message);
    requests_free(&relay->aside.requests);
}

void
status_free(struct status *status)
{
    for (size_t i = 0; i < status->relay_count; i++)
        free_relay(&status->relays[i]);
    for (size_t i = 0; i < status->process_count; i++) {
        free(status->processes[i].relay);
        free(status->processes[i].holder);
        free(status->processes[i].client);
    }
    for (size_t i = 0; i < status->slot_count; i++) {
        free(status->slots[i].name);
        free(status->slots[i].state);
    }
    pauses_free(&status->pauses);
    free(status->relays);
    free(status->processes);
    free(status->slots);
    free(status->oldest.gid);
    free(status->oldest.user);
    free(status->oldest.application);
    *status = (struct status){0};
}
