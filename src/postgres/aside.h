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
    const char *error, *message;
    bool copy; /* one is wanted, if it becomes a dead letter by that */
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

/* How many dead letters and held events the relay has, and the last tick that has any. */
struct aside_ahead {
    int64_t dead, held, tick;
};
void aside_ask_ahead(struct session *session, const char *relay, int64_t now_us);
MUST_CHECK bool aside_read_ahead(struct session *session, struct aside_ahead *ahead, struct error *error);

/* A dead letter that holds its topic and key, or that the stream, at `confirmed`, is still to come to. */
struct aside_dead {
    int64_t event_id;
    int64_t hold; /* 0: it holds nothing */
    int64_t tick;
    bool ahead;
    const char *topic; /* valid during the call */
    unsigned char key[KEY_DIGEST_SIZE];
};
typedef void aside_visit_dead(void *context, const struct aside_dead *dead);
void aside_ask_dead(struct session *session, const char *relay, struct journal_position confirmed,
                    int64_t now_us);
MUST_CHECK bool aside_read_dead(struct session *session, aside_visit_dead *visit, void *context,
                                struct error *error);

#endif
