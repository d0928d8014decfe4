/* tail_parts.h: the whole state of a tail, shared by tail.c and tail_pages.c only. */
#ifndef OUTBOXD_POSTGRES_TAIL_PARTS_H
#define OUTBOXD_POSTGRES_TAIL_PARTS_H

#include "event/topic.h"
#include "postgres/oneshot.h"
#include "postgres/tail.h"
#include "postgres/tick.h"

/* Events that one look finds at most, and their ids as text. */
#define TAIL_ROWS 1000

/* A snapshot, and where the log stood after it was taken: once the log is on disk so far, no crash gives a transaction that
 * the snapshot calls finished another end, or its number to another one. */
struct tail_edge {
    struct tick_edge edge;
    char lsn[24]; /* pg_lsn; "": none */
};

struct tail_found {
    int64_t id, cost;
};

struct tail {
    const struct settings *settings;
    const struct tail_wish *wish;
    struct topic_table *topics;
    struct session *session;            /* NULL: before the first connection */
    int64_t sysid, dbid;                /* where the snapshots mean something; 0: not known yet */
    int64_t timeline;                   /* 0: not known yet */
    bool promoted;                      /* and nobody has asked */
    int64_t sequence;                   /* the id sequence's value, of an earlier statement */
    struct tail_edge shown;             /* the end of the last tick that was read */
    struct tail_edge pending;           /* an earlier one, not known to be on disk; or none */
    struct tick_edge durable;           /* the last one that is */
    struct tick tick;                   /* being read */
    struct tail_edge next;              /* its end; without a snapshot: there is none */
    int64_t after;                      /* no event up to here is wanted, or it was found */
    int64_t width;                      /* of the next window of ids */
    char since[40];                     /* timestamptz */
    char *key;                          /* bytea as text; NULL: any */
    struct tail_found found[TAIL_ROWS]; /* and not read yet: at `taken` and behind */
    size_t found_count, taken;
};

/* Before everything: the edge from which the first tick begins. */
#define TAIL_FIRST_SNAPSHOT "3:3:"
#define TAIL_FIRST_W 3

/* tail_pages.c: moves the start of the first tick to where the wish begins. `now_us` is the database's clock. */
MUST_CHECK bool tail_find_start(struct tail *tail, int64_t now_us, struct error *error);

/* tail_pages.c: the next events of the tick; *page stays NULL at its end. */
MUST_CHECK bool tail_read_page(struct tail *tail, struct page **page, struct error *error);

#endif
