/* stop.c: see stop.h. The signals stay blocked and are fetched, so that none can come between a look and a wait. */
#include "stop.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static sigset_t ends;
static bool asked;

void
stop_prepare(void)
{
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
}

int64_t
stop_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

bool
stop_within(int64_t ms)
{
    int64_t until = stop_clock_ms() + ms;
    while (!asked) {
        int64_t left = until - stop_clock_ms();
        left = left > 0 ? left : 0;
        struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        asked = sigtimedwait(&ends, NULL, &wait) > 0;
        if (!asked && (errno != EINTR || left == 0))
            break;
    }
    return asked;
}
