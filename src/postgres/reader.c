/* reader.c: walks a tick in pages. Small ticks through a prepared statement (planned once, one round trip), bulk through
 * binary COPY. Called by the relay; it reads committed rows only and leaves no mark in the database. */
#include "postgres/reader.h"

#include "postgres/row.h"
#include "postgres/statements.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* A tick whose ids span no more than this is small. COPY is planned anew each time (about 1 ms), a prepared page is not;
 * from a thousand rows on COPY is cheaper a row. */
#define SMALL_TICK 1000
/* So few late transactions are read without windows: at most this many times a page is sorted. */
#define FEW_LATE 4
/* So many ids at most are looked at for one page of a single topic: a hundredth of a second, or, for a large page, a tenth. */
#define LEAST_FILTERED 10000
#define FILTERED_TIMES_EVENTS 20
/* An event above this does not go into a page that is not cut: at most `batch.events` times this is read in vain once. */
#define LARGE_EVENT 8192

struct reader {
    struct session *session;
    struct topic_table *topics;
    char *filter; /* SQL over an event; "": every event of the tick is read */
    struct tick tick;
    bool has_more;
    bool first;    /* no page of the tick was read yet */
    int64_t after; /* ids up to here are done */
    int64_t upto;  /* the page under way ends here */
    /* With many late transactions each page looks at a window of ids, so that K of them fetch at most the window's rows
     * instead of K pages. */
    int64_t width;
    int64_t events, bytes; /* limits of the page under way */
    struct page *page;     /* the page under way */
    struct row_totals totals;
    struct error row_error; /* a row that could not be decoded */
    bool by_copy;
    int64_t average; /* what an event of the last page with events cost; 0: nothing is known yet */
    bool
        cut; /* pages are cut by bytes, because sizes are not known, or an event was too large for a plain page */
};

static struct reader *
make(struct session *session, struct topic_table *topics, char *filter)
{
    struct reader *reader = must_calloc(1, sizeof *reader);
    reader->session = session;
    reader->topics = topics;
    reader->filter = filter;
    reader->cut = true; /* nothing is known about sizes yet */
    return reader;
}

struct reader *
reader_new(struct session *session, struct topic_table *topics)
{
    return make(session, topics, must_strdup(""));
}

struct reader *
reader_new_of_topic(struct session *session, struct topic_table *topics, const char *relay,
                    const struct topic *topic)
{
    /* both are names of letters, digits, dots, underscores and hyphens: CHECKs of their tables saw to it */
    CHECK(strpbrk(relay, "'\\") == NULL && strpbrk(topic->name, "'\\") == NULL);
    return make(session, topics,
                must_format(" and topic = '%s' and not exists (select from outbox.dead_letter l"
                            " where l.relay = '%s' and l.event_id = id)",
                            topic->name, relay));
}

void
reader_free(struct reader *reader)
{
    if (reader == NULL)
        return;
    reader_drop(reader);
    free(reader->filter);
    free(reader);
}

/* No event of the tick has a lower id: without it, the windows below would begin at 0 and grow for billions of ids. */
static int64_t
first_id(const struct tick *tick)
{
    int64_t first = tick->from.lo_id + 1;
    return tick->late_count > 0 && tick->late_lo < first ? tick->late_lo : first;
}

void
reader_begin(struct reader *reader, struct tick *tick, int64_t after)
{
    CHECK(!reader->has_more);
    tick_clear(&reader->tick);
    reader->tick = *tick;
    *tick = (struct tick){0};
    reader->has_more = true;
    reader->first = true;
    reader->after = after > first_id(&reader->tick) - 1 ? after : first_id(&reader->tick) - 1;
    reader->width = 0;
}

void
reader_drop(struct reader *reader)
{
    if (reader == NULL)
        return;
    reader_lost(reader);
    tick_clear(&reader->tick);
    reader->has_more = false;
}

bool
reader_has_more(const struct reader *reader)
{
    return reader->has_more;
}

