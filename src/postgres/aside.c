/* aside.c: see aside.h. Called by the leader only; the SQL is in statements.h and schema/005_aside.sql. */
#include "postgres/aside.h"

#include "base/fields.h"
#include "postgres/cells.h"
#include "postgres/numbers.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <string.h>

void
aside_ask_put(struct session *session, const struct journal_row_next *next, const char *text, int64_t now_us)
{
    journal_ask_append(session, "outboxd_put_aside", next, 1, &text, now_us);
}

static char *
refusal_text(const struct aside_refusal *refused)
{
    if (refused == NULL)
        return NULL;
    json_t *object = json_pack("{s:I, s:I, s:b}", "id", (json_int_t)refused->event_id, "count",
                               (json_int_t)refused->count, "copy", (int)refused->copy);
    fields_set_text(object, "error", refused->error);
    fields_set_text(object, "message", refused->message);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

void
aside_ask_settle(struct session *session, const struct journal_row_next *next, int64_t number,
                 int64_t progress, int64_t events, const char *outcome, const struct aside_refusal *refused,
                 int64_t now_us)
{
    struct numbers numbers = {0};
    char *text = refusal_text(refused);
    const char *more[] = {number_text(&numbers, number), number_text(&numbers, progress),
                          number_text(&numbers, events), outcome, text};
    journal_ask_append(session, "outboxd_settle", next, 5, more, now_us);
    free(text);
}

void
aside_ask_settle_topic(struct session *session, const struct journal_row_next *next, int64_t number,
                       int64_t progress, int64_t new_to, const struct outcome *why, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *more[] = {number_text(&numbers, number), number_text(&numbers, progress),
                          number_or_null(&numbers, new_to), why != NULL ? why->name : NULL,
                          why != NULL ? why->message : NULL};
    journal_ask_append(session, "outboxd_settle_topic", next, 5, more, now_us);
}

void
aside_ask_apply(struct session *session, const struct journal_row_next *next, int64_t number,
                int64_t progress, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *more[] = {number_text(&numbers, number), number_text(&numbers, progress)};
    journal_ask_append(session, "outboxd_apply", next, 2, more, now_us);
}

/* ---- reading back ---- */

static void
read_digest(const PGresult *result, int row, int column, unsigned char digest[KEY_DIGEST_SIZE])
{
    size_t size = 0;
    unsigned char *bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(result, row, column), &size);
    CHECK(bytes != NULL && size == KEY_DIGEST_SIZE);
    memcpy(digest, bytes, size);
    PQfreemem(bytes);
}

void
aside_ask_holds(struct session *session, const char *relay, int64_t after, int64_t rows, int64_t bytes,
                int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {relay, number_text(&numbers, after), number_text(&numbers, rows),
                            number_text(&numbers, bytes)};
    session_ask_prepared(session, "outboxd_holds", 4, values, false, now_us);
}

bool
aside_read_holds(struct session *session, aside_visit_hold *visit, void *context, int *count,
                 struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read what dead letters hold");
    *count = PQntuples(result);
    for (int row = 0; row < *count; row++) {
        struct aside_hold hold = {.number = cell_number(result, row, 0),
                                  .tick = cell_number(result, row, 1),
                                  .event_id = cell_number(result, row, 2),
                                  .topic = PQgetvalue(result, row, 3),
                                  .held_tick = cell_number(result, row, 5)};
        read_digest(result, row, 4, hold.key);
        visit(context, &hold);
    }
    PQclear(result);
    return true;
}

void
aside_ask_ahead(struct session *session, const char *relay, struct aside_place after, int64_t rows,
                int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {relay, number_text(&numbers, after.tick), number_text(&numbers, after.event_id),
                            number_text(&numbers, rows)};
    session_ask_prepared(session, "outboxd_ahead", 4, values, false, now_us);
}

bool
aside_read_ahead(struct session *session, aside_visit_place *visit, void *context, int *count,
                 struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read the dead letters");
    *count = PQntuples(result);
    for (int row = 0; row < *count; row++)
        visit(context, (struct aside_place){cell_number(result, row, 0), cell_number(result, row, 1)});
    PQclear(result);
    return true;
}
