/* query.c: the statements that only read: the newest row of the journal, older ones, late transactions, and what waits, as
 * src/postgres/statements.h has them. Called by statement.c. */
#include "simulator/statement.h"

#include "event/event.h"
#include "simulator/model.h"
#include "simulator/process.h"
#include "simulator/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
answer_here(struct answer *answer)
{
    answer_number(answer, PLACE_SYSID);
    answer_number(answer, PLACE_TIMELINE);
    answer_number(answer, PLACE_DBID);
}

static void
newest(struct request *request)
{
    const struct line *last = request->newest;
    struct answer *answer = &request->answer;
    answer->columns = 23;
    answer_number(answer, last->seq);
    answer_number(answer, last->epoch);
    answer_text(answer, last->holder);
    answer_text(answer, last->snapshot);
    answer_number(answer, last->w);
    answer_number(answer, last->lo_id);
    answer_number(answer, last->hi_id);
    answer_number(answer, last->confirmed.seq);
    answer_number(answer, last->confirmed.id);
    answer_flag(answer, last->released);
    answer_number(answer, database_clock_us() - last->written_at_us);
    answer_here(answer); /* where the row was written: there is one database */
    answer_here(answer);
    answer_number(answer, database.sequence);
    answer_number(answer, 1); /* the storage of the sequence */
    answer_flag(answer, false);
    const int64_t exact[] = {last->exact.position.seq, last->exact.position.id, last->exact.nonce};
    for (size_t i = 0; i < 3; i++)
        if (last->exact.on)
            answer_number(answer, exact[i]);
        else
            answer_null(answer);
}

/* Events that contradict the newest row: every event with xid >= w has an id above lo_id. */
static void
set_back(struct request *request)
{
    const struct line *last = request->newest;
    bool found = last->lo_id > last->hi_id;
    for (size_t i = 0; i < database.rows_count && database.rows[i]->id <= last->lo_id; i++)
        found = found || (database.rows[i]->by->xid >= last->w &&
                          snapshot_sees(&request->snapshot, database.rows[i]->by));
    request->answer.columns = 2;
    answer_flag(&request->answer, found);
    answer_flag(&request->answer, false); /* transaction numbers grow here */
}

bool
query_answer_line(struct request *request, int64_t seq)
{
    struct answer *answer = &request->answer;
    const struct line *line = seq >= 0 && seq < (int64_t)database.lines_count ? database.lines[seq] : NULL;
    if (line == NULL || !snapshot_sees(&request->snapshot, line->by))
        return false;
    answer_number(answer, request->newest->epoch);
    answer_number(answer, line->seq);
    answer_text(answer, line->snapshot);
    answer_number(answer, line->w);
    answer_number(answer, line->lo_id);
    answer_number(answer, line->hi_id);
    answer_number(answer, line->nonce);
    return true;
}

static void
rows(struct request *request)
{
    int64_t left = request_number(request, 3);
    struct answer *answer = &request->answer;
    answer->columns = 7;
    for (size_t seq = (size_t)request_number(request, 2); seq < database.lines_count && left > 0; seq++)
        left -= query_answer_line(request, (int64_t)seq);
    if (answer->count > 0)
        return;
    answer_number(answer, request->newest->epoch);
    for (size_t i = 1; i < answer->columns; i++)
        answer_null(answer);
}

bool
query_is_in(const char *array, int64_t number)
{
    char *at = (char *)(uintptr_t)array;
    while (*at != '}' && at[1] != '}')
        if (strtoll(at + 1, &at, 10) == number)
            return true;
    return false;
}

static void
names(struct request *request)
{
    struct answer *answer = &request->answer;
    answer->columns = 5;
    for (size_t i = database.lines_count; i-- > 0;) {
        const struct line *line = database.lines[i];
        if (line == NULL || !query_is_in(request->values[1], line->seq) ||
            !snapshot_sees(&request->snapshot, line->by))
            continue;
        answer_number(answer, request->newest->epoch);
        answer_number(answer, line->seq);
        answer_number(answer, line->nonce);
        answer_flag(answer, false); /* nobody rebases */
        answer_flag(answer, true);
    }
    if (answer->count > 0)
        return;
    answer_number(answer, request->newest->epoch);
    answer_null(answer);
    answer_null(answer);
    answer_flag(answer, false); /* nobody rebases */
    answer_flag(answer, true);
}

static void
late_add(struct request *request, const struct transaction *transaction, char text[SNAPSHOT_TEXT_SIZE * 2],
         int *used)
{
    *used += snprintf(text + *used, (size_t)(SNAPSHOT_TEXT_SIZE * 2 - *used), "%s%" PRId64,
                      *used > 1 ? "," : "", transaction->xid);
    CHECK(*used < SNAPSHOT_TEXT_SIZE * 2 - 2);
    if (request->late_lo == 0 || transaction->first->id < request->late_lo)
        request->late_lo = transaction->first->id;
}

