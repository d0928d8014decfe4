/* journal.h: the relay's memory in the database: the append-only table outbox.journal, its compare-and-swap, and the step
 * statement. Each request is a pair: ask (session IDLE -> BUSY), then read (session ANSWERED -> IDLE).
 * The newest row of a relay is its whole state; two leaders cannot both append the row seq + 1. */
#ifndef OUTBOXD_POSTGRES_JOURNAL_H
#define OUTBOXD_POSTGRES_JOURNAL_H

#include "base/error.h"
#include "postgres/session.h"
#include "postgres/tick.h"

#define JOURNAL_HOLDER_SIZE 33 /* 128 bits in hex and a NUL */

/* Where the xids of a row mean something. */
struct journal_place {
    int64_t sysid;
    int timeline;
    int64_t dbid;
};

/* How far a relay is: every event of the ticks up to `seq` is settled, and of the next tick those with id <= `id`. */
struct journal_position {
    int64_t seq;
    int64_t id; /* 0: nothing of the next tick */
};

/* What a relay that delivers exactly once has last seen committed in Kafka. */
#define JOURNAL_EXACT_ANEW                                                                                   \
    (-1) /* position.seq: the journal is the truth, by an operator's word, and is to be written to Kafka */
struct journal_exact {
    bool on; /* false: at least once, and the rest is nothing */
    struct journal_position position;
    int64_t nonce; /* of the newest tick of which it has events */
};

/* A row of the journal by its number, and by what tells it from a row of the same number in another history. */
struct journal_name {
    int64_t seq, nonce;
};

struct journal_row {
    int64_t seq, epoch;
    char holder[JOURNAL_HOLDER_SIZE];
    struct tick_edge edge;
    int64_t hi_id;
    int64_t nonce;
    struct journal_position confirmed;
    struct journal_exact exact;
    bool released;
    int64_t age_us; /* since it was written, by the database's clock */
    struct journal_place place;
    struct journal_place here; /* this database, as of the same statement */
    int64_t sequence;          /* the id sequence's value, read in the same statement */
    int64_t sequence_file;     /* its storage: another one after a RESTART */
    bool retired;              /* the relay was retired: nobody takes this row over */
};

void journal_row_clear(struct journal_row *row);

/* Who asks, and which row it believes to be the newest. */
struct journal_self {
    const char *relay;
    char holder[JOURNAL_HOLDER_SIZE];
    int64_t seq, epoch;
    int64_t nonce; /* of row `seq`, since we have appended it */
};

/* Prepares the statements of this file and of reader.c on a new connection. */
void journal_ask_prepare(struct session *session, int64_t now_us);
MUST_CHECK bool journal_read_prepare(struct session *session, struct error *error);

/* The newest row. ERROR_INTERNAL when the relay has none. */
void journal_ask_newest(struct session *session, const char *relay, int64_t now_us);
MUST_CHECK bool journal_read_newest(struct session *session, struct journal_row *row, struct error *error);

/* Asks whether there are events that the newest row says cannot be: the sequence was set back while nobody looked, and has
 * perhaps passed its old value again; or transaction numbers were, and have. Before each takeover, for the new leader would pass them
 * over. */
void journal_ask_set_back(struct session *session, const char *relay, int64_t now_us);
MUST_CHECK bool journal_read_set_back(struct session *session, bool *set_back, bool *numbers_back,
                                      struct error *error);

/* Takeover: appends a copy of `seen` with seq + 1, epoch + 1 and our holder, if it still is the newest row and is released,
 * ours, or older than `lease_us`; and if it belongs to this cluster and database. False in *taken: somebody was faster, or
 * its holder is alive. */
#define JOURNAL_ANY_AGE                                                                                      \
    (-INT64_C(3000000000000000)) /* as lease_us: however young it says to be (-95 years) */
void journal_ask_take(struct session *session, const struct journal_self *self,
                      const struct journal_row *seen, int64_t lease_us, int64_t now_us);
MUST_CHECK bool journal_read_take(struct session *session, struct journal_self *self, bool *taken,
                                  struct error *error);

/* The rows from `seq` on, at most `limit`, oldest first. */
void journal_ask_rows(struct session *session, const char *relay, int64_t seq, int limit, int64_t now_us);
/* *epoch is the newest row's: another one than the caller's explains why rows are gone. *rows is allocated; its elements hold seq, edge,
 * hi_id and nonce; free with journal_rows_free. */
