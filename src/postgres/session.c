/* session.c: connects, sets the session up, sends one request at a time and collects its answer without blocking.
 * Called by the relay's loop and by journal, reader and inspect; knows nothing of ticks or events. */
#include "postgres/session.h"

#include "base/clock.h"
#include "postgres/dial.h"
#include "postgres/failure.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* The server cancels first; this is for a server that has stopped answering altogether. */
#define ANSWER_TIMEOUT_US (SESSION_STATEMENT_TIMEOUT_MS * INT64_C(1000) + 10 * INT64_C(1000000))
/* The server sends COPY rows in pieces of 8 KiB. Waking up for each costs both sides more than the rows in it; after this
 * time some hundred rows have come, and the socket still has room for more. */
#define COPY_REST_US 300
/* 16 KiB each, libpq's buffer: about a megabyte, or two milliseconds, then it is the producer's turn. */
#define READS_A_TURN 64

struct session {
    PGconn *connection;
    enum session_state state;
    bool set_up;   /* the first request on a connection is ours */
    bool flushing; /* the request is not wholly sent */
    bool dry;      /* of COPY rows: the socket had no more */
    struct dial *dial;
    int64_t deadline_us;
    PGresult *result;       /* of the request so far: the first error, else the latest */
    session_row_sink *sink; /* COPY rows go here; NULL: thrown away */
    void *sink_context;
    bool wait_cancelled; /* during the last request: its commit did not wait for the synchronous standbys */
    char farewell[256];  /* why the server ended the connection, when it said so */
    struct error error;
};

/* libpq calls this for what the server says unasked, from within PQconsumeInput and PQgetResult. */
static void
record_notice(void *context, const PGresult *notice)
{
    struct session *session = context;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == NULL || text == NULL)
        return;
    if (strcmp(severity, "WARNING") == 0)
        session->wait_cancelled = session->wait_cancelled || failure_is_cancelled_wait(notice);
    if (strcmp(severity, "FATAL") == 0)
        snprintf(session->farewell, sizeof session->farewell, "%s", text);
}

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

/* Notes why and closes; an error of the server that was kept says more than libpq's "connection closed". */
static void
lose(struct session *session, const char *what)
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
        lose(session, "cannot connect to Postgres");
}

/* A request is on its way out: what of it fits into the socket now. */
static void
flush(struct session *session)
{
    int left = PQflush(session->connection);
    if (left < 0) {
        lose(session, "lost the connection to Postgres");
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
        lose(session, "lost the connection to Postgres");
        return;
    }
    flush(session);
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

/* What depends on the server's version and so cannot travel in the start-up packet. */
static void
set_up(struct session *session, int64_t now_us)
{
    int version = PQserverVersion(session->connection);
    char sql[256];
    (void)PQsetnonblocking(session->connection, 1);
    snprintf(sql, sizeof sql, "set default_transaction_isolation = 'read committed';%s%s",
             version >= 140000 ? "set idle_session_timeout = 0;" : "",
             version >= 170000 ? "set transaction_timeout = 0;" : "");
    session->state = SESSION_IDLE;
    session_ask(session, sql, now_us);
}

static void
turn_connecting(struct session *session, int64_t now_us)
{
    switch (dial_turn(session->dial, &session->connection, now_us)) {
    case DIAL_WAITING:
        return;
    case DIAL_DONE:
        PQsetNoticeReceiver(session->connection, record_notice, session);
        set_up(session, now_us);
        return;
    case DIAL_REFUSED:
        lose(session, "cannot connect to Postgres");
        return;
    case DIAL_SILENT:
        lose(session, "cannot connect to Postgres: no answer in time");
    }
}

/* Keeps the first error of a request, else its latest result. */
static void
keep_result(struct session *session, PGresult *result)
{
    bool failed = session->result != NULL && PQresultStatus(session->result) == PGRES_FATAL_ERROR;
    if (failed) {
        PQclear(result);
        return;
    }
    PQclear(session->result);
    session->result = result;
}

/* Takes the rows that have come and counts them; true when more are expected. */
static bool
take_rows(struct session *session, int *taken)
{
    for (;;) {
        char *row = NULL;
        int size = PQgetCopyData(session->connection, &row, 1);
        if (size == 0)
            return true;
        if (size < 0)
            return false; /* -1: the end; -2: the result that follows says what went wrong */
        if (session->sink != NULL && !session->sink(session->sink_context, row, (size_t)size))
            session->sink = NULL;
        PQfreemem(row);
        ++*taken;
    }
}

static bool
is_copying(const struct session *session)
{
    return session->state == SESSION_BUSY && session->result != NULL &&
           PQresultStatus(session->result) == PGRES_COPY_OUT;
}

/* Empties the socket, so that the server need not wait for room in it; true when more rows are expected. */
static bool
read_rows(struct session *session)
{
    session->dry = false;
    for (int reads = 0; reads < READS_A_TURN && !session->dry; reads++) {
        int taken = 0;
        if (!PQconsumeInput(session->connection)) {
            lose(session, "lost the connection to Postgres");
            return true;
        }
        if (!take_rows(session, &taken))
            return false;
        session->dry = taken == 0;
    }
    return true;
}

static void
answered(struct session *session)
{
    session->sink = NULL;
    session->state = SESSION_ANSWERED;
    if (session->set_up)
        return;
    session->set_up = true;
    session->state = SESSION_IDLE;
    bool good = PQresultStatus(session->result) == PGRES_COMMAND_OK;
    if (!good) {
        lose(session, "cannot set the session up");
        return;
    }
    PQclear(session->result);
    session->result = NULL;
}

static void
turn_busy(struct session *session)
{
    int taken = 0;
    if (session->flushing)
        flush(session);
    if (is_copying(session) && read_rows(session))
        return;
    if (session->state != SESSION_BUSY)
        return;
    if (!PQconsumeInput(session->connection)) {
        lose(session, "lost the connection to Postgres");
        return;
    }
    while (!PQisBusy(session->connection)) {
        PGresult *result = PQgetResult(session->connection);
        if (result == NULL) {
            if (PQstatus(session->connection) == CONNECTION_BAD)
                lose(session, "lost the connection to Postgres");
            else
                answered(session);
            return;
        }
        keep_result(session, result);
        if (PQresultStatus(result) == PGRES_COPY_OUT && take_rows(session, &taken))
            return;
    }
}

int64_t
session_turn(struct session *session, int64_t now_us)
{
    switch (session->state) {
    case SESSION_CONNECTING:
        turn_connecting(session, now_us);
        break;
    case SESSION_BUSY:
        turn_busy(session);
        if (session->state == SESSION_BUSY && now_us >= session->deadline_us)
            lose(session, "lost Postgres: no answer in time");
        break;
    case SESSION_IDLE:
        /* a terminated backend says so without being asked */
        if (!PQconsumeInput(session->connection)) {
            (void)PQisBusy(session->connection); /* its last words are in the buffer */
            lose(session, "lost the connection to Postgres");
        }
        break;
    case SESSION_CLOSED:
    case SESSION_ANSWERED:
        break;
    }
    if (is_copying(session))
        return session->dry ? now_us + COPY_REST_US : now_us;
    if (session->state == SESSION_CONNECTING)
        return dial_deadline_us(session->dial);
    return session->state == SESSION_BUSY ? session->deadline_us : CLOCK_NEVER;
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
    if (is_copying(session))
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
