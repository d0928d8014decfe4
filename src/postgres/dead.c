/* dead.c: see dead.h. Called by the command `dead`. Topics are matched here, by fnmatch(3) as those of a relay. */
#include "postgres/dead.h"

#include "event/topic.h"
#include "postgres/cells.h"
#include "postgres/moments.h"
#include "postgres/oneshot.h"
#include "postgres/row.h"
#include "postgres/statements.h"
#include "postgres/waits.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* SQL is laid out by its own clauses. */
/* clang-format off */

#define HELD_BEHIND(l)                                                                                       \
    "(select count(*) from outbox.held_event h where h.relay = " l ".relay and h.hold = " l ".hold)"
#define UNDER_WAY(l)                                                                                         \
    "(select q.number, q.kind, " SQL_WAITS("q") " as waits from outbox.request q where q.relay = " l ".relay and q.event_id = " l ".event_id"\
    " and q.done_at is null and q.kind in ('retry', 'discard') limit 1)"
#define MEANT "l.relay = $1 and ($2 is null or l.topic = any ($2))"
/* Of the dead letters `l`, a relation: with each hold once, for two of one key may have the same. One look-up each takes seconds where there
 * are millions: so of all there are, held is counted as it is, and else behind the first of them. */
#define HELD_BEHIND_FIRST                                                                                    \
    "(select coalesce(sum(c.held), 0) from"                                                                  \
    " (select distinct f.hold from (select l.hold from l limit " SQL_NUMBER(DEAD_HELD_COUNTED) ") f where f.hold is not null) d" \
    " cross join lateral (select count(*) as held from outbox.held_event h where h.relay = $1 and h.hold = d.hold) c)"
#define HELD_BEHIND_MEANT                                                                                    \
    "case when $2 is null then (select count(*) from outbox.held_event h where h.relay = $1) else " HELD_BEHIND_FIRST " end"
/* `limit` keeps the planner from turning it around, which would read all dead letters. */
#define NAMED                                                                                                \
    "select l.event_id, l.hold from (select distinct u from unnest($2) u) i(id) cross join lateral"          \
    " (select l.event_id, l.hold from outbox.dead_letter l where l.relay = $1 and l.event_id = i.id limit 1) l"
#define EVENT " event_id, created_at, topic, key, payload, headers, null::boolean from "

static const char prepare_sql[] =
    "prepare outboxd_dead_list(text, text[], bigint) as"
    " select l.event_id, l.topic, substr(l.key, 1, " SQL_NUMBER(DEAD_KEY_BYTES) "), l.error, l.attempts,"
    " " SQL_UTC("l.first_at") ", " SQL_UTC("l.last_at") ", " SQL_AGE("l.first_at") ", " SQL_AGE("l.last_at") ","
    " " HELD_BEHIND("l") ", q.number, q.kind, q.waits"
    " from outbox.dead_letter l left join lateral " UNDER_WAY("l") " q on true"
    " where " MEANT " order by l.event_id limit $3;"
    "prepare outboxd_dead_totals(text, text[]) as"
    " with l as materialized (select l.hold, l.first_at from outbox.dead_letter l where " MEANT ")"
    " select count(*), " HELD_BEHIND_MEANT ", coalesce(" SQL_AGE("min(l.first_at)") ", 0) from l;"
    "prepare outboxd_dead_meant(text, text[]) as"
    " with l as materialized (select l.event_id, l.hold from outbox.dead_letter l where " MEANT ")"
    " select l.event_id, " HELD_BEHIND_MEANT " from l order by l.event_id;"
    "prepare outboxd_dead_named(text, bigint[]) as with l as materialized (" NAMED ")"
    " select l.event_id, " HELD_BEHIND_FIRST " from l order by l.event_id;"
    "prepare outboxd_dead_topics(text) as select distinct l.topic from outbox.dead_letter l where l.relay = $1;"
    "prepare outboxd_dead_event(text, bigint) as select * from ("
    " select" EVENT "outbox.dead_letter where relay = $1 and event_id = $2"
    " union all (select" EVENT "outbox.discarded where relay = $1 and event_id = $2 order by request desc limit 1)) e limit 1;"
    "prepare outboxd_dead_facts(text, bigint) as select * from ("
    " select l.error, l.message, l.attempts, l.tick, " SQL_UTC("l.first_at") ", " SQL_UTC("l.last_at") ","
    " " SQL_AGE("l.first_at") ", " SQL_AGE("l.last_at") ", l.hold is not null, " HELD_BEHIND("l") ","
    " (select json_agg(f.event_id) from (select h.event_id from outbox.held_event h where h.relay = l.relay"
    "   and h.hold = l.hold order by h.tick, h.event_id limit " SQL_NUMBER(DEAD_HELD_SHOWN) ") f)::text,"
    " null, null, null from outbox.dead_letter l where l.relay = $1 and l.event_id = $2"
    " union all (select d.error, d.message, d.attempts, 0, " SQL_UTC("d.refused_at") ", null,"
    " " SQL_AGE("d.refused_at") ", 0, false, 0, null, d.discarded_by, " SQL_UTC("d.discarded_at") ", d.reason"
    " from outbox.discarded d where d.relay = $1 and d.event_id = $2 order by d.request desc limit 1)) e limit 1;"
    "prepare outboxd_dead_absence(text, bigint) as select (select l.event_id from outbox.held_event h"
    "   join outbox.dead_letter l on l.relay = h.relay and l.hold = h.hold where h.relay = $1 and h.event_id = $2"
    "   order by l.tick, l.event_id limit 1), d.discarded_by, " SQL_UTC("d.discarded_at")
    " from (select 1) one left join outbox.discarded d on d.relay = $1 and d.event_id = $2 order by d.request desc limit 1;"
    "prepare outboxd_dead_retry(text, bigint[]) as select outbox.dead_retry($1, u) from unnest($2) u;"
    "prepare outboxd_dead_discard(text, bigint[], text) as select outbox.dead_discard($1, u, $3) from unnest($2) u;"
    "prepare outboxd_dead_before(text, bigint[]) as select q.number, q.kind from unnest($2) with ordinality u(id, n)"
    " left join lateral (select l.relay, u.id as event_id from (select $1::text as relay) l) l on true"
    " left join lateral " UNDER_WAY("l") " q on true order by u.n";

