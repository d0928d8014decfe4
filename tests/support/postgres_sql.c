/* postgres_sql.c: statements for tests (postgres.h): a server's error ends the test with the server's words.
 */
#include "support/postgres.h"

#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PGconn *
postgres_connect(const char *conninfo)
{
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        test_fail("%s: %s", conninfo, PQerrorMessage(connection));
    return connection;
}

PGconn *
postgres_open(struct postgres *postgres, const char *database, const char *user)
{
    return postgres_connect(postgres_conninfo(postgres, database, user));
}

static char *statement_format(const char *format, va_list arguments) PRINTF_LIKE(1, 0);

static char *
statement_format(const char *format, va_list arguments)
{
    char *statement = NULL;
    if (vasprintf(&statement, format, arguments) < 0)
        test_fail("out of memory");
    return statement;
}

static PGresult *
statement_run(PGconn *connection, const char *statement)
{
    PGresult *result = PQexec(connection, statement);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        test_fail("%s: %s", statement, PQerrorMessage(connection));
    return result;
}

void
postgres_exec(PGconn *connection, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *statement = statement_format(format, arguments);
    va_end(arguments);
    PQclear(statement_run(connection, statement));
    free(statement);
}

static char *
first_value(PGconn *connection, const char *statement)
{
    PGresult *result = statement_run(connection, statement);
    char *value = NULL;
    if (PQntuples(result) > 0 && PQnfields(result) > 0 && !PQgetisnull(result, 0, 0))
        value = must_strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

int64_t
postgres_int(PGconn *connection, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *statement = statement_format(format, arguments);
    va_end(arguments);
    char *value = first_value(connection, statement), *end = NULL;
    int64_t number = value ? strtoll(value, &end, 10) : 0;
    if (value == NULL || end == value || *end != '\0')
        test_fail("%s: gave %s, not an integer", statement, value ? value : "nothing");
    free(value);
    free(statement);
    return number;
}

char *
postgres_text(PGconn *connection, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *statement = statement_format(format, arguments);
    va_end(arguments);
    char *value = first_value(connection, statement);
    free(statement);
    return value;
}

const char *
postgres_sqlstate(PGconn *connection, const char *format, ...)
{
    static _Thread_local char sqlstate[6];
    va_list arguments;
    va_start(arguments, format);
    char *statement = statement_format(format, arguments);
    va_end(arguments);
    PGresult *result = PQexec(connection, statement);
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    ExecStatusType status = PQresultStatus(result);
    if (code == NULL && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        test_fail("%s: no SQLSTATE: %s", statement, PQerrorMessage(connection));
    snprintf(sqlstate, sizeof sqlstate, "%s", code ? code : "00000");
    PQclear(result);
    free(statement);
    return sqlstate;
}
