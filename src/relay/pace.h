/* pace.h: how many bytes a page may have, so that reading it takes a small part of the lease: there is no heartbeat while a page is under way.
 * A page that took long halves the limit, a large one that came at once doubles it; but where pages of quite different sizes take the same
 * time it is not their size that costs it (a distant server, a statement that is dear whatever it finds), and small ones would be
 * slower for nothing: then it grows again. Pure. */
#ifndef OUTBOXD_RELAY_PACE_H
#define OUTBOXD_RELAY_PACE_H

#include <stdint.h>

/* Of another kind pages are found by another statement: what one takes tells nothing about the other. */
enum pace_kind { PACE_STREAM, PACE_HELD };
enum { PACE_KINDS = PACE_HELD + 1 };

struct pace {
    int64_t bytes; /* the limit */
    struct pace_page {
        int64_t bytes, took_us;
    } slow[PACE_KINDS]; /* the last one that took long; took_us 0: none */
};

/* The first page is small: nothing is known. A doubling each, so five pages to the default of `batch_bytes`. */
#define PACE_FIRST (INT64_C(256) * 1024)
/* One event at least is in a page, so that smaller ones would only be more of them. */
#define PACE_LEAST (INT64_C(16) * 1024)

/* A page was read. More than half of a heartbeat is long; the limit grows up to `most` bytes, or to less than twice as much. */
void pace_took(struct pace *pace, enum pace_kind kind, struct pace_page page, int64_t heartbeat_us,
               int64_t most);

/* A page was lost under way. */
void pace_lost(struct pace *pace);

#endif
