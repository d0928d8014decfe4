/* commands_leader.h: a stand-in for the leader that carries out what a command asks for while the command waits in this process. */
#ifndef OUTBOXD_TESTS_INTEGRATION_COMMANDS_LEADER_H
#define OUTBOXD_TESTS_INTEGRATION_COMMANDS_LEADER_H

#include "commands_fixture.h"

struct leader;

/* Runs `sql` as the relay's role, again and again. */
struct leader *leader_begin(const struct outbox *outbox, const char *sql);
/* Runs `meanwhile` (NULL: nothing) until the command has said `said` on standard error; then as above. */
struct leader *leader_begin_when_said(const struct outbox *outbox, const char *meanwhile, const char *said,
                                      const char *sql);
void leader_end(struct leader *leader);

/* Settles every open request: progress, events, outcome and refused are SQL; `r` is the request. */
#define LEADER_SETTLES(progress, events, outcome, refused)                                                   \
    "select outbox.request_settle(r.relay, r.number, " progress ", " events ", " outcome ", " refused ")"    \
    " from outbox.request r where r.done_at is null"

#define LEADER_ALL "9223372036854775807"

/* Puts event 1, of topic orders and key k, aside as a dead letter for relay main, and `held` events behind it. */
void leader_puts_aside(const struct outbox *outbox, int held);

#endif
