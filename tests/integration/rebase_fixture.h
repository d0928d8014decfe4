/* rebase_fixture.h: databases whose relays have confirmed a part of what is in them, and what `outboxd rebase` makes of them.
 * For rebase_places.c and rebase_ids.c. */
#ifndef OUTBOXD_TESTS_INTEGRATION_REBASE_FIXTURE_H
#define OUTBOXD_TESTS_INTEGRATION_REBASE_FIXTURE_H

#include "commands_fixture.h"

#include <criterion/criterion.h>

#define NOTHING_TO_DO "nothing to do: the journals belong to this database"

/* With a server of its own: what is running and what is the newest transaction depends on the test alone. */
struct outbox rebase_open_own(void);

/* One event; its id. */
int64_t rebase_emit(PGconn *connection);

/* Emits seven events: one in a tick that relay `relay` has confirmed, two to five in the next one, of which it has confirmed
 * two and three, and two that are in no tick yet. */
void rebase_three_of_seven(const struct outbox *outbox, const char *relay);

/* Takes the lead; the events of its next tick must be these, in this order, and no more. */
struct driver *rebase_lead(const struct outbox *outbox, const char *relay);
void rebase_expect_tick(struct driver *driver, const int64_t *ids, size_t count);
#define REBASE_IDS(...) (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

/* `outboxd rebase` as `user`, with up to two options (NULL: none), must end with this exit code and print `out` and `err`
 * (NULL: whatever). */
void rebase_expect_as(const struct outbox *outbox, const char *user, int exit_code, const char *out,
                      const char *err, const char *one, const char *other);
void rebase_expect(const struct outbox *outbox, int exit_code, const char *out, const char *err,
                   const char *option);

/* All events, rows of the journal, and the sequence, as text; the caller frees it. */
char *rebase_everything(const struct outbox *outbox);

/* Everything is published by the relays that are given (NULL-terminated): then it can be emptied when it is old. */
void rebase_expect_emptied(const struct outbox *outbox, const char *const *relays);

#endif
