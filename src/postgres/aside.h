/* aside.h: what the stream has passed over: writing it down, always together with the leader's next row of the journal (which is read by
 * journal_read_confirm), and reading it back when a lead begins. Each request is a pair: ask, then read (session.h). */
#ifndef OUTBOXD_POSTGRES_ASIDE_H
#define OUTBOXD_POSTGRES_ASIDE_H

#include "event/event.h"
#include "postgres/journal.h"

#include <stddef.h>

/* `text`: the JSON of outbox.put_aside(). */
void aside_ask_put(struct session *session, const struct journal_row_next *next, const char *text,
                   int64_t now_us);

/* Side work is done up to the event `progress`; these two say more. */
#define SIDE_WHOLE INT64_MAX       /* all of it: the work is done */
#define SIDE_ROUND (INT64_MAX - 1) /* a paused topic: this attempt is done, the next one goes further */

struct aside_refusal {
    int64_t event_id;
    int64_t count; /* of a replay: so many of its page */
    const char *error, *message;
    bool copy; /* one is wanted, if it becomes a dead letter by that, or is one without a copy */
};

/* outbox.request_settle(): `outcome` NULL: it goes on. `refused` NULL: nothing was. */
void aside_ask_settle(struct session *session, const struct journal_row_next *next, int64_t number,
                      int64_t progress, int64_t events, const char *outcome,
                      const struct aside_refusal *refused, int64_t now_us);

/* outbox.topic_settle(): `new_to` of a SIDE_ROUND; 0: as far as the last one. `why` NULL: nothing went wrong. */
void aside_ask_settle_topic(struct session *session, const struct journal_row_next *next, int64_t number,
                            int64_t progress, int64_t new_to, const struct outcome *why, int64_t now_us);

/* outbox.side_apply(): what the position record says of a work beside the stream. */
void aside_ask_apply(struct session *session, const struct journal_row_next *next, int64_t number,
                     int64_t progress, int64_t now_us);

/* What is read back comes in pieces, which take some ten milliseconds; *count: so many rows came, and none is the end. */

/* A hold, of which the first dead letter is this one. */
struct aside_hold {
    int64_t number, tick, event_id;
    const char *topic; /* valid during the call */
    unsigned char key[KEY_DIGEST_SIZE];
    int64_t held_tick; /* the last tick of which an event waits behind it; 0: none does */
};
typedef void aside_visit_hold(void *context, const struct aside_hold *hold);
/* Those with numbers above `after`, in their order. */
void aside_ask_holds(struct session *session, const char *relay, int64_t after, int64_t rows, int64_t bytes,
                     int64_t now_us);
MUST_CHECK bool aside_read_holds(struct session *session, aside_visit_hold *visit, void *context, int *count,
                                 struct error *error);

/* Where a dead letter stands in the stream. */
struct aside_place {
    int64_t tick, event_id;
};
typedef void aside_visit_place(void *context, struct aside_place place);
/* Those behind `after`, in their order. */
void aside_ask_ahead(struct session *session, const char *relay, struct aside_place after, int64_t rows,
                     int64_t now_us);
MUST_CHECK bool aside_read_ahead(struct session *session, aside_visit_place *visit, void *context, int *count,
                                 struct error *error);

#endif
