/* failure.c: classifies failures of Postgres by SQLSTATE (Appendix A of its manual). Called where a statement or a
 * connection fails; logs nothing. */
#include "postgres/failure.h"

#include "postgres/conceal.h"

#include <libpq-fe.h>
#include <string.h>

struct known {
    const char *prefix; /* of the SQLSTATE: a class of two characters or a whole code */
    enum error_kind kind;
};

/* The first match counts. */
static const struct known table[] = {
    {"08P01", ERROR_UNUSABLE}, /* protocol violation: pgbouncer refuses start-up parameters with it */
    {"08", ERROR_RETRY},       /* connection exception */
    {"25006", ERROR_RETRY},    /* read-only: the primary became a standby */
    {"25P03", ERROR_RETRY},    /* idle in transaction: an administrator's hand */
    {"26000", ERROR_UNUSABLE}, /* prepared statement unknown: a pooler gave us another backend */
    {"40", ERROR_RETRY},       /* serialization failure, deadlock */
    {"53", ERROR_RETRY},       /* disk full, out of memory, too many connections */
    {"55P03", ERROR_RETRY},    /* lock not available */
    {"55006", ERROR_RETRY},    /* object in use */
    {"57", ERROR_RETRY},       /* shutdown, crash of a neighbour, statement time-out, cannot connect now */
    {"58", ERROR_RETRY},       /* system error: disk */
    {"72000", ERROR_RETRY},    /* snapshot too old */
    {"28", ERROR_UNUSABLE},    /* authentication */
    {"3D000", ERROR_UNUSABLE}, /* no such database */
    {"3F000", ERROR_UNUSABLE}, /* no such schema */
    {"42501", ERROR_UNUSABLE}, /* privilege */
    {"42P01", ERROR_UNUSABLE}, /* no such table */
    {"42703", ERROR_UNUSABLE}, /* no such column */
    {"42883", ERROR_UNUSABLE}, /* no such function */
    {"42704", ERROR_UNUSABLE}, /* no such object */
    {"XX", ERROR_RETRY},       /* internal error of the server: corruption or a bug; never ours to skip */
};

enum error_kind
failure_kind(const char *sqlstate)
{
    if (sqlstate == NULL || sqlstate[0] == '\0')
        return ERROR_RETRY; /* no code: the connection broke before the server could speak */
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strncmp(sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].kind;
    return ERROR_INTERNAL;
}

/* libpq's texts end in a newline and may span lines; ours are one line. */
static void
one_line(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = '\0';
    for (char *at = text; *at != '\0'; at++)
        if (*at == '\n' || *at == '\t')
            *at = ' ';
}

void
failure_of_result(const struct pg_result *result, struct error *error)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    if (message == NULL)
        message = PQresultErrorMessage(result);
    error_set(error, failure_kind(sqlstate), "%s%s%s%s%s%s%s%s%s",
              message[0] ? message : "no answer from Postgres", detail ? " (" : "", detail ? detail : "",
              detail ? ")" : "", hint ? "; " : "", hint ? hint : "", sqlstate ? " (SQLSTATE " : "",
              sqlstate ? sqlstate : "", sqlstate ? ")" : "");
    if (sqlstate != NULL)
        memcpy(error->sqlstate, sqlstate, sizeof error->sqlstate - 1), error->sqlstate[5] = '\0';
    one_line(error->message);
}

bool
failure_is_cancelled_wait(const struct pg_result *warning)
{
    const char *origin = PQresultErrorField(warning, PG_DIAG_SOURCE_FUNCTION);
    return origin == NULL || strcmp(origin, "SyncRepWaitForLSN") == 0;
}

static const char address_cure[] =
    "correct the port in postgres.conninfo; in a URI, write what is special in a "
    "password as %XX: / as %2F, @ as %40, ? as %3F";

static const char any_cure[] =
    "correct postgres.conninfo and postgres.password_file, or the server's pg_hba.conf";

/* A connection that was never made carries no SQLSTATE, only text: what a person must mend is told apart by it. Server
 * messages may be translated; what is not recognised is retried, which is never wrong. The first match counts. */
static const struct sign {
    const char *text, *cure;
} signs[] = {
    {"unsupported startup parameter",
     "postgres.conninfo: give the address of Postgres itself; applications may pool"},
    {"certificate verify failed",
     "the server's certificate has expired, is revoked, or is of another authority than sslrootcert in "
     "postgres.conninfo names: openssl s_client -starttls postgres -connect HOST:PORT -CAfile SSLROOTCERT"},
    {"does not match host name",
     "give one of these names as host in postgres.conninfo (hostaddr may give its address), or the server "
     "another certificate"},
    {"root certificate file",
     "name the file with the certificate of the server's authority in postgres.conninfo: sslrootcert=.."},
    {"does not support SSL", "switch TLS on in the server (ssl = on), or correct host and port in "
                             "postgres.conninfo"},
    {"does not support any SSL protocol version", "raise ssl_max_protocol_version of the server: outboxd "
                                                  "wants what its OpenSSL allows, TLS 1.2 by default"},
    {"invalid integer value", address_cure},
    {"invalid port number", address_cure},
    {"no pg_hba.conf entry", "let the user in from this address, in the server's pg_hba.conf"},
    {"no password supplied", "write the password into a file and name it in postgres.password_file"},
    {"authentication failed",
     "correct the user in postgres.conninfo and the password in postgres.password_file"},
    {"FATAL:  role \"", "correct the user in postgres.conninfo, or make it: outboxd migrate --conninfo ADMIN "
                        "--relay USER"},
    {"FATAL:  database \"", "correct dbname in postgres.conninfo, or create the database"},
    {"does not exist", any_cure},
    {"is not permitted to log in", any_cure},
    {"invalid value for parameter", any_cure},
};

static const struct sign *
find_sign(const char *text)
{
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (strstr(text, signs[i].text) != NULL)
            return &signs[i];
    return NULL;
}

const char *
failure_cure(const struct error *error)
{
    if (error->kind == ERROR_CONFIG)
        return "mend it in the configuration; the chapter on libpq in Postgres' manual lists the options";
    if (error->kind != ERROR_UNUSABLE)
        return "see that Postgres runs there, is no standby, and can be reached from here";
    const struct sign *sign = find_sign(error->message);
    return sign != NULL ? sign->cure : any_cure;
}

void
failure_of_connection(const struct pg_conn *connection, const struct pg_result *result, const char *what,
                      struct error *error)
{
    bool server_spoke = result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR;
    if (server_spoke) {
        failure_of_result(result, error);
        if (error->kind == ERROR_INTERNAL)
            error->kind = ERROR_RETRY;
        error_prefix(error, "%s", what);
        return;
    }
    const char *text = connection != NULL ? PQerrorMessage(connection) : "out of memory";
    error_set(error, find_sign(text) != NULL ? ERROR_UNUSABLE : ERROR_RETRY, "%s: %s", what,
              text[0] ? text : "the connection was closed");
    one_line(error->message);
    conceal_address(error->message);
    if (strstr(text, "unsupported startup parameter") != NULL)
        error_prefix(error, "a pooler stands between outboxd and Postgres (connect directly)");
}
