/* journal_rows.c: the rows of older ticks: all behind one, a few of a round, and which of some there are. Called by the relay, when it reads
 * back what it or another has journalled. */
#include "postgres/journal.h"

#include "postgres/cells.h"
#include "postgres/numbers.h"

#include <libpq-fe.h>
#include <stdlib.h>

void
journal_ask_rows(struct session *session, const char *relay, int64_t seq, int limit, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {relay, number_text(&numbers, seq), number_text(&numbers, limit)};
    session_ask_prepared(session, "outboxd_rows", 3, values, false, now_us);
}

void
journal_ask_round(struct session *session, const char *relay, int64_t from_seq, int64_t to_seq,
                  int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {relay, number_text(&numbers, from_seq), number_text(&numbers, to_seq)};
    session_ask_prepared(session, "outboxd_round", 3, values, false, now_us);
}

bool
journal_read_rows(struct session *session, int64_t *epoch, struct journal_row **rows, size_t *count,
                  struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read the journal");
    *count = (size_t)PQntuples(result);
    *epoch = *count > 0 ? cell_number(result, 0, 0) : 0;
    if (*count > 0 &&
        PQgetisnull(result, 0, 1)) /* the newest row's epoch comes even when there is none of them */
        *count = 0;
    *rows = must_calloc(*count, sizeof **rows);
    for (size_t i = 0; i < *count; i++) {
        struct journal_row *row = &(*rows)[i];
        row->seq = cell_number(result, (int)i, 1);
        tick_edge_set(&row->edge, PQgetvalue(result, (int)i, 2), cell_number(result, (int)i, 3),
                      cell_number(result, (int)i, 4));
        row->hi_id = cell_number(result, (int)i, 5);
        row->nonce = cell_number(result, (int)i, 6);
    }
    PQclear(result);
    return true;
}

void
journal_rows_free(struct journal_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
}

void
journal_ask_names(struct session *session, const char *relay, const char *seqs, const char *sides,
                  int64_t now_us)
{
    const char *values[] = {relay, seqs, sides};
    session_ask_prepared(session, "outboxd_names", 3, values, false, now_us);
}

bool
journal_read_names(struct session *session, struct journal_known *known, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot look up ticks in the journal");
    int rows = PQntuples(result);
    *known = (struct journal_known){.names = must_calloc((size_t)rows + 1, sizeof *known->names)};
    if (rows > 0) {
        known->epoch = cell_number(result, 0, 0);
        known->rebased = cell_truth(result, 0, 3);
        known->sides = cell_truth(result, 0, 4);
    }
    for (int i = 0; i < rows; i++)
        if (!PQgetisnull(result, i, 1)) /* the newest row's epoch comes even when there is none of them */
            known->names[known->count++] =
                (struct journal_name){cell_number(result, i, 1), cell_number(result, i, 2)};
    PQclear(result);
    return true;
}
