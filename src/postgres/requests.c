/* requests.c: see requests.h. Called by the commands dead, replay and status. */
#include "postgres/requests.h"

#include "postgres/cells.h"
#include "postgres/moments.h"
#include "postgres/oneshot.h"
#include "postgres/waits.h"

#include <inttypes.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* SQL is laid out by its own clauses. */
/* clang-format off */

#define COLUMNS                                                                                              \
    " r.number, r.kind, r.event_id, r.first_id, r.last_id, " SQL_UTC("r.since") ", " SQL_UTC("r.until") ","  \
    " r.topic, r.key, r.rate, r.reason, r.asked_by, " SQL_UTC("r.asked_at") ", " SQL_AGE("r.asked_at") ","   \
    " r.progress, r.events, r.refused, " SQL_UTC("coalesce(r.done_at, c.asked_at)") ","                      \
    " coalesce(r.outcome, case when c.number is not null then 'cancelled' end),"                             \
    " case when r.done_at is null and c.number is null then " SQL_WAITS("r") " end, r.uncounted"
#define CANCELLED " left join outbox.cancelled c on c.relay = r.relay and c.number = r.number"

/* The last ones are found by walking back from the newest number: a hundred thousand requests at most. */
static const char prepare_sql[] =
    "prepare outboxd_requests_replays(text) as select" COLUMNS " from ("
    "  select * from outbox.request o where o.relay = $1 and o.done_at is null and o.kind = 'replay'"
    "  union"
    "  select * from (select * from (select * from outbox.request o where o.relay = $1"
    "     order by o.number desc limit 100000) o where o.kind = 'replay' limit 100) o"
    "  ) r" CANCELLED " order by r.number desc;"
    "prepare outboxd_requests_open(text) as select" COLUMNS " from outbox.request r" CANCELLED
    "  where r.relay = $1 and r.done_at is null and c.number is null order by r.number limit 100;"
    "prepare outboxd_requests_event(text, bigint) as select" COLUMNS " from outbox.request r" CANCELLED
    "  where r.relay = $1 and r.event_id = $2 order by r.number;"
    "prepare outboxd_requests_numbers(text, bigint[]) as select" COLUMNS " from unnest($2) n"
    "  join outbox.request r on r.relay = $1 and r.number = n" CANCELLED ";"
    "prepare outboxd_replay(text, bigint, bigint, timestamptz, timestamptz, text, bytea, integer) as"
    "  select outbox.replay($1, $2, $3, $4, $5, $6, $7, $8);"
    "prepare outboxd_cancel(text, bigint) as select outbox.request_cancel($1, $2)";

/* clang-format on */

bool
requests_prepare(struct session *session, struct error *error)
{
    PGresult *nothing;
    if (!oneshot_ask(session, prepare_sql, &nothing, error))
        return error_prefix(error, "cannot prepare to read what was asked for");
    PQclear(nothing);
    return true;
}

static char *
member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return must_strdup(text != NULL ? text : "");
}

void
requests_read_wait(const char *text, struct request_wait *wait)
{
    json_t *object = json_loads(text, 0, NULL);
    wait->event_id = json_integer_value(json_object_get(object, "event_id"));
    wait->topic = member(object, "topic");
    wait->error = member(object, "error");
    wait->message = member(object, "message");
    json_decref(object);
}

void
requests_free_wait(struct request_wait *wait)
{
    free(wait->topic);
    free(wait->error);
    free(wait->message);
    *wait = (struct request_wait){0};
}

static void
read_request(const PGresult *result, int row, struct request *request)
{
    request->number = cell_number(result, row, 0);
    request->kind = cell_text(result, row, 1);
    request->event_id = cell_number(result, row, 2);
    request->first_id = cell_number(result, row, 3);
    request->last_id = cell_number(result, row, 4);
    request->since = cell_text_or_null(result, row, 5);
    request->until = cell_text_or_null(result, row, 6);
    request->topic = cell_text_or_null(result, row, 7);
    request->key = cell_bytes(result, row, 8, &request->key_size);
    request->rate = cell_number(result, row, 9);
    request->reason = cell_text_or_null(result, row, 10);
    request->asked_by = cell_text(result, row, 11);
    request->asked_at = cell_text(result, row, 12);
    request->asked_us = cell_number(result, row, 13);
    request->progress = cell_number(result, row, 14);
    request->events = cell_number(result, row, 15);
    request->refused = cell_number(result, row, 16);
    request->done_at = cell_text_or_null(result, row, 17);
    request->outcome = cell_text_or_null(result, row, 18);
    if (!PQgetisnull(result, row, 19))
        requests_read_wait(PQgetvalue(result, row, 19), &request->wait);
    request->uncounted = cell_truth(result, row, 20);
}

