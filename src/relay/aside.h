/* aside.h: what the stream passes over, as part of the relay's state: dead letters and what waits behind them (aside.c), paused topics
 * (pauses.c), and the work beside the stream (side.c). Their functions are declared in inside.h. */
#ifndef OUTBOXD_RELAY_ASIDE_H
#define OUTBOXD_RELAY_ASIDE_H

#include "base/backoff.h"
#include "postgres/aside.h"
#include "postgres/reader.h"
#include "postgres/waiting.h"
#include "relay/ahead.h"
#include "relay/holds.h"

/* Refused events wait so many at a time for the statement that writes them down; nothing more is sent before. */
#define REFUSALS_MOST 64
struct refusal {
    struct event *event;
    struct outcome why;
};

/* When a lead begins, and in exactly once after each change of the truth, the database says what was passed over before (loading.c). */
enum aside_loading { ASIDE_APPLY, ASIDE_HOLDS, ASIDE_AHEAD, ASIDE_WAITING, ASIDE_LOADED };

struct aside {
    enum aside_loading loading;
    size_t applied;                   /* of the position record's side work */
    int64_t loaded_hold;              /* holds up to this one .. */
    struct aside_place loaded_letter; /* .. and dead letters up to this place were read */
    struct holds holds;
    struct ahead ahead;
    int64_t
        ahead_tick; /* retries wait until the stream is behind this tick: what they publish, it must not come to again */
    struct refusal refusals[REFUSALS_MOST];
    size_t refusal_count;
    size_t refusals_asked; /* so many of them are in the statement under way */
    struct event **asked;  /* of the statement under way: they are written down when it is durable */
    size_t asked_count;
    int64_t dead, held;  /* so many there were when they were last counted .. */
    bool changed;        /* .. and it may be others now */
    int64_t count_at_us; /* not before */
};

/*   WANTED   its events are passed over from the first one that is not in Kafka; which one that is, is known when nothing of it is out
 *   ASKED    .. and is being written down
 *   PASSES   the database knows: they wait there, and are tried again
 * Its events catch up beside the stream, in rounds of one tick each, until there is no later tick; then it is forgotten. */
enum pause_state { PAUSE_WANTED, PAUSE_ASKED, PAUSE_PASSES };
enum round_state { ROUND_IDLE, ROUND_LATE, ROUND_READING, ROUND_READ };

/* There may be thousands of them, so nothing that happens in each turn looks at all: those with something to do stand in a queue, the
 * others rest.
 *   RESTS    nothing is to be done before retry_at_us, or a page of it is out
 *   LOOKS    brokers are asked about it
 *   PROBES   its first page is to be sent, which may be refused: one topic at a time
 *   WORKS    it catches up, in turns with others
 *   ENDS     it has, but for what came in the meantime: one topic at a time
 *   TELLS    the database is to hear why it waits now */
enum pause_place { PLACE_RESTS, PLACE_LOOKS, PLACE_PROBES, PLACE_WORKS, PLACE_ENDS, PLACE_TELLS, PLACES };
struct pause_queue {
    struct pause *first, *last;
};

/* Why it may be refused again: it was, by what brokers say of topics, or only when an event was sent. NONE: paused by hand, or it works. */
enum pause_doubt { DOUBT_NONE, DOUBT_TOPIC, DOUBT_BROKER };

