/* dial.h: how the database is reached: the user's conninfo, with our defaults before it and what is not negotiable after it.
 * Private to src/postgres; used by session.c. */
#ifndef OUTBOXD_POSTGRES_DIAL_H
#define OUTBOXD_POSTGRES_DIAL_H

#include "base/error.h"
#include "config/settings.h"

struct dial;
struct pg_conn;

/* Checks the conninfo; ERROR_CONFIG in libpq's words, without any secret. */
MUST_CHECK bool dial_new(struct dial **dial, const struct settings *settings, struct error *error);

/* Of the next connections; NULL: libpq's own ways. Copied. */
void dial_set_password(struct dial *dial, const char *password);

/* Wipes the password. NULL is allowed. */
void dial_free(struct dial *dial);

/* PQconnectStart: begins a connection that PQconnectPoll goes on with. NULL when memory is out. */
struct pg_conn *dial_start(const struct dial *dial);

#endif