MUST_CHECK bool journal_read_rows(struct session *session, int64_t *epoch, struct journal_row **rows,
                                  size_t *count, struct error *error);
void journal_rows_free(struct journal_row *rows, size_t count);

/* Two of them, read likewise: the ends of a tick that may span many. */
void journal_ask_round(struct session *session, const char *relay, int64_t from_seq, int64_t to_seq,
                       int64_t now_us);

/* The transactions below from.w that became visible between `tick->from` and `tick->snapshot`: completes a tick that was
 * read back from the journal. */
void journal_ask_late(struct session *session, const struct tick *tick, int64_t now_us);
MUST_CHECK bool journal_read_late(struct session *session, struct tick *tick, struct error *error);

/* What the journal knows of a position that was found in Kafka. */
struct journal_known {
    int64_t epoch;              /* of the newest row */
    bool rebased;               /* a rebase says what the newest row calls confirmed */
    bool sides;                 /* it has all of that side work, done or not */
    struct journal_name *names; /* those of the rows that it has, newest first; the caller's to free */
    size_t count;
};

/* `seqs`: rows, `sides`: numbers of side work; arrays of Postgres, "{7,9}". */
void journal_ask_names(struct session *session, const char *relay, const char *seqs, const char *sides,
                       int64_t now_us);
MUST_CHECK bool journal_read_names(struct session *session, struct journal_known *known, struct error *error);

/* What a step tells the database, and where it starts from. */
struct journal_step {
    const struct tick_edge *last; /* the last tick, journalled or virtual */
    int64_t next_lo;              /* `sequence` of an EARLIER answer on this connection; never of this one */
    struct journal_position confirmed;
    struct journal_exact exact;
    bool dirty;           /* append a row even when there is nothing new, to make `confirmed` known */
    int64_t heartbeat_us; /* append a row when the newest is older than this */
};

/* What came of it. */
struct journal_stepped {
    bool fenced;           /* the newest row is not ours any more */
    bool appended;         /* a row was written: self->seq is its number now */
    bool durable;          /* .. and no wait for a synchronous standby was cancelled */
    bool found;            /* the tick has events: `tick` is filled */
    struct tick tick;      /* found only */
    struct tick_edge edge; /* where the next step starts from */
    int64_t sequence;      /* the `next_lo` of the step after this one */
    int64_t sequence_file; /* of a step only */
    int64_t answer;        /* of journal_ask_append(): what its statement says, 0: nothing */
    int backend_pid;       /* not session_backend_pid(): a pooler is in between */
};

void journal_stepped_clear(struct journal_stepped *stepped);

/* The step: one autocommit statement polls, opens the next tick, confirms and beats the heart. With nothing to say it
 * writes nothing and takes no xid. */
void journal_ask_step(struct session *session, const struct journal_self *self,
                      const struct journal_step *step, int64_t now_us);
/* Moves self->seq on when a row was appended. `step` must be the one that was asked with. ERROR_INTERNAL when the sequence
 * went backwards or the journal is gone. */
MUST_CHECK bool journal_read_step(struct session *session, struct journal_self *self,
                                  const struct journal_step *step, struct journal_stepped *stepped,
                                  struct error *error);

/* What the next row says. */
struct journal_row_next {
    const struct journal_self *self;
    struct journal_position confirmed;
    const struct journal_exact *exact;
};

/* The same without opening a tick: appends a copy of the newest row (an empty tick) that says `confirmed`, while the last
 * tick is still being read; with `release`, the last row of a leader that stops as asked. */
void journal_ask_confirm(struct session *session, const struct journal_row_next *next, bool release,
                         int64_t now_us);
/* Another statement of that kind (statements.h), with `count` parameters more: what it writes, it writes only together with its row. */
#define JOURNAL_APPEND_VALUES 10
#define JOURNAL_APPEND_MORE 6
void journal_ask_append(struct session *session, const char *statement, const struct journal_row_next *next,
                        int count, const char *const *more, int64_t now_us);
MUST_CHECK bool journal_read_confirm(struct session *session, struct journal_self *self,
                                     struct journal_stepped *stepped, struct error *error);

#endif