/* clang-format on */

bool
dead_prepare(struct session *session, struct error *error)
{
    PGresult *nothing;
    if (!oneshot_ask(session, prepare_sql, &nothing, error))
        return error_prefix(error, "cannot prepare to read the dead letters");
    PQclear(nothing);
    return true;
}

/* ---- the list ---- */

/* Those of the dead letters' topics that match, as an array's text: names are legal ones, nothing in them needs an escape. */
static bool
find_topics(struct session *session, const char *relay, const char *pattern, char **array,
            struct error *error)
{
    char *const patterns[] = {must_strdup(pattern)};
    const char *values[] = {relay};
    struct oneshot_statement statement = {"outboxd_dead_topics", 1, values, false};
    PGresult *result = NULL;
    size_t size = 0, found = 0;
    struct topic_table *table = topic_table_new(patterns, 1);
    FILE *to = open_memstream(array, &size);
    CHECK(to != NULL);
    bool good = oneshot_run(session, &statement, &result, error);
    fputc('{', to);
    for (int row = 0; good && row < PQntuples(result); row++) {
        const char *name = PQgetvalue(result, row, 0);
        if (topic_intern(table, name, strlen(name))->selected)
            fprintf(to, "%s\"%s\"", found++ > 0 ? "," : "", name);
    }
    fputc('}', to);
    CHECK(fclose(to) == 0);
    PQclear(result);
    topic_table_free(table);
    free(patterns[0]);
    return good;
}

static void
read_entry(const PGresult *result, int row, struct dead_entry *entry)
{
    entry->id = cell_number(result, row, 0);
    entry->topic = cell_text(result, row, 1);
    entry->key = cell_bytes(result, row, 2, &entry->key_size);
    entry->error = cell_text(result, row, 3);
    entry->attempts = cell_number(result, row, 4);
    entry->first_at = cell_text(result, row, 5);
    entry->last_at = cell_text(result, row, 6);
    entry->first_us = cell_number(result, row, 7);
    entry->last_us = cell_number(result, row, 8);
    entry->held = cell_number(result, row, 9);
    entry->request = cell_number(result, row, 10);
    entry->request_kind = cell_text(result, row, 11);
    if (!PQgetisnull(result, row, 12))
        requests_read_wait(PQgetvalue(result, row, 12), &entry->wait);
}

