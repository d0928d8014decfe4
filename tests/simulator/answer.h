/* answer.h: what a statement answers: rows of cells, kept in the world's memory until the client takes them as libpq's result, or as
 * the rows of a COPY. */
#ifndef OUTBOXD_TESTS_SIMULATOR_ANSWER_H
#define OUTBOXD_TESTS_SIMULATOR_ANSWER_H

#include "postgres/session.h"
#include "simulator/database.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cell {
    const char *data; /* NULL: SQL NULL */
    size_t size;
};

struct answer {
    size_t columns;
    struct cell **cells;
    size_t count, capacity;
};

void answer_bytes(struct answer *answer, const void *data, size_t size);
void answer_text(struct answer *answer, const char *text);
void answer_number(struct answer *answer, int64_t number);
void answer_flag(struct answer *answer, bool flag);
void answer_null(struct answer *answer);
/* Binary, big-endian. */
void answer_int64(struct answer *answer, int64_t number);

/* A row of a page. `topic`: NULL: its own. `headers`: NULL, or JSON. `large`: it comes without its bytes. */
void answer_event(struct answer *answer, const struct row *row, const char *topic, const char *headers,
                  bool large);

/* To be freed by PQclear. */
struct pg_result *answer_result(const struct answer *answer, bool binary);
/* As COPY (FORMAT binary) sends it. */
void answer_copy(const struct answer *answer, session_row_sink *sink, void *context);

#endif
