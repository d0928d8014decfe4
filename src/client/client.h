/* client.h: what the files of liboutbox share; nothing of it is exported. A connection that has had a unit carries one
 * `struct watch`, libpq's instance data of the event procedure in watch.c; the watch points to the unit while one is open.
 *
 *                 begin                      a joined work fails
 *     (no unit) ──────────► UNIT_OPEN ───────────────────────────► UNIT_DOOMED
 *                            │   ▲                                   │
 *                            │   └──── rollback to a savepoint that ─┘
 *     COMMIT, ROLLBACK or    │         is older than the doom
 *     PREPARE by the work,   ▼
 *     the connection lost   UNIT_ENDED       commit: only from UNIT_OPEN; rollback: from any
 */
#ifndef OUTBOX_CLIENT_H
#define OUTBOX_CLIENT_H

#include "outbox.h"

struct outbox_unit;

/* A variable with this is given to `end` when it goes out of scope: also when the stack unwinds, by a C++ exception or by
 * pthread_cancel, for which the room is compiled with -fexceptions. */
#define UNWOUND(end) __attribute__((cleanup(end)))

/* One for each connection, made at its first unit, freed with the connection. */
struct watch {
    struct outbox_unit *unit; /* NULL: none is open */
    bool ours;                /* a statement of the library is running: its BEGIN and COMMIT are expected */
};

enum unit_state { UNIT_OPEN, UNIT_DOOMED, UNIT_ENDED };

struct outbox_unit {
    PGconn *connection;
    struct watch *watch;
    struct outbox_options options;
    enum unit_state state;
    struct outbox_error why; /* of UNIT_DOOMED and UNIT_ENDED */
    unsigned depth;          /* open savepoints of outbox_optional */
    unsigned doomed_depth;   /* UNIT_DOOMED: rolling back a savepoint of this depth or less heals it */
    unsigned works;          /* that are running: the unit ends after them, not inside */
    bool rolled_back;        /* the work sent a ROLLBACK: of a savepoint, or of everything; to be looked at */
    bool strayed; /* it sent COMMIT, something behind a ROLLBACK, or what cannot be seen: perhaps committed */
    bool may_write;              /* it sent a SET or BEGIN, which can make a read-only transaction write */
    struct outbox_error refused; /* what the server refused last, within the innermost outbox_optional */
    int64_t deadline_us;         /* monotonic; CLOCK_NEVER: none */
    uint64_t xid;                /* of the transaction; 0: not known, perhaps not assigned */
};

/* ---- failure.c: errors are made there; each returns false -------------------------------------------------------- */

bool failure_set(struct outbox_error *error, enum outbox_error_kind kind, const char *format, ...)
    OUTBOX_PRINTF(3, 4);

/* OUTBOX_ERROR_USAGE: what the call needs was NULL. */
bool failure_missing(struct outbox_error *error, const char *what);

/* The caller's error, or `scratch` when it wants none; empty, as a call that succeeds leaves it. */
struct outbox_error *failure_none(struct outbox_error *error, struct outbox_error *scratch);

/* Puts a text in front of the message. */
bool failure_prefix(struct outbox_error *error, const char *format, ...) OUTBOX_PRINTF(2, 3);

/* OUTBOX_ERROR_SQL from a result, or OUTBOX_ERROR_CONNECTION when the connection is lost. */
bool failure_of_result(struct outbox_error *error, PGconn *connection, const PGresult *result);

/* A deadlock or a serialization failure: running all of it again may help. */
bool failure_is_passing(const char *sqlstate);

/* ---- watch.c ------------------------------------------------------------------------------------------------------- */

/* The watch of a connection; NULL when it never had a unit. */
struct watch *watch_find(PGconn *connection);

/* The same, made when there is none; NULL when memory is out. */
struct watch *watch_make(PGconn *connection);

/* ---- wire.c: statements of the library, within the unit's deadline ------------------------------------------------ */

