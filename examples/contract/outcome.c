/* outcome.c: see outcome.h. */
#include "outcome.h"

#include <stdarg.h>
#include <stdio.h>

const char *
outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_STORED] = "stored",       [OUTCOME_UNCHANGED] = "unchanged",
        [OUTCOME_NOT_FOUND] = "not_found", [OUTCOME_TIMEOUT] = "timeout",
        [OUTCOME_BAD_DATA] = "bad_data",   [OUTCOME_RATE_LIMITED] = "rate_limited",
        [OUTCOME_STOPPED] = "stopped",
    };
    return names[outcome];
}

bool
result_fail(struct result *result, enum outcome outcome, const char *format, ...)
{
    va_list arguments;
    result->outcome = outcome;
    result->retry_after_ms = 0;
    va_start(arguments, format);
    vsnprintf(result->why, sizeof result->why, format, arguments);
    va_end(arguments);
    return false;
}
