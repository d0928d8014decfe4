/* reader.h: reads the events of one tick, page by page, in id order. A page is asked for and read like every request of
 * session.h; a connection lost in between costs the page, not the place. */
#ifndef OUTBOXD_POSTGRES_READER_H
#define OUTBOXD_POSTGRES_READER_H

#include "base/error.h"
#include "event/page.h"
#include "postgres/session.h"
#include "postgres/tick.h"

struct reader;

/* All must outlive the reader. */
struct reader *reader_new(struct session *session, struct topic_table *topics);
/* Of one topic alone, and without the dead letters of this relay. */
struct reader *reader_new_of_topic(struct session *session, struct topic_table *topics, const char *relay,
                                   const struct topic *topic);
void reader_free(struct reader *reader); /* NULL is allowed */

/* Takes the tick over (and clears `tick`); events with id <= `after` are left out: they were settled before. */
void reader_begin(struct reader *reader, struct tick *tick, int64_t after);

/* Forgets the tick. */
void reader_drop(struct reader *reader); /* NULL is allowed */

/* True between reader_begin and the page that is last_of_tick. */
bool reader_has_more(const struct reader *reader);

/* Of the tick it is at: ids up to here were read. */
int64_t reader_after(const struct reader *reader);

int64_t reader_tick_seq(const struct reader *reader);

/* Asks for the next page: at most `events` rows and `bytes` of event_cost() plus one event. */
void reader_ask_page(struct reader *reader, int64_t events, int64_t bytes, int64_t now_us);

/* The page, perhaps without any event (all passed over, or the tick's rest is empty); the caller owns it. */
MUST_CHECK bool reader_read_page(struct reader *reader, struct page **page, struct error *error);

/* What the rows of the page that was read last cost (event_cost()), those that were passed over included. */
int64_t reader_page_cost(const struct reader *reader);

/* The connection was lost while a page was under way: it is dropped, and can be asked for again. */
void reader_lost(struct reader *reader); /* NULL is allowed */

#endif
