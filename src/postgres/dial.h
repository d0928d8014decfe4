/* dial.h: how the database is reached: the user's conninfo, with our defaults before it and what is not negotiable after it.
 * Private to src/postgres; used by session.c. */
#ifndef OUTBOXD_POSTGRES_DIAL_H
#define OUTBOXD_POSTGRES_DIAL_H

#include "base/error.h"
#include "config/settings.h"

#include <stdint.h>

struct dial;
struct pg_conn;

/* Checks the conninfo; ERROR_CONFIG in libpq's words, without any secret. `application` as in session_new(). */
MUST_CHECK bool dial_new(struct dial **dial, const struct settings *settings, const char *application,
                         struct error *error);

/* Of the next connections; NULL: libpq's own ways. Copied. */
void dial_set_password(struct dial *dial, const char *password);

/* See session.h. */
void dial_hide_environment(void);

/* Wipes the password. NULL is allowed. */
void dial_free(struct dial *dial);

enum dial_state {
    DIAL_WAITING, /* for the socket, or for the deadline */
    DIAL_DONE,    /* connected */
    DIAL_REFUSED, /* libpq says why */
    DIAL_SILENT   /* no server has answered in time */
};

/* Begins a connection, which is the caller's to finish; NULL or bad when it cannot even begin. Of several servers (hosts of
 * the conninfo, the environment or a service file) the one after the last that was silent or ended the attempt comes first. */
struct pg_conn *dial_begin(struct dial *dial, int64_t now_us);

/* Goes on; never waits. A server that is silent for too long loses its turn: then the connection is finished, and another
 * one stands in its place. Each server has one turn at most, until the next dial_begin. */
enum dial_state dial_turn(struct dial *dial, struct pg_conn **connection, int64_t now_us);

/* For poll(2), and when to call dial_turn() whatever happens. */
short dial_events(const struct dial *dial);
int64_t dial_deadline_us(const struct dial *dial);

/* How long a server may be silent when the conninfo has no connect_timeout: the only one, and one of several, for the next may
 * be well. (libpq itself minds connect_timeout only where it may block; it counts in seconds, here up to a minute.) */
#define DIAL_ALONE_US (15 * INT64_C(1000000))
#define DIAL_ONE_OF_SEVERAL_US (5 * INT64_C(1000000))
#define DIAL_LONGEST_S 60

#endif
