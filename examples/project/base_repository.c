/* base_repository.c: see base_repository.h. A statement is written from names alone, each quoted by libpq; the values are its
 * parameters. */
#include "base_repository.h"

#include <stdio.h>
#include <stdlib.h>

/* A statement that is being written. */
struct writer {
    FILE *to;
    PGconn *db; /* knows the encoding, which quoting depends on */
    bool bad;   /* a name that cannot be quoted, or no memory */
};

static void
write_name(struct writer *writer, const char *name)
{
    char *quoted = PQescapeIdentifier(writer->db, name, strlen(name));
    if (quoted == NULL || fputs(quoted, writer->to) == EOF)
        writer->bad = true;
    PQfreemem(quoted);
}

static void
write_insert(struct writer *writer, const char *table, const struct column *columns, size_t count)
{
    fputs("insert into ", writer->to);
    write_name(writer, table);
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? " (" : ", ", writer->to);
        write_name(writer, columns[i].name);
    }
    for (size_t i = 0; i < count; i++)
        fprintf(writer->to, "%s$%zu", i == 0 ? ") values (" : ", ", i + 1);
    fputs(") returning id", writer->to);
}

/* The id is the parameter behind the columns' values. */
static void
write_update(struct writer *writer, const char *table, const struct column *columns, size_t count)
{
    fputs("update ", writer->to);
    write_name(writer, table);
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? " set " : ", ", writer->to);
        write_name(writer, columns[i].name);
        fprintf(writer->to, " = $%zu", i + 1);
    }
    fprintf(writer->to, " where id = $%zu returning id", count + 1);
}

/* The statement's text, which the caller frees; `id` NULL: an insert. */
static char *
write_statement(PGconn *db, const char *table, const char *id, const struct column *columns, size_t count)
{
    char *sql = NULL;
    size_t size;
    struct writer writer = {.to = open_memstream(&sql, &size), .db = db};
    if (writer.to == NULL)
        return NULL;
    if (id == NULL)
        write_insert(&writer, table, columns, count);
    else
        write_update(&writer, table, columns, count);
    if (fclose(writer.to) == 0 && !writer.bad)
        return sql;
    free(sql);
    return NULL;
}

static bool
run_statement(struct outbox_unit *unit, const char *table, const char *id, const struct column *columns,
              size_t count, PGresult **result, struct outbox_error *error)
{
    const char *values[ROW_COLUMNS_MAX + 1];
    if (count == 0 || count > ROW_COLUMNS_MAX)
        return outbox_fail(error, "a row of %s with %zu columns: 1 to %d can be written", table, count,
                           ROW_COLUMNS_MAX);
    for (size_t i = 0; i < count; i++)
        values[i] = columns[i].value;
    values[count] = id;
    char *sql = write_statement(outbox_connection(unit), table, id, columns, count);
    if (sql == NULL)
        return outbox_fail(error, "no statement for %s: a name that is not text, or no memory", table);
    bool done = outbox_query(unit, sql, (int)count + (id != NULL), values, result, error);
    free(sql);
    return done;
}

bool
row_create(struct outbox_unit *unit, const char *table, const struct column *columns, size_t count,
           char id[ROW_ID_SIZE], struct outbox_error *error)
{
    PGresult *result;
    if (!run_statement(unit, table, NULL, columns, count, &result, error))
        return false;
    snprintf(id, ROW_ID_SIZE, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return true;
}

bool
row_update(struct outbox_unit *unit, const char *table, const char *id, const struct column *columns,
           size_t count, struct outbox_error *error)
{
    PGresult *result;
    if (!run_statement(unit, table, id, columns, count, &result, error))
        return false;
    bool found = PQntuples(result) == 1;
    PQclear(result);
    return found || outbox_fail(error, "%s %s is not there", table, id);
}
