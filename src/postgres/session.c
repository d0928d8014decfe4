/* session.c: begins a connection, sends one request at a time and hands out its answer; session_turn.c collects what
 * comes. Called by the relay's loop and by journal, reader and inspect; knows nothing of ticks or events. */
#include "postgres/session_parts.h"

#include "postgres/failure.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* The server cancels first; this is for a server that has stopped answering altogether. */
#define ANSWER_TIMEOUT_US (SESSION_STATEMENT_TIMEOUT_MS * INT64_C(1000) + 10 * INT64_C(1000000))

bool
session_new(struct session **session, const struct settings *settings, const char *application,
            struct error *error)
{
    struct dial *dial = NULL;
    if (!dial_new(&dial, settings, application, error))
        return false;
    *session = must_calloc(1, sizeof **session);
    (*session)->dial = dial;
    return true;
}

void
session_set_password(struct session *session, const char *password)
{
    dial_set_password(session->dial, password);
}

void
session_hide_environment(void)
{
    dial_hide_environment();
}

void
session_close(struct session *session)
{
    PQclear(session->result);
    session->result = NULL;
    session->sink = NULL;
    PQfinish(session->connection);
    session->connection = NULL;
    session->state = SESSION_CLOSED;
}

void
session_free(struct session *session)
{
    if (session == NULL)
        return;
    session_close(session);
    dial_free(session->dial);
    free(session);
}

void
session_lose(struct session *session, const char *what)
{
    failure_of_connection(session->connection, session->result, what, &session->error);
    if (session->farewell[0] != '\0')
        error_set(&session->error, session->error.kind, "%s: %s", what, session->farewell);
    session_close(session);
}

void
session_connect(struct session *session, int64_t now_us)
{
    CHECK(session->state == SESSION_CLOSED);
    session->connection = dial_begin(session->dial, now_us);
    session->set_up = false;
    session->farewell[0] = '\0';
    session->state = SESSION_CONNECTING;
    if (session->connection == NULL || PQstatus(session->connection) == CONNECTION_BAD)
        session_lose(session, "cannot connect to Postgres");
}

void
session_flush(struct session *session)
{
    int left = PQflush(session->connection);
    if (left < 0) {
        session_lose(session, "lost the connection to Postgres");
        return;
    }
    session->flushing = left > 0;
}

static void
begin_request(struct session *session, int sent, int64_t now_us)
{
    session->deadline_us = now_us + ANSWER_TIMEOUT_US;
    session->state = SESSION_BUSY;
    session->wait_cancelled = false;
    if (!sent) {
        session_lose(session, "lost the connection to Postgres");
        return;
    }
    session_flush(session);
}

void
session_ask(struct session *session, const char *sql, int64_t now_us)
{
    CHECK(session->state == SESSION_IDLE);
    begin_request(session, PQsendQuery(session->connection, sql), now_us);
}

void
session_ask_prepared(struct session *session, const char *name, int count, const char *const *values,
                     bool binary, int64_t now_us)
{
    CHECK(session->state == SESSION_IDLE);
    begin_request(session, PQsendQueryPrepared(session->connection, name, count, values, NULL, NULL, binary),
                  now_us);
}

void
session_ask_copy(struct session *session, const char *sql, session_row_sink *sink, void *context,
                 int64_t now_us)
{
    CHECK(session->state == SESSION_IDLE);
    session->sink = sink;
    session->sink_context = context;
    begin_request(session, PQsendQuery(session->connection, sql), now_us);
}

struct pg_result *
session_answer(struct session *session, struct error *error)
{
    CHECK(session->state == SESSION_ANSWERED);
    PGresult *result = session->result;
    session->result = NULL;
    session->state = SESSION_IDLE;
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_OUT)
        return result;
    failure_of_result(result, error);
    PQclear(result);
    return NULL;
}

void
session_forget(struct pg_result *result)
{
    PQclear(result);
}

enum session_state
session_state(const struct session *session)
{
    return session->state;
}

const struct error *
session_error(const struct session *session)
{
    return &session->error;
}

int
session_fd(const struct session *session)
{
    return session->connection != NULL ? PQsocket(session->connection) : -1;
}

short
session_events(const struct session *session)
{
    if (session->state == SESSION_CONNECTING)
        return dial_events(session->dial);
    if (session_is_copying(session))
        return 0; /* session_turn() says when to look */
    return session->flushing ? POLLIN | POLLOUT : POLLIN;
}

int
session_backend_pid(const struct session *session)
{
    return session->connection != NULL ? PQbackendPID(session->connection) : 0;
}

bool
session_durable(const struct session *session)
{
    return !session->wait_cancelled;
}

struct pg_conn *
session_connection(struct session *session)
{
    return session->connection;
}

void
session_name(char name[SESSION_NAME_SIZE], const char *relay, const char *holder)
{
    snprintf(name, SESSION_NAME_SIZE, "outboxd %.*s %.*s", SESSION_NAME_RELAY, relay, SESSION_NAME_HOLDER,
             holder);
}
