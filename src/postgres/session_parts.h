/* session_parts.h: the session's whole state, shared by session.c and session_turn.c only. */
#ifndef OUTBOXD_POSTGRES_SESSION_PARTS_H
#define OUTBOXD_POSTGRES_SESSION_PARTS_H

#include "postgres/dial.h"
#include "postgres/session.h"

struct session {
    struct pg_conn *connection;
    enum session_state state;
    bool set_up;   /* the first request on a connection is ours */
    bool flushing; /* the request is not wholly sent */
    bool dry;      /* of COPY rows: the socket had no more */
    struct dial *dial;
    int64_t deadline_us;
    struct pg_result *result; /* of the request so far: the first error, else the latest */
    session_row_sink *sink;   /* COPY rows go here; NULL: thrown away */
    void *sink_context;
    bool wait_cancelled; /* during the last request: its commit did not wait for the synchronous standbys */
    char farewell[256];  /* why the server ended the connection, when it said so */
    struct error error;
};

/* session.c: notes why and closes; an error of the server that was kept says more than libpq's "connection closed". */
void session_lose(struct session *session, const char *what);
/* session.c: a request is on its way out: what of it fits into the socket now. */
void session_flush(struct session *session);

/* session_turn.c */
bool session_is_copying(const struct session *session);

#endif
