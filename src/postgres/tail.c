/* tail.c: the connection of a tail and its ticks: from which snapshot to which, and which of them outlives a crash. Called by
 * the command `tail`; the events of a tick are read in tail_pages.c. Never writes. */
#include "postgres/tail_parts.h"

#include "postgres/schema.h"
#include "postgres/tail_statements.h"
#include "postgres/walk.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* The last statement says where we are and at what time; and the sequence's value, before any poll. */
static const char prepare_sql[] =
    SQL_TAIL_POLL SQL_TAIL_LOOK SQL_TAIL_BACK SQL_WALK_AT SQL_TAIL_READ_FAR SQL_TAIL_READ_CLOSE SQL_TAIL_HERE;

/* The columns of SQL_TAIL_HERE and of SQL_TAIL_POLL. */
enum here { HERE_SYSID, HERE_TIMELINE, HERE_DBID, HERE_SEQUENCE, HERE_NOW };
enum polled {
    POLLED_LATE,
    POLLED_LATE_LO,
    POLLED_FOUND,
    POLLED_SNAPSHOT,
    POLLED_UNASSIGNED,
    POLLED_SEQUENCE,
    POLLED_LSN,
    POLLED_DURABLE
};

struct tail *
tail_new(const struct settings *settings, const struct tail_wish *wish)
{
    static char every[] = "*", *const all[] = {every};
    struct tail *tail = must_calloc(1, sizeof *tail);
    tail->settings = settings;
    tail->wish = wish;
    tail->topics =
        wish->topic_count > 0 ? topic_table_new(wish->topics, wish->topic_count) : topic_table_new(all, 1);
    if (wish->key != NULL) {
        size_t size = strlen(wish->key);
        tail->key = must_alloc(2 + 2 * size + 1);
        memcpy(tail->key, "\\x", 3);
        for (size_t i = 0; i < size; i++)
            snprintf(tail->key + 2 + 2 * i, 3, "%02x", (unsigned char)wish->key[i]);
    }
    return tail;
}

void
tail_free(struct tail *tail)
{
    if (tail == NULL)
        return;
    session_free(tail->session);
    topic_table_free(tail->topics);
    tick_edge_clear(&tail->shown.edge);
    tick_edge_clear(&tail->pending.edge);
    tick_edge_clear(&tail->durable);
    tick_edge_clear(&tail->next.edge);
    tick_clear(&tail->tick);
    free(tail->key);
    free(tail);
}

bool
tail_is_connected(const struct tail *tail)
{
    return tail->session != NULL && session_state(tail->session) != SESSION_CLOSED;
}

bool
tail_was_promoted(struct tail *tail)
{
    bool promoted = tail->promoted;
    tail->promoted = false;
    return promoted;
}

/* ---- connecting ---- */

/* A tail needs less than a relay: it looks neither at the registry nor at the journal. */
static bool
judge(const struct inspect_facts *facts, struct error *error)
{
    if (!inspect_require_outbox(facts, error))
        return false;
    if (facts->readable_since > SCHEMA_VERSION)
        return error_set(error, ERROR_UNUSABLE,
                         "the schema is at version %d and needs an outboxd for version %d or later; this one "
                         "is for %d: install the newer outboxd",
                         facts->version, facts->readable_since, SCHEMA_VERSION);
    return true;
}