static bool
read_entries(struct session *session, const char *relay, const char *topics, int64_t limit,
             struct dead_list *dead, struct error *error)
{
    char most[24];
    const char *values[] = {relay, topics, most};
    struct oneshot_statement list = {"outboxd_dead_list", 3, values, false},
                             totals = {"outboxd_dead_totals", 2, values, false};
    PGresult *result = NULL;
    snprintf(most, sizeof most, "%" PRId64, limit);
    if (!oneshot_run(session, &list, &result, error))
        return false;
    size_t count = (size_t)PQntuples(result);
    dead->list = must_calloc(count, sizeof *dead->list);
    for (; dead->count < count; dead->count++)
        read_entry(result, (int)dead->count, &dead->list[dead->count]);
    PQclear(result);
    if (!oneshot_run(session, &totals, &result, error))
        return false;
    dead->letters = cell_number(result, 0, 0);
    dead->held = cell_number(result, 0, 1);
    dead->held_exact = topics == NULL || dead->letters <= DEAD_HELD_COUNTED;
    dead->oldest_us = cell_number(result, 0, 2);
    PQclear(result);
    return true;
}

bool
dead_read_list(struct session *session, const char *relay, const char *pattern, int64_t limit,
               struct dead_list *dead, struct error *error)
{
    char *topics = NULL;
    *dead = (struct dead_list){0};
    bool good = (pattern == NULL || find_topics(session, relay, pattern, &topics, error)) &&
                read_entries(session, relay, topics, limit, dead, error);
    free(topics);
    return good || error_prefix(error, "cannot read the dead letters");
}

void
dead_list_free(struct dead_list *dead)
{
    for (size_t i = 0; i < dead->count; i++) {
        struct dead_entry *entry = &dead->list[i];
        free(entry->topic);
        free(entry->key);
        free(entry->error);
        free(entry->first_at);
        free(entry->last_at);
        free(entry->request_kind);
        requests_free_wait(&entry->wait);
    }
    free(dead->list);
    *dead = (struct dead_list){0};
}

/* ---- those that are meant ---- */

static bool
find(struct session *session, const char *name, const char *relay, const char *which,
     struct dead_meant *meant, struct error *error)
{
    const char *values[] = {relay, which};
    struct oneshot_statement statement = {name, 2, values, false};
    PGresult *result = NULL;
    if (!oneshot_run(session, &statement, &result, error))
        return error_prefix(error, "cannot find the dead letters");
    meant->count = (size_t)PQntuples(result);
    meant->ids = must_calloc(meant->count, sizeof *meant->ids);
    for (size_t i = 0; i < meant->count; i++)
        meant->ids[i] = cell_number(result, (int)i, 0);
    if (meant->count > 0)
        meant->held = cell_number(result, 0, 1);
    PQclear(result);
    return true;
}

bool
dead_find_all(struct session *session, const char *relay, const char *pattern, struct dead_meant *meant,
              struct error *error)
{
    char *topics = NULL;
    *meant = (struct dead_meant){0};
    bool good = (pattern == NULL || find_topics(session, relay, pattern, &topics, error)) &&
                find(session, "outboxd_dead_meant", relay, topics, meant, error);
    free(topics);
    return good;
}

bool
dead_find_ids(struct session *session, const char *relay, const int64_t *ids, size_t count,
              struct dead_meant *meant, struct error *error)
{
    char *array = requests_array(ids, count);
    *meant = (struct dead_meant){0};
    bool good = find(session, "outboxd_dead_named", relay, array, meant, error);
    free(array);
    return good;
}

void
dead_meant_free(struct dead_meant *meant)
{
    free(meant->ids);
    *meant = (struct dead_meant){0};
}

/* ---- one of them ---- */

bool
dead_read_absence(struct session *session, const char *relay, int64_t id, struct dead_absence *absence,
                  struct error *error)
{
    char text[24];
    const char *values[] = {relay, text};
    struct oneshot_statement statement = {"outboxd_dead_absence", 2, values, false};
    PGresult *result = NULL;
    *absence = (struct dead_absence){0};
    snprintf(text, sizeof text, "%" PRId64, id);
    if (!oneshot_run(session, &statement, &result, error))
        return error_prefix(error, "cannot read what became of event %" PRId64, id);
    absence->holder = cell_number(result, 0, 0);
    absence->discarded_by = cell_text_or_null(result, 0, 1);
    absence->discarded_at = cell_text_or_null(result, 0, 2);
    PQclear(result);
    return true;
}

void
dead_absence_free(struct dead_absence *absence)
{
    free(absence->discarded_by);
    free(absence->discarded_at);
    *absence = (struct dead_absence){0};
}

