/* wait.c: deadlines for tests, stretched by OUTBOXD_TEST_PATIENCE. */
#include "support/wait.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <time.h>

double
wait_patience(void)
{
    const char *text = getenv("OUTBOXD_TEST_PATIENCE");
    double factor = text ? strtod(text, NULL) : 1;
    return factor >= 1 ? factor : 1;
}

int64_t
wait_deadline_us(int timeout_ms)
{
    return clock_monotonic_us() + (int64_t)((double)timeout_ms * 1000 * wait_patience());
}

bool
wait_turn(int64_t deadline_us)
{
    nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    return clock_monotonic_us() < deadline_us;
}

void
wait_turn_or_fail(int64_t deadline_us, const char *condition, const char *file, int line)
{
    if (!wait_turn(deadline_us))
        test_fail("%s:%d: waited in vain for: %s", file, line, condition);
}

bool
wait_until(wait_condition *condition, void *context, int timeout_ms)
{
    int64_t deadline_us = wait_deadline_us(timeout_ms);
    while (!condition(context))
        if (!wait_turn(deadline_us))
            return condition(context);
    return true;
}
