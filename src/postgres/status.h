/* status.h: how the relays of a database are doing, from what the database itself knows: for `outboxd status` and `outboxd
 * check`. Reads only, as the relay's role may; waits for each answer (oneshot.h). What an answer does not say is marked as
 * unknown and never made up. */
#ifndef OUTBOXD_POSTGRES_STATUS_H
#define OUTBOXD_POSTGRES_STATUS_H

#include "base/error.h"
#include "postgres/pauses.h"
#include "postgres/requests.h"
#include "postgres/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many unconfirmed events are looked at; of more, the number is estimated. */
#define STATUS_LAG_COUNTED 100000

/* Events that are committed and not confirmed. */
struct status_lag {
    bool known; /* false: could not be counted within the deadline, or there is nothing to count from */
    bool exact; /* false: more than STATUS_LAG_COUNTED; events and bytes are estimates by ids */
    int64_t events;
    int64_t bytes;  /* what they take in the tables, about */
    int64_t age_us; /* of the oldest; 0 when there is none */
};

/* What its leader wrote down that it is stuck at, or waits for. */
struct status_trouble {
    bool active;
    int64_t event_id; /* 0, and `topic` "", when `error` is KAFKA_AWAY or KAFKA_REFUSES: nothing goes out */
    char *topic, *error, *message;
    int64_t age_us;
};

/* What the stream has passed over, and what is done beside it. */
struct status_aside {
    bool known;                        /* false: it could not be counted in time */
    bool paused;                       /* the whole relay, by hand */
    int64_t dead_letters, held_events; /* events that were refused, and those that wait behind them */
    int64_t dead_us;                   /* the oldest of them, since its first refusal */
    int64_t paused_topics;             /* of any kind; status.pauses has them */
    int64_t open_requests;
    struct requests requests; /* the first of those */
};

/* One process of a relay, as far as the server knows and this role may see: it is known by its session's name (session.h). */
struct status_process {
    char *relay;
    int pid;              /* of the backend that serves it */
    char *holder;         /* the first SESSION_NAME_HOLDER digits */
    char *client;         /* its address; "" for a local socket; NULL: may not be seen */
    int64_t connected_us; /* since when; negative: may not be seen */
};

struct status_relay {
    char *name, *source;
    int64_t retention_us;
    bool has_journal; /* false: the rest means nothing */
    bool elsewhere;   /* its journal was written in another cluster or database */
    char *holder;
    int64_t epoch;
    int64_t heartbeat_age_us; /* of the newest row */
    bool led;                 /* somebody led once */
    bool released;            /* the last leader stopped as asked */
    int64_t tick_seq;         /* newest tick */
    int64_t confirmed_seq;    /* all of this tick and of those before is confirmed */
    int64_t confirmed_id;     /* and of the next one up to this id; 0: nothing */
    double rate;              /* confirmed events a second over the last rate_us, by ids; negative: unknown */
    int64_t rate_us;
    int64_t unconfirmed_ids; /* ids given out beyond the confirmed ones: at least as many as events, about */
    struct status_trouble trouble;
    struct status_lag lag;
    struct status_aside aside;
};

/* One partition of the outbox. */
struct status_slot {
    char *name;
    char *
        state; /* empty | young | unconfirmed | held | ready (outbox.slot_state), or busy: ready but for `writer` */
    int64_t events;        /* about */
    int64_t bytes;         /* table and indexes */
    int64_t newest_age_us; /* negative: empty */
};

/* The oldest transaction that can still change what the outbox holds: those that have written events first. */
struct status_transaction {
    bool any;
    int pid;   /* 0: prepared */
    char *gid; /* of a prepared one, else NULL */
    char *user;
    char *application; /* "" when it has no name, or may not be seen */
    int64_t age_us;    /* negative: may not be seen by this role */
    int64_t age_xids;  /* transactions begun since */
    bool wrote_events;
};

struct status {
    struct status_relay *relays; /* the living ones */
    size_t relay_count;
    struct status_process *processes; /* in the order of the relays, oldest connections first */
    size_t process_count;
    struct pauses pauses;
    bool slots_known; /* false: they could not be looked at within the deadline */
    struct status_slot *slots;
    size_t slot_count;
    struct status_transaction oldest;
};

/* Fill parts of `status`, which starts zeroed; on failure the part may be incomplete, and can be freed. That the lag or the
 * slots take too long, millions of uncommitted events being in the way, is no failure: they are then marked as unknown. */
MUST_CHECK bool status_read_relays(struct session *session, struct status *status, struct error *error);
/* Of the relays that were read before. */
MUST_CHECK bool status_read_aside(struct session *session, struct status *status, struct error *error);
MUST_CHECK bool status_read_processes(struct session *session, struct status *status, struct error *error);
MUST_CHECK bool status_read_slots(struct session *session, struct status *status, struct error *error);
MUST_CHECK bool status_read_oldest(struct session *session, struct status *status, struct error *error);

void status_free(struct status *status);

#endif
