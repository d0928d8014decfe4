/* pauses.c: see pauses.h. Called by the commands pause, resume, replay, status and check. */
#include "postgres/pauses.h"

#include "postgres/cells.h"
#include "postgres/moments.h"
#include "postgres/oneshot.h"
#include "postgres/waiting.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* SQL is laid out by its own clauses. */
/* clang-format off */
static const char sql_list[] =
    "with named as (select relay, topic from outbox.paused_topic union select relay, topic from outbox.pause where topic <> '')"
    " select n.relay, n.topic, t.relay is not null, t.error, t.message,"
    " case when t.error = '" WAITING_PAUSED "' then 0 else t.attempts end,"
    " " SQL_AGE("coalesce(t.since, p.asked_at)") ", p.asked_by"
    " from named n join outbox.relay r on r.name = n.relay and r.retired_at is null"
    " left join outbox.paused_topic t on t.relay = n.relay and t.topic = n.topic"
    " left join outbox.pause p on p.relay = n.relay and p.topic = n.topic"
    " order by n.relay, n.topic limit 1000";
static const char sql_prepare_again[] =
    "prepare outboxd_try_again(text, text) as select outbox.topic_settle(t.relay, t.number, 0, null, '" WAITING_RESUMED "',"
    " 'somebody has resumed it; before: ' || t.error || ': ' || t.message)"
    " from outbox.paused_topic t where t.relay = $1 and t.topic = $2 and t.error not in ('" WAITING_RESUMED "', '" WAITING_PAUSED "')"
    " and not exists (select from outbox.pause p where p.relay = t.relay and p.topic = t.topic)";
/* clang-format on */

bool
pauses_read(struct session *session, struct pauses *pauses, struct error *error)
{
    PGresult *result;
    *pauses = (struct pauses){0};
    if (!oneshot_ask(session, sql_list, &result, error))
        return error_prefix(error, "cannot read which topics are paused");
    size_t count = (size_t)PQntuples(result);
    pauses->list = must_calloc(count, sizeof *pauses->list);
    for (; pauses->count < count; pauses->count++) {
        int row = (int)pauses->count;
        pauses->list[row] = (struct paused){.relay = cell_text(result, row, 0),
                                            .topic = cell_text(result, row, 1),
                                            .waits = cell_truth(result, row, 2),
                                            .error = cell_text(result, row, 3),
                                            .message = cell_text(result, row, 4),
                                            .attempts = cell_number(result, row, 5),
                                            .since_us = cell_number(result, row, 6),
                                            .asked_by = cell_text_or_null(result, row, 7)};
    }
    PQclear(result);
    return true;
}

void
pauses_free(struct pauses *pauses)
{
    for (size_t i = 0; i < pauses->count; i++) {
        struct paused *paused = &pauses->list[i];
        free(paused->relay);
        free(paused->topic);
        free(paused->error);
        free(paused->message);
        free(paused->asked_by);
    }
    free(pauses->list);
    *pauses = (struct pauses){0};
}

const struct paused *
pauses_find(const struct pauses *pauses, const char *relay, const char *topic)
{
    for (size_t i = 0; i < pauses->count; i++)
        if (strcmp(pauses->list[i].relay, relay) == 0 && strcmp(pauses->list[i].topic, topic) == 0)
            return &pauses->list[i];
    return NULL;
}

bool
pauses_set(struct session *session, const char *relay, const char *topic, bool pause, bool *changed,
           struct error *error)
{
    static const char prepare_sql[] = "prepare outboxd_pause(text, text) as select outbox.pause($1, $2);"
                                      " prepare outboxd_resume(text, text) as select outbox.resume($1, $2)";
    const char *values[] = {relay, topic};
    struct oneshot_statement statement = {pause ? "outboxd_pause" : "outboxd_resume", 2, values, false};
    PGresult *nothing = NULL, *result = NULL;
    bool good = oneshot_allow_changes(session, error) && oneshot_ask(session, prepare_sql, &nothing, error) &&
                oneshot_run(session, &statement, &result, error);
    *changed = good && cell_truth(result, 0, 0);
    PQclear(nothing);
    PQclear(result);
    if (good)
        return true;
    oneshot_blame(error);
    return error_prefix(error, pause ? "cannot pause" : "cannot resume");
}

bool
pauses_try_again(struct session *session, const char *relay, const char *topic, struct error *error)
{
    const char *values[] = {relay, topic};
    struct oneshot_statement statement = {"outboxd_try_again", 2, values, false};
    PGresult *nothing = NULL, *result = NULL;
    bool good = oneshot_ask(session, sql_prepare_again, &nothing, error) &&
                oneshot_run(session, &statement, &result, error);
    PQclear(nothing);
    PQclear(result);
    return good || error_prefix(error, "cannot have it tried again");
}
