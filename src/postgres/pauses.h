/* pauses.h: topics that wait (schema/005_aside.sql): because they take nothing, or because somebody has paused them; and pausing
 * and resuming a topic or a whole relay. For the commands; waits for each answer (oneshot.h). */
#ifndef OUTBOXD_POSTGRES_PAUSES_H
#define OUTBOXD_POSTGRES_PAUSES_H

#include "base/error.h"
#include "postgres/session.h"

#include <stddef.h>
#include <stdint.h>

struct paused {
    char *relay, *topic;
    bool waits; /* the relay passes its events over; false: it has not taken notice of the pause yet */
    char *error, *message; /* why, "" when it does not */
    int64_t attempts;      /* so often an event was refused; 0: it was paused by hand */
    int64_t since_us;      /* so long ago, since it waits; or since it was asked for */
    char *asked_by;        /* who has paused it; NULL: nobody, it goes on by itself */
};

struct pauses {
    struct paused *list; /* in the order of relays and topics */
    size_t count;
};

/* Of all living relays; to be freed in any case. */
MUST_CHECK bool pauses_read(struct session *session, struct pauses *pauses, struct error *error);
void pauses_free(struct pauses *pauses);

/* NULL: there is none. */
const struct paused *pauses_find(const struct pauses *pauses, const char *relay, const char *topic);

/* Pauses or resumes a topic (a legal name), or with NULL the relay. *changed is false when it was so already. */
MUST_CHECK bool pauses_set(struct session *session, const char *relay, const char *topic, bool pause,
                           bool *changed, struct error *error);

/* Of a topic that nobody has paused and that waits all the same: its relay is to try it now, whenever it would have done so by itself. Nothing
 * is done to one that was paused by hand until just now: the relay is about to go on with it. */
MUST_CHECK bool pauses_try_again(struct session *session, const char *relay, const char *topic,
                                 struct error *error);

#endif