struct statement {
    const char *sql;
    int count; /* of parameters; 0 with values NULL: a simple query, which may hold several statements */
    const Oid *types;
    const char *const *values;
    const int *lengths;
    const int *formats;
    bool theirs; /* the application's: watch.c looks at what it does to the transaction */
};

/* The last result, which the caller clears, also one that is an error of the server. NULL: the connection is lost
 * (OUTBOX_ERROR_CONNECTION) or the deadline has passed (OUTBOX_ERROR_TIMEOUT; the connection was cut). */
PGresult *wire_run(struct outbox_unit *unit, const struct statement *statement, struct outbox_error *error);

/* wire_run for a statement that has to succeed: the error is the server's too. `result` may be NULL. */
bool wire_must(struct outbox_unit *unit, const struct statement *statement, PGresult **result,
               struct outbox_error *error);

/* Reads to its end what the work has left running, a pipeline included, so that watch.c sees it; the results are thrown away.
 * False: its end was not seen within the deadline, or a second from now. */
bool wire_drain(struct outbox_unit *unit);

/* Sends a piece of COPY data, at most INT_MAX bytes. */
bool wire_copy(struct outbox_unit *unit, const char *data, size_t size, struct outbox_error *error);

/* Ends the COPY, by failing it for the reason `abort` unless that is NULL, and takes the server's answer, good or bad, which
 * the caller clears. False: there is none, the connection is lost or late. */
bool wire_copy_end(struct outbox_unit *unit, const char *abort, PGresult **result,
                   struct outbox_error *error);

/* Whether a statement was ended by the unit's statement_timeout: it is late, not wrong. */
bool wire_ended_late(const struct outbox_unit *unit, const char *sqlstate);

/* OUTBOX_ERROR_TIMEOUT. Returns false. */
bool wire_fail_late(struct outbox_error *error);

/* The error of a result that is not what was wanted: the deadline's, when the server ended the statement for it. Returns false. */
bool wire_fail(struct outbox_unit *unit, const PGresult *result, struct outbox_error *error);

/* Makes libpq and the server see the connection as lost: what is open there is rolled back. */
void wire_cut(PGconn *connection);

/* ---- unit.c -------------------------------------------------------------------------------------------------------- */

/* Whether a statement may run in the unit now, which may be NULL: else false with why. May ask the server when a ROLLBACK was
 * seen. */
bool unit_usable(struct outbox_unit *unit, struct outbox_error *error);

/* The edges of the state diagram; the first reason stays, but that something may be committed is worse than any other. */
void unit_doom(struct outbox_unit *unit, const struct outbox_error *why);
void unit_heal(struct outbox_unit *unit);
void unit_end(struct outbox_unit *unit, const struct outbox_error *why);

/* unit_end with an error made from a text. */
void unit_end_for(struct outbox_unit *unit, enum outbox_error_kind kind, const char *why);

/* Sees an end behind the unit's back: the connection is gone (`lost`: something else than its status says so), or the
 * transaction is over. */
void unit_note_end(struct outbox_unit *unit, bool lost);

/* outbox_begin with a deadline that began earlier. */
struct outbox_unit *unit_begin(PGconn *connection, const struct outbox_options *options, int64_t deadline_us,
                               struct outbox_error *error);

/* ---- work.c -------------------------------------------------------------------------------------------------------- */

/* Reads to its end what was left running, and sees an end that the work has brought about: before every judgement. */
void work_settle(struct outbox_unit *unit);

/* Runs a work and judges what it left. False with the error filled: it said no, or the unit is not usable any more. When the
 * stack unwinds through the work, the unit is doomed; who called work_run undoes it, by UNWOUND. */
bool work_run(struct outbox_unit *unit, outbox_work *work, void *context, struct outbox_error *error);

/* ---- encode.c ------------------------------------------------------------------------------------------------------ */

/* The headers of an event as a JSON object in ASCII, right under every client encoding; NULL for none. The caller frees it. */
bool encode_headers(const struct outbox_event *event, char **json, struct outbox_error *error);

/* What can be wrong with an event before Postgres sees it. */
bool encode_check(const struct outbox_event *event, struct outbox_error *error);

#endif
