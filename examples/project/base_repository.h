/* base_repository.h: what every repository of this program does: create a row, update a row. For tables whose key is a column
 * `id` that Postgres fills. Writes inside the unit of work that it is given and never ends it. */
#ifndef EXAMPLE_BASE_REPOSITORY_H
#define EXAMPLE_BASE_REPOSITORY_H

#include <outbox.h>

enum { ROW_ID_SIZE = 24, ROW_COLUMNS_MAX = 32 };

/* Names are quoted, so that any is safe; values travel beside the statement, never in it. */
struct column {
    const char *name;
    const char *value; /* as text; NULL is SQL's NULL */
};

/* Inserts a row of `count` columns, 1 to ROW_COLUMNS_MAX; `id` is the new row's, decimal. */
OUTBOX_MUST_CHECK bool row_create(struct outbox_unit *unit, const char *table, const struct column *columns,
                                  size_t count, char id[ROW_ID_SIZE], struct outbox_error *error);

/* Sets `count` columns of the row `id`; that there is none is a failure. */
OUTBOX_MUST_CHECK bool row_update(struct outbox_unit *unit, const char *table, const char *id,
                                  const struct column *columns, size_t count, struct outbox_error *error);

#endif
