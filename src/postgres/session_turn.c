/* session_turn.c: what comes from the server: the end of connecting, rows and results, and its last words. Called through
 * session_turn(); sends nothing but the set-up of a new session, and never blocks. */
#include "postgres/session_parts.h"

#include "base/clock.h"
#include "postgres/failure.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

/* The server sends COPY rows in pieces of 8 KiB. Waking up for each costs both sides more than the rows in it; after this
 * time some hundred rows have come, and the socket still has room for more. */
#define COPY_REST_US 300
/* 16 KiB each, libpq's buffer: about a megabyte, or two milliseconds, then it is the producer's turn. */
#define READS_A_TURN 64

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
        session_lose(session, "cannot connect to Postgres");
        return;
    case DIAL_SILENT:
        session_lose(session, "cannot connect to Postgres: no answer in time");
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

/* Empties the socket, so that the server need not wait for room in it; true when more rows are expected. */
static bool
read_rows(struct session *session)
{
    session->dry = false;
    for (int reads = 0; reads < READS_A_TURN && !session->dry; reads++) {
        int taken = 0;
        if (!PQconsumeInput(session->connection)) {
            session_lose(session, "lost the connection to Postgres");
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
        session_lose(session, "cannot set the session up");
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
        session_flush(session);
    if (session_is_copying(session) && read_rows(session))
        return;
    if (session->state != SESSION_BUSY)
        return;
    if (!PQconsumeInput(session->connection)) {
        session_lose(session, "lost the connection to Postgres");
        return;
    }
    while (!PQisBusy(session->connection)) {
        PGresult *result = PQgetResult(session->connection);
        if (result == NULL) {
            if (PQstatus(session->connection) == CONNECTION_BAD)
                session_lose(session, "lost the connection to Postgres");
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
            session_lose(session, "lost Postgres: no answer in time");
        break;
    case SESSION_IDLE:
        /* a terminated backend says so without being asked */
        if (!PQconsumeInput(session->connection)) {
            (void)PQisBusy(session->connection); /* its last words are in the buffer */
            session_lose(session, "lost the connection to Postgres");
        }
        break;
    case SESSION_CLOSED:
    case SESSION_ANSWERED:
        break;
    }
    if (session_is_copying(session))
        return session->dry ? now_us + COPY_REST_US : now_us;
    if (session->state == SESSION_CONNECTING)
        return dial_deadline_us(session->dial);
    return session->state == SESSION_BUSY ? session->deadline_us : CLOCK_NEVER;
}

bool
session_is_copying(const struct session *session)
{
    return session->state == SESSION_BUSY && session->result != NULL &&
           PQresultStatus(session->result) == PGRES_COPY_OUT;
}
