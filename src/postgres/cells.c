/* cells.c: see cells.h. Called by whoever decodes an answer for a command. */
#include "postgres/cells.h"

#include "base/error.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

int64_t
cell_number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool
cell_truth(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

char *
cell_text(const PGresult *result, int row, int column)
{
    return must_strdup(PQgetvalue(result, row, column));
}

char *
cell_text_or_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : cell_text(result, row, column);
}

char *
cell_bytes(const PGresult *result, int row, int column, size_t *size)
{
    *size = 0;
    if (PQgetisnull(result, row, column))
        return NULL;
    unsigned char *bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(result, row, column), size);
    CHECK(bytes != NULL);
    char *copy = must_alloc(*size + 1);
    memcpy(copy, bytes, *size);
    copy[*size] = '\0';
    PQfreemem(bytes);
    return copy;
}