/* False: it is none. */
static bool
refuse(struct session *session, const char *relay, int64_t id, struct error *error)
{
    struct dead_absence absence;
    if (!dead_read_absence(session, relay, id, &absence, error))
        return false;
    int64_t holder = absence.holder;
    dead_absence_free(&absence);
    if (holder > 0)
        return error_set(error, ERROR_USAGE, "event %" PRId64 " is held behind dead letter %" PRId64, id,
                         holder);
    return error_set(error, ERROR_USAGE, "relay \"%s\" has no dead letter %" PRId64, relay, id);
}

static bool
read_event(struct session *session, const struct oneshot_statement *statement, struct dead_letter *letter,
           struct error *error)
{
    static char every[] = "*", *const all[] = {every};
    struct row_totals totals = {0};
    PGresult *result = NULL;
    if (!oneshot_run(session, statement, &result, error))
        return false;
    letter->topics = topic_table_new(all, 1);
    letter->page = page_new(0);
    bool good =
        PQntuples(result) == 0 || row_from_result(result, 0, letter->page, letter->topics, &totals, error);
    PQclear(result);
    return good;
}

static bool
read_facts(struct session *session, const struct oneshot_statement *statement, struct dead_letter *letter,
           struct error *error)
{
    PGresult *result = NULL;
    if (!oneshot_run(session, statement, &result, error))
        return false;
    if (PQntuples(result) == 1) {
        letter->error = cell_text(result, 0, 0);
        letter->message = cell_text(result, 0, 1);
        letter->attempts = cell_number(result, 0, 2);
        letter->tick = cell_number(result, 0, 3);
        letter->first_at = cell_text(result, 0, 4);
        letter->last_at = cell_text_or_null(result, 0, 5);
        letter->first_us = cell_number(result, 0, 6);
        letter->last_us = cell_number(result, 0, 7);
        letter->holds = cell_truth(result, 0, 8);
        letter->held = cell_number(result, 0, 9);
        letter->held_first = cell_text(result, 0, 10);
        letter->discarded_by = cell_text_or_null(result, 0, 11);
        letter->discarded_at = cell_text_or_null(result, 0, 12);
        letter->reason = cell_text_or_null(result, 0, 13);
    }
    PQclear(result);
    return true;
}

bool
dead_read_letter(struct session *session, const char *relay, int64_t id, struct dead_letter *letter,
                 struct error *error)
{
    char text[24];
    const char *values[] = {relay, text};
    struct oneshot_statement event = {"outboxd_dead_event", 2, values, true},
                             facts = {"outboxd_dead_facts", 2, values, false};
    *letter = (struct dead_letter){0};
    snprintf(text, sizeof text, "%" PRId64, id);
    if (!read_event(session, &event, letter, error) || !read_facts(session, &facts, letter, error))
        return error_prefix(error, "cannot read dead letter %" PRId64, id);
    /* between the two it may have been settled */
    return (letter->page->count == 1 && letter->error != NULL) || refuse(session, relay, id, error);
}

void
dead_letter_free(struct dead_letter *letter)
{
    page_free(letter->page);
    topic_table_free(letter->topics);
    free(letter->error);
    free(letter->message);
    free(letter->first_at);
    free(letter->last_at);
    free(letter->held_first);
    free(letter->discarded_by);
    free(letter->discarded_at);
    free(letter->reason);
    *letter = (struct dead_letter){0};
}

/* ---- asking ---- */

bool
dead_ask(struct session *session, const char *relay, const int64_t *ids, size_t count, const char *reason,
         int64_t *numbers, int64_t *before, char *before_kinds, struct error *error)
{
    char *array = requests_array(ids, count);
    const char *values[] = {relay, array, reason};
    struct oneshot_statement ask = {reason != NULL ? "outboxd_dead_discard" : "outboxd_dead_retry",
                                    reason != NULL ? 3 : 2, values, false},
                             look = {"outboxd_dead_before", 2, values, false};
    PGresult *asked = NULL, *known = NULL;
    bool good = oneshot_allow_changes(session, error) && oneshot_run(session, &ask, &asked, error) &&
                oneshot_run(session, &look, &known, error);
    for (int row = 0; good && row < (int)count; row++) {
        numbers[row] = cell_number(asked, row, 0);
        before[row] = numbers[row] > 0 ? 0 : cell_number(known, row, 0);
        before_kinds[row] = PQgetvalue(known, row, 1)[0];
    }
    PQclear(asked);
    PQclear(known);
    free(array);
    if (good)
        return true;
    oneshot_blame(error);
    return error_prefix(error, "cannot ask for it");
}
