/* state.h: the relay's whole state, in the order of the files that work on it. For the files of this room only; what they do is in
 * inside.h. */
#ifndef OUTBOXD_RELAY_STATE_H
#define OUTBOXD_RELAY_STATE_H

#include "kafka/producer.h"
#include "postgres/backlog.h"
#include "postgres/inspect.h"
#include "postgres/journal.h"
#include "postgres/reader.h"
#include "relay/aside.h"
#include "relay/exact.h"
#include "relay/pace.h"
#include "relay/pipeline.h"
#include "relay/relay.h"
#include "relay/verdict.h"

/* What the session was last asked; its answer is read by the function of the same name. */
enum request {
    REQUEST_NONE,
    REQUEST_INSPECT,
    REQUEST_INSPECT_OUTBOX,
    REQUEST_REGISTER,
    REQUEST_PREPARE,
    REQUEST_NEWEST,
    REQUEST_PASS,
    REQUEST_SET_BACK,
    REQUEST_TAKE,
    REQUEST_ROWS,
    REQUEST_NAMES,
    REQUEST_LATE,
    REQUEST_PAGE,
    REQUEST_STEP,
    REQUEST_CONFIRM,
    REQUEST_REGISTER_LATER,
    REQUEST_TROUBLE,
    REQUEST_RETENTION,
    REQUEST_APPLY,
    REQUEST_HOLDS,
    REQUEST_AHEAD,
    REQUEST_WAITING,
    REQUEST_ASIDE,
    REQUEST_SETTLE,
    REQUEST_SIDE_FIRST,
    REQUEST_SIDE_PAGE,
    REQUEST_ROUND,
    REQUEST_ROUND_LATE,
    REQUEST_ROUND_PAGE,
    REQUEST_BACKLOG,
};

struct counters {
    uint64_t errors[SNAPSHOT_ERROR_COUNT];
    uint64_t latency_buckets[SNAPSHOT_LATENCY_BUCKETS];
    double latency_sum_seconds;
    uint64_t latency_count;
    uint64_t connects, polls, takeovers, ticks;
    int64_t tick_events, tick_events_so_far;
};

struct relay {
    const struct settings *settings;
    enum relay_state state;
    struct error failure;
    int64_t now_us; /* of this turn */
    int64_t started_at_us;

    /* the way to Postgres (link.c) */
    struct session *session;
    enum request request;
    int64_t request_sent_us;
    struct inspect_facts facts;
    bool prepared;      /* this connection knows our statements */
    bool was_connected; /* once in the life of the process: later refusals may heal */
    int64_t connect_at_us;
    struct backoff connect_backoff;
    bool connect_logged;    /* the present outage was logged */
    struct error away;      /* why Postgres could last not be worked with .. */
    struct error away_told; /* .. and what the log says of it, since when */
    int64_t away_told_us;
    struct journal_row seen;   /* the newest row, as last looked at */
    int64_t unchanged_from_us; /* since when `seen` has been the newest row, by our own clock */
    int takes_in_vain;         /* in a row, although nobody else has written a row behind `seen` */
    int64_t taken_seq;         /* of the row behind which the lead was asked for */
    bool take_unknown;         /* a takeover was asked for, and the connection was lost before its answer */
    int64_t look_at_us;        /* when to look again */

    /* the registry (telling.c) */
    bool registered;      /* it says what our configuration says; the ring is not swept before */
    bool trouble_told;    /* it knows of verdict_trouble() */
    bool telling_refused; /* it could not be written, and the log says so */
    int64_t tell_at_us;   /* no sooner is it written again */

    /* the lead */
    struct journal_self self;
    bool owns;             /* the newest row was ours when we last looked; pages may be held */
    bool doubtful;         /* a step says that it is not: look before anything else is sent */
    int timeline;          /* of the database in which we lead */
    int64_t lease_from_us; /* when the last request that the journal confirmed was SENT */

    /* ticks (leading.c) */
    struct tick_edge edge; /* the last tick, journalled or virtual */
    int64_t sequence;      /* value of the id sequence, of an earlier answer on this connection */
    int64_t sequence_file; /* its storage when the lead was taken */
    int64_t begun_seq;     /* the last tick that had events and was given to the reader */
    int64_t loaded_seq;    /* every tick up to here was given to the reader, or had no events */
    bool catching_up;      /* journalled ticks after loaded_seq are read back first */
    int64_t live_us;       /* when the stream read an event last that goes to Kafka now */
    struct tick late_tick; /* one of them, waiting for its list of late transactions */
    bool undurable; /* the newest row did not wait for the synchronous standbys: nothing of it may be sent */
    struct reader *reader;
    struct journal_step step; /* as asked */
    bool progress_told;       /* since the lead was taken, a row has said that something was confirmed */
    bool releasing;           /* the confirmation that was asked gives the lead away */
    struct journal_position confirmed;
    bool dirty;             /* `confirmed` says more than the newest row */
    int64_t appended_at_us; /* when the newest row of ours was asked for */
    int64_t append_took_us; /* until it was durable */
    int64_t poll_at_us, poll_interval_us;
    int64_t rate_events, rate_from_us; /* events read since then */
    double events_per_s;               /* as they came lately */
    struct pace pace;
    int64_t retention_at_us; /* next look at a slot */
    int retention_slot;
    bool sweep_refused;  /* the ring could not be swept, and the log says so */
    int64_t journal_low; /* no row of ours below it is left */

    /* events in flight (sending.c) */
    struct topic_table *topics;
    struct pipeline pipeline;
    struct producer *producer;
    struct verdict verdict;
    bool instance_ran; /* an instance was started and has not been looked back at */
    bool
        topic_refused; /* it was ended by the refusal of a topic, which is paused, or waited for by a request */
    uint64_t acknowledged_before; /* `acknowledged` when it was started */
    bool awaits_end;              /* nothing more is handed over before what is open is answered */
    uint64_t oldest_serial;       /* of the oldest event, when it was out */
    int64_t oldest_from_us;       /* since when it has been out and the oldest */
    int64_t obstacle_from_us;     /* since when brokers say what is in its way; 0: they do not */
    bool dropping;                /* pages are to be dropped as soon as nothing of them is out */
    int64_t wall_us;              /* of this turn's reports */
    uint64_t acknowledged;        /* events, since the start of the process .. */
    uint64_t acknowledged_told;   /* .. and how many of them the verdict has been told of */
    int64_t progress_us;          /* the last acknowledgement, or when there was nothing to wait for */
    int64_t sent_id;              /* largest id that was handed over: consumers may know it */
    int64_t highest_id;           /* largest id that was acknowledged or is known to be settled */
    int64_t drain_until_us;

    struct exact exact; /* exact.c */
    struct aside aside;
    struct beside beside;
    bool beside_turn; /* of asking for a page: the stream's, or one beside it */
    int64_t answer;   /* of the statement that was appended last */

    /* paused by hand (backlog.c) */
    int64_t backlog_from_us; /* created_at of the oldest event that waited at the last look; 0: none did */
    int64_t backlog_at_us;   /* the next look */

    /* what the database knows about an outage of Kafka (outage.c) */
    const char *outage_told; /* its error; NULL: none */
    int64_t outage_told_us;
    char outage_told_why[sizeof((struct producer_statistics *)0)->away_why];

    struct counters counters;
};

#endif
