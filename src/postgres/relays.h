/* relays.h: the registry of relays, for the commands: what it holds, and the functions of the schema that add a relay
 * and retire one. Waits for each answer (oneshot.h). The daemon's own part is registry.h. */
#ifndef OUTBOXD_POSTGRES_RELAYS_H
#define OUTBOXD_POSTGRES_RELAYS_H

#include "base/error.h"
#include "postgres/session.h"

#include <stddef.h>
#include <stdint.h>

struct relays_entry {
    char *name, *source;
    char **topics; /* shell patterns */
    size_t topic_count;
    int64_t retention_us;
    char *created_at, *retired_at; /* UTC, ISO 8601; retired_at is NULL for a living relay */
    int64_t epoch;                 /* 0: nobody has led it yet */
    bool released;                 /* its last leader stopped as asked */
    int64_t heartbeat_age_us;      /* of the newest row of its journal; negative: it has none */
    bool paused;                   /* by hand, as a whole */
};

struct relays {
    struct relays_entry *list; /* the living ones first, each kind in the order of the names */
    size_t count;
};

/* `relays` may be incomplete after a failure, and is to be freed in any case. */
MUST_CHECK bool relays_read(struct session *session, struct relays *relays, struct error *error);
void relays_free(struct relays *relays);

/* What is registered. */
struct relays_wish {
    const char *name, *source;
    const char *const *topics;
    size_t topic_count;
    int64_t retention_us;
    bool from_now; /* false: from the beginning of what is still in the outbox */
};

/* Registers the relay, also a retired one anew. ERROR_USAGE when a living one has the name, or for a retention that the ring
 * of slots does not hold. */
MUST_CHECK bool relays_add(struct session *session, const struct relays_wish *wish, struct error *error);

/* Retires the relay. ERROR_USAGE when there is none of this name, or it was retired before. */
MUST_CHECK bool relays_retire(struct session *session, const char *name, struct error *error);

#endif
