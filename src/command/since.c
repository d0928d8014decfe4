/* since.c: the value of --since: a time, or how long ago. Called by tail and rebase. */
#include "command/command.h"

#include "config/units.h"

#include <string.h>
#include <time.h>

/* RFC 3339: a zone must be given. False: it is none. */
static bool
parse_time(const char *text, int64_t *us)
{
    struct tm given = {0};
    int fraction = 0;
    const char *at = strptime(text, "%Y-%m-%d", &given);
    if (at == NULL || (*at != 'T' && *at != 't') || (at = strptime(at + 1, "%H:%M:%S", &given)) == NULL)
        return false;
    if (*at == '.') {
        int scale = 100000;
        int size = (int)strspn(++at, "0123456789");
        for (int i = 0; i < size; i++, scale /= 10)
            fraction += (at[i] - '0') * scale;
        at += size;
        if (size == 0)
            return false;
    }
    if (*at == 'z')
        at++;
    else if ((at = strptime(at, "%z", &given)) == NULL)
        return false;
    long east = given.tm_gmtoff;
    struct tm known = given;
    int64_t seconds = timegm(&known);
    bool exists = known.tm_mday == given.tm_mday && known.tm_sec == given.tm_sec; /* no 31st of June */
    *us = (seconds - east) * 1000000 + fraction;
    return exists && *at == '\0' && *us > 0;
}

bool
command_since(const char *value, int64_t *since_us, int64_t *back_us, struct error *error)
{
    *since_us = *back_us = 0;
    if (parse_time(value, since_us) || (units_parse_duration(value, back_us, error) && *back_us > 0))
        return true;
    return error_set(error, ERROR_USAGE,
                     "--since: '%s' is neither a time with its zone, such as 2026-01-31T12:00:00Z, nor a "
                     "duration, such as 10m (ms, s, m, h or d)",
                     value);
}
