/* outcome.c: see outcome.h. */
#include "outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_STORED] = "stored",
        [OUTCOME_UNCHANGED] = "unchanged",
        [OUTCOME_NOT_FOUND] = "not_found",
        [OUTCOME_TIMEOUT] = "timeout",
        [OUTCOME_BAD_DATA] = "bad_data",
        [OUTCOME_REFUSED] = "refused",
        [OUTCOME_RATE_LIMITED] = "rate_limited",
        [OUTCOME_UNAUTHORIZED] = "unauthorized",
        [OUTCOME_STOPPED] = "stopped",
    };
    return names[outcome];
}

/* The text may be cut at a byte; Postgres would refuse half a character, and with it the row that says what was wrong. */
static void
drop_half_character(char *text)
{
    size_t start = strlen(text), tail = 0;
    while (start > 0 && (text[start - 1] & 0xc0) == 0x80)
        start--, tail++;
    unsigned char lead = start > 0 ? (unsigned char)text[start - 1] : 0;
    size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (tail < want)
        text[start - 1] = '\0';
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
    drop_half_character(result->why);
    return false;
}
