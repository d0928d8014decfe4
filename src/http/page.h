/* page.h: the status page at `/`, for a person who was woken up: what is the state, what is stuck and why,
 * how far behind. Plain HTML and CSS: no scripts, nothing from elsewhere. Pure. Not the page of events
 * (event/page.h). */
#ifndef OUTBOXD_HTTP_PAGE_H
#define OUTBOXD_HTTP_PAGE_H

#include "http/snapshot.h"

/* Rows of the table of topics; the rest is counted below it and found in /status.json. */
#define HTTP_PAGE_TOPICS_MAX 200

/* The page, for free(3), and its size. `now_us` is CLOCK_MONOTONIC. */
char *http_page_write(const struct snapshot *snapshot, int64_t now_us, size_t *size);

#endif
