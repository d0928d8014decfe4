/* row.h: decodes one row of a page (id, created_at, topic, key, payload, headers, large; in binary) into an event. Private to
 * src/postgres. Formats: PostgreSQL manual, "COPY", Binary Format, and the types' send functions. */
#ifndef OUTBOXD_POSTGRES_ROW_H
#define OUTBOXD_POSTGRES_ROW_H

#include "base/error.h"
#include "event/page.h"

struct pg_result;

/* What came, also of topics that are passed over. */
struct row_totals {
    int64_t rows;
    int64_t cost;         /* as SQL_COST counts */
    int64_t header_bytes; /* in UTF-8 */
    int64_t last_id;
    int64_t largest; /* key or payload of the rows so far */
    bool all_topics; /* in: events of topics that are not selected are wanted too */
    bool again;      /* in: the stream has counted those that are not selected */
    bool large;      /* the next row came without its bytes: the page ends before it */
};

/* One CopyData message: the stream's head, a row, its trailer, or the head together with one of them. False with
 * ERROR_NONE: totals->large was set, nothing more is wanted. */
MUST_CHECK bool row_from_copy(const char *data, size_t size, struct page *page, struct topic_table *topics,
                              struct row_totals *totals, struct error *error);

/* One row of a result in binary format. */
MUST_CHECK bool row_from_result(const struct pg_result *result, int row, struct page *page,
                                struct topic_table *topics, struct row_totals *totals, struct error *error);

#endif
