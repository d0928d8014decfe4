/* backlog.h: how long the oldest event waits that is not confirmed, asked of the database itself: for a leader that is paused by hand, and so
 * reads nothing. A pair as in journal.h: ask (session IDLE -> BUSY), then read (session ANSWERED -> IDLE). */
#ifndef OUTBOXD_POSTGRES_BACKLOG_H
#define OUTBOXD_POSTGRES_BACKLOG_H

#include "postgres/journal.h"

/* Of the events that `confirmed` has not passed. Waits for a tenth of a second at most when somebody has locked the tables. */
void backlog_ask(struct session *session, const char *relay, struct journal_position confirmed,
                 int64_t now_us);
/* *oldest_us: its created_at; 0: nothing waits. ERROR_RETRY: the tables are locked. */
MUST_CHECK bool backlog_read(struct session *session, int64_t *oldest_us, struct error *error);

#endif