int64_t
reader_after(const struct reader *reader)
{
    return reader->after;
}

int64_t
reader_tick_seq(const struct reader *reader)
{
    return reader->tick.seq;
}

static bool
take_copy_row(void *context, const char *data, size_t size)
{
    struct reader *reader = context;
    return reader->totals.cost < reader->bytes &&
           row_from_copy(data, size, reader->page, reader->topics, &reader->totals, &reader->row_error);
}

/* The stream of the late transactions merged with `main`, which is freed. */
static char *
with_late(char *main, const char *late, const char *after, const char *upto, const char *filter,
          const char *n)
{
    char *both = must_format(
        SQL_PAGE_MERGED(SQL_PAGE_LATE("'%s'::xid8[]", "%s", "%s", "%s", "%s") " union all %s", "%s"), late,
        after, upto, filter, n, main, n);
    free(main);
    return both;
}

static void
ask_by_copy(struct reader *reader, int64_t now_us)
{
    const struct tick *tick = &reader->tick;
    char after[24], upto[24], lo[24], hi[24], n[24], bytes[24];
    snprintf(after, sizeof after, "%" PRId64, reader->after);
    snprintf(upto, sizeof upto, "%" PRId64, reader->upto);
    snprintf(lo, sizeof lo, "%" PRId64, tick->from.lo_id);
    snprintf(hi, sizeof hi, "%" PRId64, tick->hi_id);
    snprintf(n, sizeof n, "%" PRId64, reader->events);
    snprintf(bytes, sizeof bytes, "%" PRId64, reader->bytes);
    /* Snapshots, arrays of xids and numbers came from Postgres or from our own printing: digits, colons, commas, braces. */
    char *streams = must_format(
        SQL_PAGE_MAIN("%s", "%s", "%s::bigint", "%s", "'%" PRId64 "'::xid8", "'%s'::pg_snapshot", "%s", "%s"),
        after, lo, upto, hi, tick->from.w, tick->snapshot, reader->filter, n);
    if (tick->late_count > 0)
        streams = with_late(streams, tick->late, after, upto, reader->filter, n);
    const char *tables = reader->filter[0] != '\0' ? "outbox.event, outbox.dead_letter" : "outbox.event";
    char *sql =
        reader->cut
            ? must_format(SQL_COPY("%s", SQL_PAGE_CUT("%s", "%s", "%s")), tables, streams, n, bytes)
            : must_format(SQL_COPY("%s", SQL_PAGE_PLAIN("%s", SQL_NUMBER(LARGE_EVENT))), tables, streams);
    session_ask_copy(reader->session, sql, take_copy_row, reader, now_us);
    free(streams);
    free(sql);
}

static void
ask_by_statement(struct reader *reader, int64_t now_us)
{
    const struct tick *tick = &reader->tick;
    char after[24], upto[24], lo[24], hi[24], n[24], w[24], bytes[24];
    snprintf(after, sizeof after, "%" PRId64, reader->after);
    snprintf(upto, sizeof upto, "%" PRId64, reader->upto);
    snprintf(lo, sizeof lo, "%" PRId64, tick->from.lo_id);
    snprintf(hi, sizeof hi, "%" PRId64, tick->hi_id);
    snprintf(n, sizeof n, "%" PRId64, reader->events);
    snprintf(w, sizeof w, "%" PRId64, tick->from.w);
    snprintf(bytes, sizeof bytes, "%" PRId64, reader->bytes);
    const char *values[] = {tick->late, after, upto, n, lo, hi, w, tick->snapshot, bytes};
    session_ask_prepared(reader->session, "outboxd_page", 9, values, true, now_us);
}

/* So many events of average size fit; a tenth less, because what does not fit after all is sent in vain. */
static int64_t
within_bytes(int64_t events, int64_t average, int64_t bytes)
{
    int64_t fit = bytes / average * 9 / 10;
    fit = fit > 1 ? fit : 1;
    return fit < events ? fit : events;
}