struct pause {
    struct topic *topic;
    enum pause_state state;
    size_t index;           /* in the list of all */
    enum pause_place place; /* the queue it stands in .. */
    struct pause *next;     /* .. and who stands behind it */
    bool undecided;         /* WANTED: something of it is out, when that was looked at last */
    bool begun;             /* ASKED: the first of its events is found */
    bool by_hand;           /* somebody wants it: it is not tried */
    unsigned seen_by_hand;  /* in which look at what waits somebody wanted it last */
    bool ended;             /* the stream takes its events again, and the database is to hear of it */
    int64_t since_us;       /* when it began, by the wall clock */
    struct outcome why;
    enum pause_doubt doubt;
    struct backoff backoff;
    int64_t retry_at_us;
    bool asked;   /* somebody wants it to be tried now .. */
    bool resumed; /* .. and the database says so */
    /* outbox.paused_topic */
    int64_t number; /* 0: not known yet */
    int64_t from_seq, to_seq, after_id;
    int64_t passed_seq; /* no event of it is in a later tick, as far as the stream has come */
    /* the round */
    enum round_state round;
    int64_t round_from_us; /* when to_seq was the newest tick; 0: not known */
    int64_t round_took_us; /* the one before */
    size_t round_events;   /* so far */
    bool near;             /* the last one was small: it stands among ENDS */
    struct tick tick;
    struct reader *reader;
    bool out;                      /* a page of it is in the pipeline .. */
    int64_t out_events, out_bytes; /* .. with so much .. */
    uint64_t out_serial;           /* .. in front of the event of this number */
    bool failed;                   /* .. and was refused: `why` */
    bool tried;                    /* a page of this attempt was taken: pages may be large */
};

/* So many at a time, as the position record has room for them (record.h): of each sort some, so that none keeps another from beginning. Of
 * replays, and of retries and discards, more are known, and the first ones that wait for no topic are at work: so many at most have a page in the
 * pipeline. */
#define SIDES_OF_LETTERS 16
#define LETTERS_AT_WORK 4
#define SIDES_OF_REPLAYS 16
#define REPLAYS_AT_WORK 2
#define SIDES_OF_COPIES 2
#define SIDES_MOST (SIDES_OF_LETTERS + SIDES_OF_REPLAYS + SIDES_OF_COPIES)
/* How a request ended: "done", "event 4711 was refused: .." */
#define SIDE_OUTCOME_SIZE (64 + sizeof((struct outcome *)0)->name)
#define SIDE_PUT_OFF "put off: it begins anew when nothing is in its way"
struct side {
    struct waiting_request request; /* its texts are in `topic` and `key_hex` */
    char topic[TOPIC_NAME_SIZE];
    char *key_hex;
    bool out, failed;
    bool closing;
    bool cancelled;     /* it is not among the requests any more */
    int64_t refused_id; /* the first event of its page that was refused: what is before it is published */
    uint64_t refused_serial;
    int64_t refused_count; /* replay: so many of its page were */
    struct outcome why;
    struct topic *blocked; /* it waits for this topic, at the event .. ; NULL: it does not */
    int64_t blocked_id;
    struct backoff backoff; /* between attempts at a topic that refuses */
    int64_t upto;           /* replay: of the ids when it began */
    int64_t after;          /* replay: ids up to here were looked at .. */
    int64_t before;         /* .. and before the page that is out */
    bool found;             /* .. and the next one is an event's */
    int64_t ids;            /* so many are looked at for a page */
    int64_t told_us;        /* when its last page went out */
    int64_t next_us;        /* not before */
};

/* Topics at a time that have a page in the pipeline: the position record has room for them, and for the requests at work (record.h). */
#define ROUNDS_OUT_MOST 16

struct beside {
    struct pause **pauses;
    size_t pause_count;
    size_t wanted; /* so many of them are WANTED */
    struct pause_queue queues[PLACES];
    int64_t rest_until_us; /* no sooner is there something to do for one that rests */
    struct pause *ending;  /* whose turn it is among ENDS; NULL: nobody's yet */
    bool closing;          /* no tick is opened until that one has caught up */
    uint64_t closed_at; /* in steps of the stream so far: when somebody wanted last that no tick is opened */
    struct pause *probing; /* one of PROBES is out; NULL: none is */
    int64_t probe_at_us;   /* the next one not before */
    struct backoff probe_backoff;
    struct pause *outs[ROUNDS_OUT_MOST];
    size_t out_count;
    unsigned looks; /* at what waits, so far */
    struct side sides[SIDES_MOST];
    size_t side_count;
    bool paused;            /* the whole relay, by hand */
    struct waiting waiting; /* as last looked at */
    int64_t look_at_us;
    size_t turn;          /* whose page is next */
    int64_t asked_number; /* of the request under way */
    int64_t asked_events; /* for its page */
    int64_t asked_new_to;
    int64_t asked_progress;
    char asked_outcome[SIDE_OUTCOME_SIZE]; /* how it ends then; "": it goes on */
};

#endif
