/* pipeline.h: the pages in flight, oldest first: read -> sent -> acknowledged -> settled. Keeps the order in which events
 * go out (I2) and the edge up to which everything is acknowledged (I1). Pure: no clock, no I/O.
 *
 *      head                sending                       tail
 *     [AAAAAASA] -> [AASSSSSS] -> [SSUUUUUU] -> [UUUUUUUU]        A acknowledged, S sent, U unsent
 *            ^ edge                  ^ next                                                       */
#ifndef OUTBOXD_RELAY_PIPELINE_H
#define OUTBOXD_RELAY_PIPELINE_H

#include "event/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pipeline {
    struct page *head, *tail;
    struct page *sending; /* the first page that may hold an unsent event; NULL when there is none */
    uint64_t next_serial; /* of the next event that is pushed */
    size_t pages;
    size_t cost; /* bytes of all pages, read and not settled; of what is acknowledged, only what is kept */
    size_t kept; /* of them, what stays as long as the pages */
    size_t events_out;            /* sent and not reported */
    size_t refused, held, passed; /* events in these states: to be written down */
    size_t cost_out, kept_out;
    bool exact;         /* transactions decide */
    uint64_t committed; /* exact: of the first event that no transaction has committed yet */
};

/* How far everything is settled: all of tick `seq`, and of the next one the ids up to `id` (0: none). */
struct pipeline_edge {
    int64_t seq;
    int64_t id;
};

/* Appends a page, which then belongs to the pipeline; pages come in the order of their ticks and ids. */
void pipeline_push(struct pipeline *pipeline, struct page *page);

/* The first unsent event in order, or NULL. */
struct event *pipeline_next(struct pipeline *pipeline);

/* Position of an event in the order of sending: later events have larger numbers. */
uint64_t pipeline_serial(const struct event *event);

/* I6: `memory` has room for what librdkafka needs for this event beside what it has, and beside all pages; one event alone has room. */
bool pipeline_has_room(const struct pipeline *pipeline, const struct event *event, int64_t memory);

/* UNSENT -> SENT -> ACKNOWLEDGED, or back to UNSENT when its instance ended without an acknowledgement. */
void pipeline_sent(struct pipeline *pipeline, struct event *event);
void pipeline_acknowledged(struct pipeline *pipeline, struct event *event);
void pipeline_returned(struct pipeline *pipeline, struct event *event);

/* UNSENT -> REFUSED, HELD, PASSED, or ASIDE at once for what the database knows already; and those three -> ASIDE. In a page of side work
 * that has failed PASSED is an end: the event stays where it waits. */
void pipeline_set_aside(struct pipeline *pipeline, struct event *event, enum event_state state);

/* Moves the edge over what is settled without a gap and frees pages that are settled whole; stops at a page of side work, which stays
 * until pipeline_side_done(). False: it did not move, and *edge is untouched. */
bool pipeline_settle(struct pipeline *pipeline, struct pipeline_edge *edge);

/* The oldest event that is not settled, or NULL. */
const struct event *pipeline_oldest(const struct pipeline *pipeline);

/* The first event in order that Kafka has not acknowledged, or NULL: exactly once, others before it may wait for their commit. */
struct event *pipeline_oldest_unanswered(struct pipeline *pipeline);

/* The page of side work at the head of the pipeline, when every event of it is settled; else NULL. */
struct page *pipeline_side(struct pipeline *pipeline);
/* How far the work is with the events of its page before `serial`: the id of the last one before the first that is not settled or was passed,
 * or side_end; 0: nothing. */
int64_t pipeline_side_progress(const struct page *page, uint64_t serial);
/* It is written down how far pipeline_side() is: its page is freed. */
void pipeline_side_done(struct pipeline *pipeline);

/* Exactly once. The stream's last event before `serial` that no transaction has committed yet, or NULL. */
const struct event *pipeline_last_before(const struct pipeline *pipeline, uint64_t serial);
/* The pages that end before the first unsent event are asked to be committed; `visit` is called for each page of side work that has something
 * before it and not committed. */
typedef void pipeline_visit_page(void *context, const struct page *page);
void pipeline_ask_commit(struct pipeline *pipeline, uint64_t serial, pipeline_visit_page *visit,
                         void *context);
/* What was asked was not committed. */
void pipeline_forget_asked(struct pipeline *pipeline);
/* Every event before `serial` is committed; `visit` is called for each of them that was acknowledged and not committed. */
typedef void pipeline_visit(void *context, const struct event *event);
void pipeline_commit(struct pipeline *pipeline, uint64_t serial, pipeline_visit *visit, void *context);
/* What was acknowledged and not committed is unsent again: its transaction is lost. No event may be out. */
void pipeline_rewind(struct pipeline *pipeline);

/* Exactly once. How much was settled without being sent, and is not covered by a committed position: events, and pages of side work without
 * any. A transaction is to be made for it. */
size_t pipeline_unsent_settled(const struct pipeline *pipeline);

/* Frees every page. No event may be out. */
void pipeline_clear(struct pipeline *pipeline);

#endif
