/* pace.h: how many bytes a page may have, so that the leader, who gives no sign of life while a page is under way, keeps its lead. A page
 * that took long (more than half of a heartbeat) halves the limit, a large one that came at once doubles it. Where pages of quite different
 * sizes take the same time it is not their size that costs it (a distant server, a statement that is dear whatever it finds), and small ones
 * would be slower for nothing: then it grows again, as long as a page takes no more than half of the lease.
 * At its least all pages are alike, and it stays there until one comes at once, or a small one takes as long. Pure. */
#ifndef OUTBOXD_RELAY_PACE_H
#define OUTBOXD_RELAY_PACE_H

#include <stdint.h>

/* The heartbeats of a lease; a leader that is silent for the other three of them is replaced. */
#define PACE_HEARTBEATS 4

/* Of another kind pages are found by another statement: what one takes tells nothing about the other. */
enum pace_kind { PACE_STREAM, PACE_HELD };
enum { PACE_KINDS = PACE_HELD + 1 };

struct pace {
    int64_t bytes; /* the limit */
    struct pace_page {
        int64_t bytes, took_us;
    } slow[PACE_KINDS]; /* the last page, when it took long; zero: it did not, and is like no other */
};

/* The first page is small: nothing is known. A doubling each, so five pages to the default of `batch_bytes`. */
#define PACE_FIRST (INT64_C(256) * 1024)
/* One event at least is in a page, so that smaller ones would only be more of them. */
#define PACE_LEAST (INT64_C(16) * 1024)

/* A page was read. The limit grows up to `most` bytes, or to less than twice as much. A page of a few small events that comes at once tells
 * nothing about a large one. */
void pace_took(struct pace *pace, enum pace_kind kind, struct pace_page page, int64_t heartbeat_us,
               int64_t most);

/* The connection is lost, and with it a page that was under way for `took_us`; 0: none was. The next server may be another one. */
void pace_lost(struct pace *pace, int64_t took_us, int64_t heartbeat_us);

#endif
