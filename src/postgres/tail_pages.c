/* tail_pages.c: walks the ticks of a tail in windows of ids: first which events are wanted, without their bytes, then those in
 * pages of bounded size. Called by tail.c. Topics are matched here, by fnmatch(3) as those of a relay. */
#include "postgres/tail_parts.h"

#include "base/clock.h"
#include "postgres/row.h"
#include "postgres/tail_statements.h"
#include "postgres/walk.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a page may hold, unless it is one event. */
#define PAGE_COST (INT64_C(4) << 20)

/* Found events stand close together when on average at least one of so many ids is theirs. */
#define CLOSE_IDS 4

/* Of topics that are known not to be wanted, so many are left to the server to pass over. */
#define UNWANTED_MOST 100

/* As an array's text. Names are legal ones: nothing in them needs an escape. */
static char *
unwanted_topics(const struct tail *tail)
{
    char *text = NULL;
    size_t size = 0, count = 0;
    FILE *to = open_memstream(&text, &size);
    CHECK(to != NULL);
    fputc('{', to);
    for (size_t i = 0; i < topic_count(tail->topics) && count < UNWANTED_MOST; i++) {
        const struct topic *topic = topic_at(tail->topics, i);
        if (!topic->selected)
            fprintf(to, "%s\"%s\"", count++ > 0 ? "," : "", topic->name);
    }
    fputc('}', to);
    CHECK(fclose(to) == 0);
    return text;
}

static bool
is_wanted(struct tail *tail, const char *topic)
{
    return topic_intern(tail->topics, topic, strlen(topic))->selected;
}

/* Of what was there before; whatever becomes visible later is new. */
static const char *
since(const struct tail *tail)
{
    return tail->tick.from.w == TAIL_FIRST_W ? tail->since : "-infinity";
}

/* ---- where to begin ---- */

/* One window backwards: *left counts those that are still wanted, *upto goes down. */
static bool
look_back(struct tail *tail, int64_t *left, int64_t *upto, struct error *error)
{
    int64_t lowest = tail->tick.from.lo_id,
            from = *upto - lowest > tail->width ? *upto - tail->width : lowest;
    char after[24], until[24], *unwanted = unwanted_topics(tail);
    snprintf(after, sizeof after, "%" PRId64, from);
    snprintf(until, sizeof until, "%" PRId64, *upto);
    const char *values[] = {after,       until,    tail->tick.snapshot,  tail->key,
                            since(tail), unwanted, SQL_NUMBER(TAIL_ROWS)};
    struct oneshot_statement statement = {"outboxd_tail_back", 7, values, false};
    PGresult *result = NULL;
    int64_t asked_us = clock_monotonic_us();
    bool good = oneshot_run(tail->session, &statement, &result, error);
    int rows = good ? PQntuples(result) : 0;
    tail->width = walk_width(tail->width, clock_monotonic_us() - asked_us);
    if (good && rows < TAIL_ROWS)
        *upto = from;
    for (int row = 0; row<rows && * left> 0; row++) {
        *left -= is_wanted(tail, PQgetvalue(result, row, 1));
        if (*left == 0 || (row == rows - 1 && rows == TAIL_ROWS))
            *upto = strtoll(PQgetvalue(result, row, 0), NULL, 10) - 1;
    }
    PQclear(result);
    free(unwanted);
    return good;
}

static bool
find_last(struct tail *tail, struct error *error)
{
    int64_t left = tail->wish->last, upto = tail->tick.hi_id;
    tail->width = WALK_FIRST_WIDTH;
    while (left > 0 && upto > tail->tick.from.lo_id)
        if (!look_back(tail, &left, &upto, error))
            return false;
    tail->tick.from.lo_id = upto;
    return true;
}

bool
tail_find_start(struct tail *tail, int64_t now_us, struct error *error)
{
    const struct tail_wish *wish = tail->wish;
    int64_t since_us = wish->back_us > 0 ? now_us - wish->back_us : wish->since_us;
    snprintf(tail->since, sizeof tail->since, "-infinity");
    if (wish->from_id > 0)
        tail->tick.from.lo_id = wish->from_id - 1 < tail->tick.hi_id ? wish->from_id - 1 : tail->tick.hi_id;
    if (since_us > 0) {
        time_t seconds = (time_t)(since_us / 1000000);
        struct tm utc;
        size_t size = strftime(tail->since, 28, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &utc));
        snprintf(tail->since + size, sizeof tail->since - size, ".%06d+00", (int)(since_us % 1000000));
        int64_t *lo_id = &tail->tick.from.lo_id;
        if (!walk_find(tail->session, since_us, *lo_id, tail->tick.hi_id, lo_id, error))
            return false;
    }
    if (wish->last >= 0 && !find_last(tail, error))
        return false;
    tail->after = tail->tick.from.lo_id;
    tail->width = 0;
    return true;
}

