/* failure.c: makes the errors of liboutbox: from a text, from a result, from a lost connection. Called by every file of the
 * room; decides nothing. What Postgres says beyond its primary message is left out: the detail repeats rows. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>

OUTBOX_PRINTF(3, 0)
static bool
set(struct outbox_error *error, enum outbox_error_kind kind, const char *format, va_list arguments)
{
    if (error == NULL)
        return false;
    char
        text[sizeof error->message]; /* the arguments may be the error's own: "sign-up: %s", error->message */
    vsnprintf(text, sizeof text, format, arguments);
    memset(error, 0, sizeof *error);
    error->kind = kind;
    memcpy(error->message, text, sizeof text);
    return false;
}

bool
failure_set(struct outbox_error *error, enum outbox_error_kind kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(error, kind, format, arguments);
    va_end(arguments);
    return false;
}

bool
outbox_fail(struct outbox_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(error, OUTBOX_ERROR_WORK, format, arguments);
    va_end(arguments);
    return false;
}

bool
failure_missing(struct outbox_error *error, const char *what)
{
    return failure_set(error, OUTBOX_ERROR_USAGE, "%s is missing", what);
}

struct outbox_error *
failure_none(struct outbox_error *error, struct outbox_error *scratch)
{
    error = error != NULL ? error : scratch;
    memset(error, 0, sizeof *error);
    return error;
}

bool
failure_prefix(struct outbox_error *error, const char *format, ...)
{
    if (error == NULL)
        return false;
    char text[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text)
        return false;
    snprintf(text + length, sizeof text - (size_t)length, "%s", error->message);
    memcpy(error->message, text, sizeof text);
    return false;
}

static void
copy_field(char *to, size_t size, const PGresult *result, int field)
{
    const char *value = PQresultErrorField(result, field);
    snprintf(to, size, "%s", value != NULL ? value : "");
}

/* libpq's texts end in a newline and may have several lines; the first says what happened. */
static void
copy_first_line(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%.*s", (int)strcspn(text, "\n"), text);
}

bool
failure_of_result(struct outbox_error *error, PGconn *connection, const PGresult *result)
{
    if (error == NULL)
        return false;
    memset(error, 0, sizeof *error);
    error->kind = PQstatus(connection) == CONNECTION_OK ? OUTBOX_ERROR_SQL : OUTBOX_ERROR_CONNECTION;
    copy_field(error->sqlstate, sizeof error->sqlstate, result, PG_DIAG_SQLSTATE);
    copy_field(error->constraint, sizeof error->constraint, result, PG_DIAG_CONSTRAINT_NAME);
    copy_field(error->schema, sizeof error->schema, result, PG_DIAG_SCHEMA_NAME);
    copy_field(error->table, sizeof error->table, result, PG_DIAG_TABLE_NAME);
    copy_field(error->column, sizeof error->column, result, PG_DIAG_COLUMN_NAME);
    copy_field(error->message, sizeof error->message, result, PG_DIAG_MESSAGE_PRIMARY);
    if (error->message[0] == '\0')
        copy_first_line(error->message, sizeof error->message, PQerrorMessage(connection));
    if (error->message[0] == '\0')
        snprintf(error->message, sizeof error->message, "libpq gave no result and no reason");
    return false;
}

bool
outbox_fail_result(struct outbox_error *error, PGconn *connection, const PGresult *result)
{
    return failure_of_result(error, connection, result);
}

bool
failure_is_passing(const char *sqlstate)
{
    return strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0;
}
