/* query_page.c: pages of events, as src/postgres/statements.h has them. Called by query.c. */
#include "simulator/statement.h"

#include "event/event.h"
#include "simulator/model.h"
#include "simulator/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_EVENT 8192
#define TOPIC_FILTER " and topic = '"
/* The limit of a late transaction's events in a page counts only those that pass the filter. */
#define FILTERED_FIRST true

struct page_query {
    const char *late;
    int64_t after, upto, limit, lo, hi, w;
    struct pg_snapshot cur;
    int64_t bytes; /* cut by them; 0: a plain page */
    int topic;     /* only this one; -1: all */
};

static bool
is_of_page(const struct request *request, const struct page_query *query, const struct row *row)
{
    if (!snapshot_sees(&request->snapshot, row->by) || row->id <= query->after || row->id > query->upto)
        return false;
    if (query_is_in(query->late, row->by->xid))
        return true;
    return row->id > query->lo && row->id <= query->hi && row->by->xid >= query->w &&
           snapshot_shows(&query->cur, row->by->xid);
}

/* As the filter of a page of one topic: what is a dead letter already is not published by it. */
static bool
is_filtered(const struct page_query *query, const struct row *row)
{
    return query->topic >= 0 && (row->topic != query->topic || tables_letter(row->id) != NULL);
}

/* The lateral select of a late transaction gives so many at most. A mutant of the model filters them afterwards. */
static bool
is_within_limit(const struct page_query *query, const struct row *row)
{
    int64_t before = 0;
    if (query->topic < 0 || !query_is_in(query->late, row->by->xid))
        return true;
    for (const struct row *other = row->by->first; other != row; other = other->next)
        before += other->id > query->after && !(FILTERED_FIRST && is_filtered(query, other));
    return before < query->limit;
}

static int64_t
cost_of(const struct row *row)
{
    return (int64_t)(row->payload_size + model_key_size(row->key)) + EVENT_OVERHEAD;
}

/* Before which of the others an event stands in a page. */
static int
in_order(const void *left, const void *right)
{
    const struct row *a = *(struct row *const *)left, *b = *(struct row *const *)right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void
run_page(struct request *request, const struct page_query *query)
{
    struct row **found = NULL;
    size_t count = 0, capacity = 0;
    int64_t before = 0;
    request->answer.columns = 7;
    request->binary = true;
    for (size_t i = database_above(query->after); i < database.rows_count; i++) {
        const struct row *row = database.rows[i];
        if (!is_of_page(request, query, row) || is_filtered(query, row) || !is_within_limit(query, row))
            continue;
        found = world_grow(found, count, &capacity);
        found[count++] = database.rows[i];
    }
    if (count > 0)
        qsort(found, count, sizeof(struct row *), in_order);
    for (size_t i = 0; i < count && (int64_t)i < query->limit; i++) {
        if (query->bytes > 0 && i > 0 && before >= query->bytes)
            break;
        before += cost_of(found[i]);
        answer_event(&request->answer, found[i], NULL, NULL,
                     query->bytes == 0 && found[i]->payload_size > LARGE_EVENT);
    }
}

void
query_page(struct request *request)
{
    struct page_query query = {.late = request->values[0],
                               .after = request_number(request, 2),
                               .upto = request_number(request, 3),
                               .limit = request_number(request, 4),
                               .lo = request_number(request, 5),
                               .hi = request_number(request, 6),
                               .w = request_number(request, 7),
                               .bytes = request_number(request, 9),
                               .topic = -1};
    snapshot_parse(&query.cur, request->values[7]);
    run_page(request, &query);
}

/* COPY knows no parameters: the numbers stand in its text. */
void
query_copy_page(struct request *request)
{
    struct page_query query = {.late = "{}", .topic = -1};
    const char *sql = request->sql, *cur = query_behind(sql, "pg_visible_in_snapshot(e.xid, '"),
               *quote = strchr(cur, '\'');
    char text[SNAPSHOT_TEXT_SIZE];
    CHECK(sscanf(query_behind(sql, "greatest("), "%" SCNd64 ", %" SCNd64, &query.after, &query.lo) == 2);
    CHECK(sscanf(query_behind(sql, "least("), "%" SCNd64 ", %" SCNd64, &query.upto, &query.hi) == 2);
    CHECK(sscanf(query_behind(sql, "(e.xid >= '"), "%" SCNd64, &query.w) == 1);
    CHECK(sscanf(query_behind(quote, "limit "), "%" SCNd64, &query.limit) == 1);
    snprintf(text, sizeof text, "%.*s", (int)(quote - cur), cur);
    snapshot_parse(&query.cur, text);
    if (strstr(sql, "unnest('") != NULL)
        query.late = world_text(query_behind(sql, "unnest('"));
    if (strstr(sql, TOPIC_FILTER) != NULL) {
        const char *name = query_behind(sql, TOPIC_FILTER);
        snprintf(text, sizeof text, "%.*s", (int)strcspn(name, "'"), name);
        query.topic = model_topic(text);
    }
    if (strstr(sql, " before < ") != NULL)
        CHECK(sscanf(query_behind(sql, " before < "), "%" SCNd64, &query.bytes) == 1);
    run_page(request, &query);
}