static int64_t
number(const PGresult *result, int column)
{
    return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

/* Ids that are given out a second time tell nothing. */
static bool
judge_sequence(const struct tail *tail, int64_t sequence, struct error *error)
{
    return sequence >= tail->shown.edge.lo_id ||
           error_set(error, ERROR_UNUSABLE,
                     "the id sequence was set back, and ids no longer tell what is new; `outboxd run` says "
                     "what helps; start `outboxd tail` anew");
}

/* Snapshots of one database say nothing about another one. */
static bool
judge_place(struct tail *tail, const PGresult *here, struct error *error)
{
    int64_t sysid = number(here, HERE_SYSID), dbid = number(here, HERE_DBID);
    int64_t timeline = number(here, HERE_TIMELINE);
    if (tail->sysid != 0 && (sysid != tail->sysid || dbid != tail->dbid))
        return error_set(error, ERROR_UNUSABLE,
                         "this is another database than before: start `outboxd tail` anew");
    tail->promoted = tail->promoted || (tail->timeline != 0 && timeline != tail->timeline);
    tail->sysid = sysid;
    tail->dbid = dbid;
    tail->timeline = timeline;
    return true;
}

static bool
prepare(struct tail *tail, int64_t *now_us, struct error *error)
{
    struct inspect_facts facts = {0};
    PGresult *here = NULL;
    bool good = oneshot_inspect(tail->session, &facts, error) && judge(&facts, error);
    inspect_facts_free(&facts);
    if (!good)
        return false;
    if (!oneshot_ask(tail->session, prepare_sql, &here, error))
        return error_prefix(error, "cannot prepare to read the outbox");
    good = judge_place(tail, here, error);
    tail->sequence = number(here, HERE_SEQUENCE);
    *now_us = number(here, HERE_NOW);
    PQclear(here);
    return good;
}

/* ---- ticks ---- */

static void
set_edge(struct tail_edge *to, const struct tail_edge *from)
{
    tick_edge_set(&to->edge, from->edge.snapshot, from->edge.w, from->edge.lo_id);
    memcpy(to->lsn, from->lsn, sizeof to->lsn);
}

/* All up to `next` was handed out. */
static void
end_tick(struct tail *tail)
{
    set_edge(&tail->shown, &tail->next);
    if (tail->pending.lsn[0] == '\0')
        set_edge(&tail->pending, &tail->next);
    tick_clear(&tail->tick);
    tick_edge_clear(&tail->next.edge);
}

/* The tick from what was shown to the snapshot of this answer. The sequence's value in it was read after the snapshot: it is
 * the upper bound of this tick, and only the lower bound of the one behind the next. */
static void
begin_tick(struct tail *tail, const PGresult *result)
{
    struct tick *tick = &tail->tick;
    tick_clear(tick);
    tick_edge_set(&tick->from, tail->shown.edge.snapshot, tail->shown.edge.w, tail->shown.edge.lo_id);
    tick->snapshot = must_strdup(PQgetvalue(result, 0, POLLED_SNAPSHOT));
    tick->hi_id = number(result, POLLED_SEQUENCE);
    tick->late = must_strdup(PQgetvalue(result, 0, POLLED_LATE));
    tick->late_count = tick_late_count(tick->late);
    tick->late_lo = number(result, POLLED_LATE_LO);
    tick_edge_set(&tail->next.edge, tick->snapshot, number(result, POLLED_UNASSIGNED), tail->sequence);
    snprintf(tail->next.lsn, sizeof tail->next.lsn, "%s", PQgetvalue(result, 0, POLLED_LSN));
    tail->sequence = tick->hi_id;
    tail->after = tick->from.lo_id;
    if (tick->late_count > 0 && tick->late_lo - 1 < tail->after)
        tail->after = tick->late_lo - 1;
    tail->width = 0;
}

bool
tail_poll(struct tail *tail, struct error *error)
{
    const struct tick_edge *shown = &tail->shown.edge, *pending = &tail->pending.edge;
    bool has_pending = tail->pending.lsn[0] != '\0';
    char w[24], lo[24];
    CHECK(tail->next.edge.snapshot == NULL);
    snprintf(w, sizeof w, "%" PRId64, shown->w);
    snprintf(lo, sizeof lo, "%" PRId64, shown->lo_id);
    const char *values[] = {shown->snapshot, w, lo, has_pending ? tail->pending.lsn : NULL};
    struct oneshot_statement statement = {"outboxd_tail_poll", 4, values, false};
    PGresult *result = NULL;
    if (!oneshot_run(tail->session, &statement, &result, error))
        return error_prefix(error, "cannot look for new events");
    bool good = judge_sequence(tail, number(result, POLLED_SEQUENCE), error);
    if (good && has_pending && PQgetvalue(result, 0, POLLED_DURABLE)[0] == 't') {
        tick_edge_set(&tail->durable, pending->snapshot, pending->w, pending->lo_id);
        tail->pending.lsn[0] = '\0';
    }
    if (good)
        begin_tick(tail, result);
    if (good && PQgetvalue(result, 0, POLLED_FOUND)[0] != 't')
        end_tick(tail);
    PQclear(result);
    return good;
}

bool
tail_read(struct tail *tail, struct page **page, struct error *error)
{
    *page = NULL;
    if (tail->next.edge.snapshot == NULL)
        return true;
    if (!tail_read_page(tail, page, error))
        return error_prefix(error, "cannot read events");
    if (*page == NULL)
        end_tick(tail);
    return true;
}

/* ---- connecting ---- */

/* The first tick is what is there now, from where the wish begins. Its snapshot counts as durable from the start: to go back
 * behind it would be to show what was not asked for. */
static bool
begin(struct tail *tail, int64_t now_us, struct error *error)
{
    tick_edge_set(&tail->shown.edge, TAIL_FIRST_SNAPSHOT, TAIL_FIRST_W, 0);
    if (!tail_poll(tail, error))
        return false;
    if (tail->next.edge.snapshot != NULL && !tail_find_start(tail, now_us, error))
        return error_prefix(error, "cannot look for where to begin");
    const struct tick_edge *edge = tail->next.edge.snapshot != NULL ? &tail->next.edge : &tail->shown.edge;
    tick_edge_set(&tail->durable, edge->snapshot, edge->w, edge->lo_id);
    return true;
}

/* Everything behind the durable edge will come again, but for the first tick, which goes on where it stood. */
static void
go_back(struct tail *tail)
{
    const struct tick_edge *durable = &tail->durable;
    if (tail->next.edge.snapshot != NULL && tail->tick.from.w == TAIL_FIRST_W)
        return;
    tick_clear(&tail->tick);
    tick_edge_clear(&tail->next.edge);
    tail->pending.lsn[0] = '\0';
    tail->found_count = tail->taken = 0;
    tick_edge_set(&tail->shown.edge, durable->snapshot, durable->w, durable->lo_id);
}

bool
tail_connect(struct tail *tail, struct error *error)
{
    int64_t now_us = 0;
    session_free(tail->session);
    tail->session = NULL;
    bool good = oneshot_open(&tail->session, tail->settings, error) && prepare(tail, &now_us, error);
    if (good && tail->durable.snapshot == NULL)
        good = begin(tail, now_us, error);
    else if (good)
        go_back(tail);
    if (!good && tail->session != NULL)
        session_close(tail->session);
    return good;
}
