/* notify.h: tells the service manager how we are (sd_notify(3)), for units of Type=notify with WatchdogSec.
 * Does nothing when NOTIFY_SOCKET is not set. The relay's thread only. */
#ifndef OUTBOXD_BASE_NOTIFY_H
#define OUTBOXD_BASE_NOTIFY_H

#include <stdint.h>

/* Start-up is over: what is ordered after the unit may start. `status` is one line for `systemctl status`. */
void notify_ready(const char *status);

/* A new line for `systemctl status`; call it when something changed. */
void notify_status(const char *status);

/* Asked to stop, and doing so. */
void notify_stopping(const char *status);

/* Call every turn of the loop. Says that we are alive when half of the manager's WATCHDOG_USEC has passed
 * since the last time. Returns when it wants to be called again at the latest (CLOCK_MONOTONIC,
 * microseconds), CLOCK_NEVER when nobody watches. */
int64_t notify_watchdog(int64_t now_us);

#endif
