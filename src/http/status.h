/* status.h: a snapshot as JSON: /status.json for scripts, and the two answers about health. Pure. */
#ifndef OUTBOXD_HTTP_STATUS_H
#define OUTBOXD_HTTP_STATUS_H

#include "http/snapshot.h"

/* The loop wakes up at least every second; ten missed turns mean that it hangs and a restart is the cure. */
#define STATUS_LIVE_US 10000000

/* True while the relay's loop has turned within STATUS_LIVE_US before `now_us` (CLOCK_MONOTONIC). */
bool status_is_live(const struct snapshot *snapshot, int64_t now_us);

/* True when it is live and says that it is ready. */
bool status_is_ready(const struct snapshot *snapshot, int64_t now_us);

/* Each gives text in JSON ending in a line feed, for free(3). */
char *status_write(const struct snapshot *snapshot, int64_t now_us);
char *status_write_live(const struct snapshot *snapshot, int64_t now_us);
char *status_write_ready(const struct snapshot *snapshot, int64_t now_us);

#endif