void
reader_ask_page(struct reader *reader, int64_t events, int64_t bytes, int64_t now_us)
{
    CHECK(reader->has_more && reader->page == NULL);
    const struct tick *tick = &reader->tick;
    int64_t start = reader->after > tick->from.lo_id ? reader->after : tick->from.lo_id;
    bool filters = reader->filter[0] != '\0';
    reader->by_copy = filters || !reader->first || tick->hi_id - start > SMALL_TICK;
    reader->events = !reader->by_copy && events > SMALL_TICK ? SMALL_TICK : events;
    if (!reader->cut)
        reader->events = within_bytes(reader->events, reader->average, bytes);
    reader->bytes = bytes;
    if (reader->width == 0)
        reader->width = 4 * events;
    reader->upto = tick->hi_id;
    int64_t filtered = events * FILTERED_TIMES_EVENTS;
    if (filters) /* its events may be rare */
        reader->width = filtered > LEAST_FILTERED ? filtered : LEAST_FILTERED;
    if ((filters || tick->late_count > FEW_LATE) && tick->hi_id - reader->after > reader->width)
        reader->upto = reader->after + reader->width;
    reader->page = page_new(tick->seq);
    reader->page->tick_nonce = tick->nonce;
    reader->page->from_tick = tick->seq - 1;
    reader->totals = (struct row_totals){0};
    reader->row_error.kind = ERROR_NONE;
    if (reader->by_copy)
        ask_by_copy(reader, now_us);
    else
        ask_by_statement(reader, now_us);
}

void
reader_lost(struct reader *reader)
{
    if (reader == NULL)
        return;
    page_free(reader->page);
    reader->page = NULL;
}

/* Moves `after` over what the page held and decides whether the tick goes on. A page ends because of its rows, its bytes,
 * a large event, or because nothing more is there: only the last of these, at the end of the ids, finishes the tick. Bytes are counted
 * so that we never take a page for complete that the server cut: a header may have twice as many bytes in the server's
 * encoding as in UTF-8. */
static void
advance(struct reader *reader)
{
    const struct row_totals *totals = &reader->totals;
    bool full = totals->large || totals->rows >= reader->events ||
                totals->cost + totals->header_bytes * EVENT_HEADER_COST >= reader->bytes;
    int64_t before = reader->after;
    if (totals->rows > 0)
        reader->average = totals->cost / totals->rows;
    reader->cut = totals->large || totals->largest > LARGE_EVENT || reader->average == 0;
    if (!full)
        reader->after = reader->upto;
    else if (totals->rows > 0)
        reader->after = totals->last_id;
    reader->has_more = full || reader->upto < reader->tick.hi_id;
    reader->first = false;
    if (full && totals->rows > 0)
        reader->width = 2 * (reader->after - before);
    else if (totals->rows < reader->events / 2 && reader->width < INT64_MAX / 8)
        reader->width *= 4;
}

bool
reader_read_page(struct reader *reader, struct page **page, struct error *error)
{
    CHECK(reader->page != NULL);
    PGresult *result = session_answer(reader->session, error);
    bool good = result != NULL;
    for (int row = 0; good && !reader->by_copy && row < PQntuples(result); row++)
        good =
            row_from_result(result, row, reader->page, reader->topics, &reader->totals, &reader->row_error);
    PQclear(result);
    if (reader->row_error.kind != ERROR_NONE) {
        *error = reader->row_error;
        good = false;
    }
    if (!good) {
        reader_lost(reader);
        return error_prefix(error, "cannot read the events of tick %" PRId64, reader->tick.seq);
    }
    advance(reader);
    *page = reader->page;
    reader->page = NULL;
    (*page)->last_id = reader->after;
    (*page)->last_of_tick = !reader->has_more;
    return true;
}

int64_t
reader_page_cost(const struct reader *reader)
{
    return reader->totals.cost;
}
