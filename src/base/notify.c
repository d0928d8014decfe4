/* notify.c: the messages of sd_notify(3), through libsystemd. Called by the relay's loop. Failures are
 * ignored on purpose: a service manager that cannot be told must not stop the relay; its watchdog will
 * notice. */
#include "base/notify.h"

#include "base/clock.h"

#include <stdbool.h>
#include <systemd/sd-daemon.h>

#define STATUS_MAX 512

static struct {
    bool asked;          /* the environment was read */
    int64_t interval_us; /* half of WATCHDOG_USEC; 0: nobody watches */
    int64_t next_us;
} watchdog;

/* The protocol is lines of NAME=value: a line end inside a status could claim READY=1 or another MAINPID. */
static void
send_status(const char *assignment, const char *status)
{
    char line[STATUS_MAX];
    size_t size = 0;
    for (; status[size] != '\0' && size < sizeof line - 1; size++)
        line[size] = (unsigned char)status[size] < 0x20 ? ' ' : status[size];
    line[size] = '\0';
    sd_notifyf(0, "%sSTATUS=%s", assignment, line);
}

void
notify_ready(const char *status)
{
    send_status("READY=1\n", status);
}

void
notify_status(const char *status)
{
    send_status("", status);
}

void
notify_stopping(const char *status)
{
    send_status("STOPPING=1\n", status);
}

int64_t
notify_watchdog(int64_t now_us)
{
    if (!watchdog.asked) {
        uint64_t timeout_us = 0;
        watchdog.asked = true;
        if (sd_watchdog_enabled(0, &timeout_us) > 0)
            watchdog.interval_us = timeout_us > 1 ? (int64_t)(timeout_us / 2) : 1;
    }
    if (watchdog.interval_us == 0)
        return CLOCK_NEVER;
    if (now_us >= watchdog.next_us) {
        sd_notify(0, "WATCHDOG=1");
        watchdog.next_us = now_us + watchdog.interval_us;
    }
    return watchdog.next_us;
}
