/* page.h: a run of events of one tick in id order, as read in one go from the outbox, with the memory they live in.
 * A page is filled by postgres/reader, travels through relay/pipeline and is freed when it is confirmed. Pages of side work (retries,
 * topics that catch up, replays) travel among those of the stream. */
#ifndef OUTBOXD_EVENT_PAGE_H
#define OUTBOXD_EVENT_PAGE_H

#include "event/event.h"

struct page_chunk;
struct pause;

struct page {
    struct event *events; /* in id order */
    size_t count, capacity;
    size_t cost;           /* sum of event_cost() */
    int64_t tick_seq;      /* the tick these events belong to .. */
    int64_t from_tick;     /* .. or one of those behind this one up to it, when a topic catches up */
    int64_t tick_nonce;    /* tells it from a tick of the same number in another history */
    int64_t last_id;       /* every event of the tick with id <= last_id is in this page or an earlier one */
    bool last_of_tick;     /* nothing of the tick follows */
    uint64_t first_serial; /* pipeline: number of its first event in the order of sending */
    size_t next;           /* pipeline: no event before this index is EVENT_UNSENT */
    size_t settled;        /* pipeline: every event before this index is EVENT_ACKNOWLEDGED */
    size_t answered;       /* pipeline: likewise, and none of them need be settled */
    size_t kept;           /* pipeline: sum of event_kept() */
    size_t freed;          /* pipeline: of `cost`, what librdkafka has freed again of what is acknowledged */
    struct page *later;    /* pipeline: the page after this one */
    int64_t side;          /* number of the side work it belongs to; 0: it is the stream's */
    struct pause *pause;   /* of the topic that catches up with it, the relay's; NULL: it is no such page */
    int64_t
        side_end; /* what that work's progress is when all of the page is settled; 0: its last event's id */
    bool side_asked; /* pipeline, exactly once: all of it is in the transaction that is being committed .. */
    bool side_committed;       /* .. and was */
    struct page_chunk *chunks; /* the bytes */
};

struct page *page_new(int64_t tick_seq);
void page_free(struct page *page); /* NULL is allowed */

/* Room for `size` bytes, as old as the page; 1-byte aligned. Large requests get an allocation of their own, so that
 * a page of one 16 MiB event holds 16 MiB and not twice that. */
char *page_bytes(struct page *page, size_t size);

/* The next event of the page, zeroed except for .page. Pointers to earlier events are invalid afterwards, so nobody
 * keeps any before the page is complete. */
struct event *page_add(struct page *page);

/* Takes back the event added last (a row that is passed over). */
void page_drop_last(struct page *page);

#endif
