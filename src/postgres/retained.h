/* retained.h: which published events are still in the outbox and could be sent again: what a replay would send, counted. For the
 * command `replay`; waits for each answer (oneshot.h) and reads only, a window of ids at a time (walk.h). */
#ifndef OUTBOXD_POSTGRES_RETAINED_H
#define OUTBOXD_POSTGRES_RETAINED_H

#include "base/error.h"
#include "postgres/session.h"

#include <stddef.h>
#include <stdint.h>

/* What is there, by the database's clock, in microseconds of 1970. */
struct retained_bounds {
    int64_t now_us;
    int64_t oldest_id, oldest_us; /* the event with the lowest id; 0: there is none */
    int64_t newest_id;            /* no id above it was given out */
};

/* Before the others, once a session. */
MUST_CHECK bool retained_prepare(struct session *session, struct retained_bounds *bounds,
                                 struct error *error);

struct retained_wish {
    const char *relay;          /* what it has confirmed, and what is neither dead nor held */
    int64_t first_id, last_id;  /* both included */
    int64_t since_us, until_us; /* created at or after, and before; 0: whenever */
    const char *key;            /* as text of a bytea; NULL: any key, and none */
};

/* Narrows the ids of the wish to those between which events of its times can be. */
MUST_CHECK bool retained_narrow(struct session *session, const struct retained_bounds *bounds,
                                struct retained_wish *wish, struct error *error);

struct retained_topic {
    char *name;
    int64_t events, bytes; /* bytes of keys and payloads */
    int64_t first_id, last_id;
    int64_t oldest_us, newest_us;
};

struct retained {
    struct retained_topic *topics; /* in the order of their first events */
    size_t count;
};

/* By topic; to be freed in any case. */
MUST_CHECK bool retained_count(struct session *session, const struct retained_wish *wish,
                               struct retained *retained, struct error *error);
void retained_free(struct retained *retained);

/* A moment as text of a timestamptz; 0 is NULL. The caller frees it. */
char *retained_moment(int64_t us);

#endif