static const struct transaction *
transaction_of(int64_t xid)
{
    return xid >= DATABASE_FIRST_XID && xid < database_next_xid()
               ? database.transactions[xid - DATABASE_FIRST_XID]
               : NULL;
}

void
query_late(struct request *request, const char *prev, int64_t w, const struct pg_snapshot *cur)
{
    char text[SNAPSHOT_TEXT_SIZE * 2] = "{";
    int used = 1;
    struct pg_snapshot before;
    snapshot_parse(&before, prev);
    if (cur == NULL)
        cur = &request->snapshot;
    for (size_t i = 0; i < before.count; i++) {
        const struct transaction *transaction = transaction_of(before.xip[i]);
        if (transaction->first != NULL && snapshot_sees(&request->snapshot, transaction) &&
            snapshot_shows(cur, transaction->xid))
            late_add(request, transaction, text, &used);
    }
    int64_t from = before.xmax > DATABASE_FIRST_XID ? before.xmax : DATABASE_FIRST_XID;
    for (int64_t xid = from; xid < w && xid < cur->xmax; xid++) {
        const struct transaction *transaction = transaction_of(xid);
        if (transaction->first != NULL && snapshot_sees(&request->snapshot, transaction) &&
            snapshot_shows(cur, xid))
            late_add(request, transaction, text, &used);
    }
    memccpy(text + used, "}", '\0', 2);
    request->late = world_text(text);
}

static void
late(struct request *request)
{
    struct pg_snapshot cur;
    snapshot_parse(&cur, request->values[2]);
    query_late(request, request->values[0], request_number(request, 2), &cur);
    request->answer.columns = 2;
    answer_text(&request->answer, request->late);
    answer_number(&request->answer, request->late_lo);
}

const char *
query_behind(const char *sql, const char *words)
{
    const char *at = strstr(sql, words);
    CHECK(at != NULL);
    return at + strlen(words);
}

static bool
is_late(const struct pg_snapshot *prior, const struct line *line, const struct row *row)
{
    return row->by->xid < line->w && !snapshot_shows(prior, row->by->xid);
}

/* Of the rows that the position has not passed: the first by id, which is near enough, and each of a late transaction. */
static void
backlog(struct request *request)
{
    int64_t seq, id, oldest = 0;
    bool first = true;
    struct pg_snapshot prior;
    CHECK(sscanf(query_behind(request->sql, "execute outboxd_backlog(null, "), "%" SCNd64 ", %" SCNd64, &seq,
                 &id) == 2);
    const struct line *line = seq >= 0 && seq < (int64_t)database.lines_count ? database.lines[seq] : NULL;
    request->answer.columns = 1;
    if (line == NULL || !snapshot_sees(&request->snapshot, line->by)) { /* trimmed: somebody else leads */
        answer_number(&request->answer, 0);
        return;
    }
    snapshot_parse(&prior, line->snapshot);
    for (size_t i = database_above(id); i < database.rows_count; i++) {
        const struct row *row = database.rows[i];
        bool later = first && row->id > line->lo_id && row->by->xid >= line->w;
        if (!snapshot_sees(&request->snapshot, row->by) || !(later || is_late(&prior, line, row)))
            continue;
        first = first && !later;
        oldest = oldest == 0 || row->created_at_us < oldest ? row->created_at_us : oldest;
    }
    answer_number(&request->answer, oldest);
}

/* What else is told, and what is prepared, needs no answer. */
static void
run_text(struct request *request)
{
    int64_t low;
    if (request->sink != NULL) {
        query_copy_page(request);
    } else if (sscanf(request->sql, MODEL_TRIM "%" SCNd64, &low) == 1) {
        request->answer.columns = 1;
        answer_number(&request->answer, database_trim(low, tables_name));
    } else if (strstr(request->sql, "execute ") != NULL) {
        backlog(request);
    }
}

bool
query_run(struct request *request)
{
    static const struct {
        const char *name;
        void (*run)(struct request *request);
    } known[] = {{"outboxd_newest", newest}, {"outboxd_set_back", set_back}, {"outboxd_rows", rows},
                 {"outboxd_names", names},   {"outboxd_late", late},         {"outboxd_page", query_page}};
    if (request->name == NULL) {
        run_text(request);
        request->finish(request);
        return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(request->name, known[i].name) == 0) {
            known[i].run(request);
            request->finish(request);
            return true;
        }
    if (!query_aside_run(request))
        return false;
    request->finish(request);
    return true;
}
