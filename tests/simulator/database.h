/* database.h: Postgres, as far as the relay can tell: transactions with their numbers, snapshots, what is visible in them, the id
 * sequence with its log, the rows of outbox.event and outbox.journal. Everything here is instantaneous; what takes time, and what
 * happens in between, is statement.c's and writers.c's. */
#ifndef OUTBOXD_TESTS_SIMULATOR_DATABASE_H
#define OUTBOXD_TESTS_SIMULATOR_DATABASE_H

#include "postgres/journal.h"
#include "postgres/session.h"
#include "simulator/world.h"

enum fate { FATE_RUNNING, FATE_COMMITTED, FATE_ABORTED };

struct transaction {
    int64_t xid; /* 0: it has none yet */
    enum fate fate;
    int64_t ended;     /* world.order */
    struct row *first; /* its events, in the order of ids */
    struct row *last;
};

/* An event. */
struct row {
    int64_t id;
    struct transaction *by;
    struct row *next; /* of the transaction */
    int topic, key;   /* MODEL_KEYS: it has none */
    size_t payload_size;
    int64_t inserted; /* world.order, when its id was drawn */
    int64_t created_at_us;
    int64_t refused_from_us;  /* from here on, for a limit may be lowered, Kafka does not take it .. */
    int64_t refused_until_us; /* .. before this */
    bool refused_unsent;      /* .. which is known without sending it */
    bool refused;             /* it was, once */
    int64_t tick;             /* the first row of the journal whose snapshot shows it; 0: none so far */
    /* for the judge: world.order, when .. */
    int64_t passed;    /* .. a position had passed it */
    int64_t confirmed; /* .. the journal had confirmed its tick, all of it */
    int64_t published; /* .. a consumer found it, replays apart */
    int64_t aside;     /* .. it was last put aside for its own sake or its key's */
    /* at least once: the lead in which it was handed over last, and by whom; heard: the same, when that was acknowledged */
    int64_t sent, heard;
    char sent_by[SESSION_NAME_HOLDER + 1];
    bool discarded, skipped;
    size_t copies, transactional_copies; /* and .. */
    int64_t looked;                      /* .. by which of its looks it was seen last */
};

/* A row of the journal. */
struct line {
    int64_t seq, epoch;
    char holder[JOURNAL_HOLDER_SIZE];
    const char *snapshot;
    int64_t w, lo_id, hi_id;
    struct journal_position confirmed;
    struct journal_exact exact;
    bool released, durable;
    int64_t nonce, written_at_us;
    struct transaction *by;
};

#define SNAPSHOT_XIPS 160
struct pg_snapshot {
    int64_t xmin, xmax;
    size_t count;
    int64_t xip[SNAPSHOT_XIPS];
};
#define SNAPSHOT_TEXT_SIZE (SNAPSHOT_XIPS * 8 + 48)

struct database {
    bool down;
    int incarnation; /* of the server process: what an older one was doing is gone */
    int64_t wall_us; /* its clock, beside the world's */
    int backends;

    struct transaction **transactions; /* by xid, from DATABASE_FIRST_XID on */
    size_t transactions_count, transactions_capacity;
    size_t oldest; /* all before are over */
    int64_t latest_completed;

    int64_t sequence, sequence_logged, sequence_flushed;
    struct row **rows; /* in the order of ids */
    size_t rows_count, rows_capacity;
    size_t ticked;        /* all before have their tick, or never will */
    const char *snapshot; /* the last one by which ticks were named */

    struct line **lines; /* in the order of seq; trimmed ones are NULL */
    size_t lines_count, lines_capacity;
    int64_t durable_seq; /* every tick up to here is on all disks that it should be on */
};

#define DATABASE_FIRST_XID 100

extern struct database database;

void database_begin(void);
/* The server process dies and comes back: what was running is rolled back. */
void database_crash(void);
int64_t database_clock_us(void);

struct transaction *database_transaction(void);
void database_assign(struct transaction *transaction);
int64_t database_next_xid(void);
void database_commit(struct transaction *transaction);
void database_abort(struct transaction *transaction);

/* Draws the id. */
struct row *database_insert(struct transaction *transaction, int topic, int key, size_t payload_size);
/* NULL: there is none of that id. */
struct row *database_find(int64_t id);
/* The first row in rows[] with an id above `id`. */
size_t database_above(int64_t id);

void database_snapshot(struct pg_snapshot *snapshot);
void snapshot_print(const struct pg_snapshot *snapshot, char text[SNAPSHOT_TEXT_SIZE]);
void snapshot_parse(struct pg_snapshot *snapshot, const char *text);
/* pg_visible_in_snapshot() */
bool snapshot_shows(const struct pg_snapshot *snapshot, int64_t xid);
/* What a statement with this snapshot sees: committed, too. */
bool snapshot_sees(const struct pg_snapshot *snapshot, const struct transaction *transaction);

/* The newest row of the journal that the snapshot sees. */
const struct line *database_newest(const struct pg_snapshot *snapshot);
/* Adds a line of a transaction that is running. */
void database_append(struct line *line);
/* Events that this line's snapshot is the first to show get its tick. */
void database_name_ticks(const struct line *line);
/* outbox.journal_trim(), which keeps what is `named`, without its hour: as whoever sleeps for longer finds the journal. */
int64_t database_trim(int64_t low, bool (*named)(int64_t seq));

#endif
