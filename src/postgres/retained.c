/* retained.c: see retained.h. Called by the command `replay`. What it counts is what the leader's own statement for replays finds
 * (statements.h), but for the choice of topics, which is the caller's. */
#include "postgres/retained.h"

#include "base/clock.h"
#include "postgres/cells.h"
#include "postgres/oneshot.h"
#include "postgres/statements.h"
#include "postgres/walk.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So far the order of ids and that of times may differ, either way (walk.c). */
#define SLACK_US (INT64_C(120) * 1000000)

/* SQL is laid out by its own clauses. */
/* clang-format off */

#define EPOCH(moment) "(extract(epoch from " moment ") * 1000000)::bigint"

static const char prepare_sql[] =
    SQL_WALK_AT
    "prepare outboxd_retained(text, bigint, bigint, timestamptz, timestamptz, bytea) as"
    " select e.topic, count(*), sum(coalesce(octet_length(e.payload), 0) + coalesce(octet_length(e.key), 0)),"
    " min(e.id), max(e.id), " EPOCH("min(e.created_at)") ", " EPOCH("max(e.created_at)")
    " from (select c.snapshot from (select * from outbox.journal where relay = $1 order by seq desc limit 1) n"
    "   join outbox.journal c on c.relay = n.relay and c.seq = n.confirmed_seq) c, outbox.event e"
    " where e.id >= $2 and e.id <= $3 and pg_visible_in_snapshot(e.xid, c.snapshot)"
    " and ($4 is null or e.created_at >= $4) and ($5 is null or e.created_at < $5) and ($6 is null or e.key = $6)"
    " and not exists (select from outbox.held_event h where h.relay = $1 and h.event_id = e.id)"
    " and not exists (select from outbox.dead_letter l where l.relay = $1 and l.event_id = e.id)"
    " and not exists (select from outbox.discarded d where d.relay = $1 and d.event_id = e.id"
    "  and d.event_id >= $2 and d.event_id <= $3)"
    " group by e.topic order by 4;"
    "select " EPOCH("clock_timestamp()") ", o.id, " EPOCH("o.created_at") ", " SQL_SEQUENCE
    " from (select 1) one left join lateral (select * from outbox.event order by id limit 1) o on true";

/* clang-format on */

bool
retained_prepare(struct session *session, struct retained_bounds *bounds, struct error *error)
{
    PGresult *result;
    if (!oneshot_ask(session, prepare_sql, &result, error))
        return error_prefix(error, "cannot prepare to read the outbox");
    bounds->now_us = cell_number(result, 0, 0);
    bounds->oldest_id = cell_number(result, 0, 1);
    bounds->oldest_us = cell_number(result, 0, 2);
    bounds->newest_id = cell_number(result, 0, 3);
    PQclear(result);
    return true;
}

bool
retained_narrow(struct session *session, const struct retained_bounds *bounds, struct retained_wish *wish,
                struct error *error)
{
    int64_t low = bounds->oldest_id > 0 ? bounds->oldest_id - 1 : 0, high = bounds->newest_id;
    if (wish->first_id - 1 > low)
        low = wish->first_id - 1;
    if (wish->last_id > 0 && wish->last_id < high)
        high = wish->last_id;
    if (wish->since_us > 0 && !walk_find(session, wish->since_us, low, high, &low, error))
        return error_prefix(error, "cannot look for where to begin");
    if (wish->until_us > 0 && !walk_find(session, wish->until_us + SLACK_US, low, high, &high, error))
        return error_prefix(error, "cannot look for where to end");
    wish->first_id = low + 1;
    wish->last_id = high;
    return true;
}

char *
retained_moment(int64_t us)
{
    char text[40];
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    if (us == 0)
        return NULL;
    size_t size = strftime(text, 28, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &utc));
    snprintf(text + size, sizeof text - size, ".%06d+00", (int)(us % 1000000));
    return must_strdup(text);
}

/* ---- counting ---- */

static void
add(struct retained *retained, const PGresult *result, int row)
{
    const char *name = PQgetvalue(result, row, 0);
    size_t i = 0;
    while (i < retained->count && strcmp(retained->topics[i].name, name) != 0)
        i++;
    if (i == retained->count) {
        retained->topics = must_realloc(retained->topics, ++retained->count, sizeof *retained->topics);
        retained->topics[i] =
            (struct retained_topic){.name = must_strdup(name), .first_id = INT64_MAX, .oldest_us = INT64_MAX};
    }
    struct retained_topic *topic = &retained->topics[i];
    int64_t first_id = cell_number(result, row, 3), last_id = cell_number(result, row, 4);
    int64_t oldest_us = cell_number(result, row, 5), newest_us = cell_number(result, row, 6);
    topic->events += cell_number(result, row, 1);
    topic->bytes += cell_number(result, row, 2);
    topic->first_id = first_id < topic->first_id ? first_id : topic->first_id;
    topic->last_id = last_id > topic->last_id ? last_id : topic->last_id;
    topic->oldest_us = oldest_us < topic->oldest_us ? oldest_us : topic->oldest_us;
    topic->newest_us = newest_us > topic->newest_us ? newest_us : topic->newest_us;
}

static bool
count_window(struct session *session, const struct retained_wish *wish, const char *moments[2],
             int64_t first_id, int64_t last_id, struct retained *retained, struct error *error)
{
    char first[24], last[24];
    const char *values[] = {wish->relay, first, last, moments[0], moments[1], wish->key};
    struct oneshot_statement statement = {"outboxd_retained", 6, values, false};
    PGresult *result = NULL;
    snprintf(first, sizeof first, "%" PRId64, first_id);
    snprintf(last, sizeof last, "%" PRId64, last_id);
    bool good = oneshot_run(session, &statement, &result, error);
    for (int row = 0; good && row < PQntuples(result); row++)
        add(retained, result, row);
    PQclear(result);
    return good;
}

bool
retained_count(struct session *session, const struct retained_wish *wish, struct retained *retained,
               struct error *error)
{
    char *since = retained_moment(wish->since_us), *until = retained_moment(wish->until_us);
    const char *moments[] = {since, until};
    int64_t width = WALK_FIRST_WIDTH;
    bool good = true;
    *retained = (struct retained){0};
    for (int64_t at = wish->first_id; good && at <= wish->last_id;) {
        int64_t last = wish->last_id - at >= width ? at + width - 1 : wish->last_id;
        int64_t asked_us = clock_monotonic_us();
        good = count_window(session, wish, moments, at, last, retained, error);
        width = walk_width(width, clock_monotonic_us() - asked_us);
        if (last == INT64_MAX)
            break;
        at = last + 1;
    }
    free(since);
    free(until);
    return good || error_prefix(error, "cannot count the events");
}

void
retained_free(struct retained *retained)
{
    for (size_t i = 0; i < retained->count; i++)
        free(retained->topics[i].name);
    free(retained->topics);
    *retained = (struct retained){0};
}
