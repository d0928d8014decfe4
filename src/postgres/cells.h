/* cells.h: the fields of a result in text format as values of C. Private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_CELLS_H
#define OUTBOXD_POSTGRES_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_result;

int64_t cell_number(const struct pg_result *result, int row, int column); /* null: 0 */
bool cell_truth(const struct pg_result *result, int row, int column);     /* null: false */

/* Copies, for free(3). */
char *cell_text(const struct pg_result *result, int row, int column);         /* null: "" */
char *cell_text_or_null(const struct pg_result *result, int row, int column); /* null: NULL */

/* Of a bytea, likewise; `size` bytes, and a NUL behind them. */
char *cell_bytes(const struct pg_result *result, int row, int column, size_t *size);

#endif