static bool
read_all(struct session *session, const char *statement, const char *relay, const char *second,
         struct requests *requests, struct error *error)
{
    const char *values[] = {relay, second};
    struct oneshot_statement run = {statement, second != NULL ? 2 : 1, values, false};
    PGresult *result;
    *requests = (struct requests){0};
    if (!oneshot_run(session, &run, &result, error))
        return error_prefix(error, "cannot read what was asked for");
    size_t count = (size_t)PQntuples(result);
    requests->list = must_calloc(count, sizeof *requests->list);
    for (; requests->count < count; requests->count++)
        read_request(result, (int)requests->count, &requests->list[requests->count]);
    PQclear(result);
    return true;
}

bool
requests_read_open(struct session *session, const char *relay, struct requests *requests, struct error *error)
{
    return read_all(session, "outboxd_requests_open", relay, NULL, requests, error);
}

bool
requests_read_replays(struct session *session, const char *relay, struct requests *requests,
                      struct error *error)
{
    return read_all(session, "outboxd_requests_replays", relay, NULL, requests, error);
}

bool
requests_read_event(struct session *session, const char *relay, int64_t event_id, struct requests *requests,
                    struct error *error)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, event_id);
    return read_all(session, "outboxd_requests_event", relay, id, requests, error);
}

bool
requests_read_numbers(struct session *session, const char *relay, const int64_t *numbers, size_t count,
                      struct requests *requests, struct error *error)
{
    char *array = requests_array(numbers, count);
    bool good = read_all(session, "outboxd_requests_numbers", relay, array, requests, error);
    free(array);
    return good;
}

void
requests_free(struct requests *requests)
{
    for (size_t i = 0; i < requests->count; i++) {
        struct request *request = &requests->list[i];
        free(request->kind);
        free(request->since);
        free(request->until);
        free(request->topic);
        free(request->key);
        free(request->reason);
        free(request->asked_by);
        free(request->asked_at);
        free(request->done_at);
        free(request->outcome);
        requests_free_wait(&request->wait);
    }
    free(requests->list);
    *requests = (struct requests){0};
}

char *
requests_array(const int64_t *numbers, size_t count)
{
    char *text = must_alloc(count * 21 + 3);
    size_t size = 0;
    text[size++] = '{';
    for (size_t i = 0; i < count; i++)
        size += (size_t)sprintf(text + size, "%s%" PRId64, i > 0 ? "," : "", numbers[i]);
    memcpy(text + size, "}", 2);
    return text;
}

/* ---- asking ---- */

bool
requests_replay(struct session *session, const char *relay, const struct replay_wish *wish, int64_t *number,
                struct error *error)
{
    char first[24], last[24], rate[24];
    snprintf(first, sizeof first, "%" PRId64, wish->first_id);
    snprintf(last, sizeof last, "%" PRId64, wish->last_id);
    snprintf(rate, sizeof rate, "%" PRId64, wish->rate);
    const char *values[] = {relay,
                            wish->first_id > 0 ? first : NULL,
                            wish->last_id > 0 ? last : NULL,
                            wish->since,
                            wish->until,
                            wish->topic,
                            wish->key,
                            wish->rate > 0 ? rate : NULL};
    struct oneshot_statement statement = {"outboxd_replay", 8, values, false};
    PGresult *result = NULL;
    if (!oneshot_allow_changes(session, error) || !oneshot_run(session, &statement, &result, error)) {
        oneshot_blame(error);
        return error_prefix(error, "cannot ask for the replay");
    }
    bool asked = !PQgetisnull(result, 0, 0);
    *number = cell_number(result, 0, 0);
    PQclear(result);
    return asked || error_set(error, ERROR_USAGE, "relay \"%s\" is not a living one", relay);
}

bool
requests_cancel(struct session *session, const char *relay, int64_t number, struct error *error)
{
    char text[24];
    const char *values[] = {relay, text};
    struct oneshot_statement statement = {"outboxd_cancel", 2, values, false};
    PGresult *result = NULL;
    snprintf(text, sizeof text, "%" PRId64, number);
    if (!oneshot_allow_changes(session, error) || !oneshot_run(session, &statement, &result, error)) {
        oneshot_blame(error);
        return error_prefix(error, "cannot end the replay");
    }
    bool ended = cell_truth(result, 0, 0);
    PQclear(result);
    return ended || error_set(error, ERROR_USAGE,
                              "relay \"%s\" has no replay %" PRId64
                              " that goes on; `outboxd replay --list` shows them",
                              relay, number);
}
