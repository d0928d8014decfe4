/* rebase.h: lets relays go on where they stood in a database in which their journals mean nothing any more: a restored dump, a
 * clone, a sequence that was set back, a journal that is gone. What is to be done and how is decided in
 * schema/002_relays.sql. For `outboxd rebase`; blocks, so never call it from the relay. */
#ifndef OUTBOXD_POSTGRES_REBASE_H
#define OUTBOXD_POSTGRES_REBASE_H

#include "base/error.h"
#include "postgres/admin.h"

#include <stddef.h>
#include <stdint.h>

struct rebase_relay {
    char *name;
    char *wrong;         /* "elsewhere", "no journal", "gaps", "numbers", or "" */
    int64_t unconfirmed; /* events that it will publish */
    bool killed; /* delivered exactly once, did not release the lead: Kafka may have more than its journal */
};

struct rebase_plan {
    bool needed;     /* something is wrong */
    bool moved;      /* only the place: the transaction numbers mean the same here, and no event is touched */
    bool set_back;   /* the id sequence is behind `highest`, or was while events were inserted */
    int64_t highest; /* the largest id that was given out */
    int64_t renumbered; /* events that were never sent and get new ids above it */
    int64_t events;     /* all that are in the outbox; of a plan only */
    struct rebase_relay *relays;
    size_t relay_count;
};

void rebase_plan_free(struct rebase_plan *plan);

struct rebase;

/* Connects as an administrator and becomes the owner of the schema. The caller closes it. ERROR_UNUSABLE: no outbox, an older
 * one, or no right to become its owner. */
MUST_CHECK bool rebase_open(struct rebase **rebase, const char *conninfo, struct error *error);
void rebase_close(struct rebase *rebase); /* NULL is allowed */

/* What would be done; takes no lock that anybody meets. Looks at every event when they are another cluster's. */
MUST_CHECK bool rebase_look(struct rebase *rebase, bool same_xids, struct rebase_plan *plan,
                            struct error *error);

/* Does it, in one transaction during which writers wait, and says what was done. Transactions that have written events are
 * waited for by trying again for a minute, with pauses that grow; writers queue behind a try for 0.1 to 0.8 s, a tenth of the
 * pause before it. Each try that failed is told to `waits` (may be NULL), with who is in the way. */
MUST_CHECK bool rebase_run(struct rebase *rebase, bool same_xids, admin_listener *waits, void *context,
                           struct rebase_plan *done, struct error *error);

#endif
