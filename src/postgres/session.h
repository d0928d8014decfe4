/* session.h: one asynchronous connection to Postgres that does one request at a time. The relay sends a request, goes on
 * with its loop, and reads the answer when session_turn() says it is complete. Nothing here waits for the server (only a
 * host name that must be resolved can make session_connect() wait, as long as the resolver does).
 *
 *   CLOSED --connect--> CONNECTING --> IDLE <--> BUSY --> ANSWERED --session_answer/..discard--> IDLE
 *      ^                    |           |          |
 *      +--------------------+-----------+----------+---- lost (session_error() says why)            */
#ifndef OUTBOXD_POSTGRES_SESSION_H
#define OUTBOXD_POSTGRES_SESSION_H

#include "base/error.h"
#include "config/settings.h"

#include <stdint.h>

struct pg_conn;
struct pg_result;
struct session;

enum session_state { SESSION_CLOSED, SESSION_CONNECTING, SESSION_IDLE, SESSION_BUSY, SESSION_ANSWERED };

/* Checks the conninfo (ERROR_CONFIG, libpq's words without any secret); does not connect. `application` is what the server calls
 * the session unless the conninfo or the environment has an application_name. */
MUST_CHECK bool session_new(struct session **session, const struct settings *settings,
                            const char *application, struct error *error);
void session_free(struct session *session); /* NULL is allowed; closes */

/* The password of the next connections; NULL: libpq's own ways. Copied. */
void session_set_password(struct session *session, const char *password);

/* PGPASSWORD goes on being used by libpq, as the default that it is, and is seen in the process's environment no more (ps e,
 * /proc/PID/environ). Once, before there are threads. */
void session_hide_environment(void);

/* CLOSED -> CONNECTING, to the primary among the hosts of the conninfo; one that is silent loses its turn. Every setting that
 * a role or a database could have turned against us travels in the start-up packet, so that it holds from the first statement. */
void session_connect(struct session *session, int64_t now_us);

/* Any state -> CLOSED, at once; what was asked is lost. */
void session_close(struct session *session);

enum session_state session_state(const struct session *session);

/* Why the session was last lost; its kind is ERROR_RETRY for what heals by itself and ERROR_UNUSABLE for what does not
 * (wrong password, unknown database, a pooler in between). */
const struct error *session_error(const struct session *session);

/* For poll(2): -1 when CLOSED. */
int session_fd(const struct session *session);
short session_events(const struct session *session);

/* Reads what has come; returns the deadline (microseconds) at which it wants to be called again whatever happens. */
int64_t session_turn(struct session *session, int64_t now_us);

/* Backend process id, 0 before IDLE. It changes only when the session was lost, or when a pooler is in between. */
int session_backend_pid(const struct session *session);

/* The application name of a relay's session, by which `outboxd status` finds the processes of a relay: "outboxd main 0123abcd",
 * the relay and the beginning of the holder. The server cuts names at 63 bytes, so a long relay name is cut before. */
#define SESSION_NAME_SIZE 64
#define SESSION_NAME_RELAY 46
#define SESSION_NAME_HOLDER 8
void session_name(char name[SESSION_NAME_SIZE], const char *relay, const char *holder);

/* ---- for the room's own files (journal, reader, inspect) ---- */

/* IDLE -> BUSY. `sql` may hold several statements (the answer is that of the last one, or the first error). */
void session_ask(struct session *session, const char *sql, int64_t now_us);

/* IDLE -> BUSY. Runs a statement made by SQL PREPARE; parameters as text (NULL = SQL NULL). `binary`: result format. */
void session_ask_prepared(struct session *session, const char *name, int count, const char *const *values,
                          bool binary, int64_t now_us);

/* IDLE -> BUSY. `sql` is COPY .. TO STDOUT: each row goes to `sink` from within session_turn; when it returns false the
 * rest is read and thrown away. The row is valid during the call only. */
typedef bool session_row_sink(void *context, const char *row, size_t size);
void session_ask_copy(struct session *session, const char *sql, session_row_sink *sink, void *context,
                      int64_t now_us);

/* ANSWERED -> IDLE. The result (to be freed by PQclear), or NULL with the server's error: SQLSTATE, kind, and the message
 * with detail and hint. */
struct pg_result *session_answer(struct session *session, struct error *error);

/* Frees a result of session_answer; NULL is allowed. */
void session_forget(struct pg_result *result);

/* False when the server stopped waiting for its synchronous standbys during the last request: what was committed is visible,
 * but not durable as promised (I3). */
bool session_durable(const struct session *session);

struct pg_conn *session_connection(struct session *session);

/* Milliseconds a single statement may take before the server cancels it: longer than the first step after a long outage
 * needs, short enough that a stuck server is noticed. */
#define SESSION_STATEMENT_TIMEOUT_MS 120000

#endif