/* ---- reading ---- */

/* One window of the tick: what is wanted of it is found. */
static bool
look(struct tail *tail, struct error *error)
{
    const struct tick *tick = &tail->tick;
    if (tail->width == 0)
        tail->width = WALK_FIRST_WIDTH;
    int64_t upto = tick->hi_id - tail->after > tail->width ? tail->after + tail->width : tick->hi_id;
    char after[24], until[24], lo[24], w[24], *unwanted = unwanted_topics(tail);
    snprintf(after, sizeof after, "%" PRId64, tail->after);
    snprintf(until, sizeof until, "%" PRId64, upto);
    snprintf(lo, sizeof lo, "%" PRId64, tick->from.lo_id);
    snprintf(w, sizeof w, "%" PRId64, tick->from.w);
    const char *values[] = {tick->late,     after,     until,       lo,       w,
                            tick->snapshot, tail->key, since(tail), unwanted, SQL_NUMBER(TAIL_ROWS)};
    struct oneshot_statement statement = {"outboxd_tail_look", 10, values, false};
    PGresult *result = NULL;
    int64_t asked_us = clock_monotonic_us();
    bool good = oneshot_run(tail->session, &statement, &result, error);
    int rows = good ? PQntuples(result) : 0;
    tail->width = walk_width(tail->width, clock_monotonic_us() - asked_us);
    tail->found_count = tail->taken = 0;
    for (int row = 0; row < rows; row++)
        if (is_wanted(tail, PQgetvalue(result, row, 1)))
            tail->found[tail->found_count++] = (struct tail_found){
                strtoll(PQgetvalue(result, row, 0), NULL, 10), strtoll(PQgetvalue(result, row, 2), NULL, 10)};
    if (good && rows < TAIL_ROWS)
        tail->after = upto;
    else if (good)
        tail->after = strtoll(PQgetvalue(result, rows - 1, 0), NULL, 10);
    PQclear(result);
    free(unwanted);
    return good;
}

/* What is cut off need not fit. */
static int64_t
cost_at_most(const struct tail *tail, const struct tail_found *found)
{
    int64_t most = 2 * (int64_t)tail->wish->bytes + EVENT_OVERHEAD;
    return found->cost < most ? found->cost : most;
}

/* As many of the found ones as make a page, as an array's text; `end` is behind the last of them. */
static char *
next_ids(const struct tail *tail, size_t *end)
{
    char *text = must_alloc(TAIL_ROWS * 21 + 3);
    size_t size = 0, at = tail->taken;
    for (int64_t cost = 0; at < tail->found_count; at++) {
        cost += cost_at_most(tail, &tail->found[at]);
        if (cost > PAGE_COST && at > tail->taken)
            break;
        size += (size_t)sprintf(text + size, "%c%" PRId64, size == 0 ? '{' : ',', tail->found[at].id);
    }
    memcpy(text + size, "}", 2);
    *end = at;
    return text;
}

static bool
read_found(struct tail *tail, struct page **page, struct error *error)
{
    size_t end;
    char bytes[16], *ids = next_ids(tail, &end);
    snprintf(bytes, sizeof bytes, "%" PRId32, tail->wish->bytes);
    const char *values[] = {ids, bytes};
    int64_t span = tail->found[end - 1].id - tail->found[tail->taken].id;
    bool together = span / CLOSE_IDS < (int64_t)(end - tail->taken);
    struct oneshot_statement statement = {together ? "outboxd_tail_close" : "outboxd_tail_far", 2, values,
                                          true};
    struct row_totals totals = {0};
    PGresult *result = NULL;
    bool good = oneshot_run(tail->session, &statement, &result, error);
    *page = good ? page_new(0) : NULL;
    for (int row = 0; good && row < PQntuples(result); row++)
        good = row_from_result(result, row, *page, tail->topics, &totals, error);
    if (good) {
        tail->taken = end;
    } else {
        page_free(*page);
        *page = NULL;
    }
    PQclear(result);
    free(ids);
    return good;
}

bool
tail_read_page(struct tail *tail, struct page **page, struct error *error)
{
    while (tail->taken == tail->found_count) {
        if (tail->after >= tail->tick.hi_id)
            return true;
        if (!look(tail, error))
            return false;
    }
    return read_found(tail, page, error);
}
