/* units.c: parses and prints durations, sizes and counts. Pure; called by settings and by the writers of the
 * example and the manual page. */
#include "config/units.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* from the smallest to the largest; ended by a NULL */
static const struct unit DURATIONS[] = {{"ms", 1000},
                                        {"s", 1000 * INT64_C(1000)},
                                        {"m", 60 * INT64_C(1000000)},
                                        {"h", 3600 * INT64_C(1000000)},
                                        {"d", 86400 * INT64_C(1000000)},
                                        {NULL, 0}};
static const struct unit SIZES[] = {
    {"B", 1}, {"KiB", INT64_C(1) << 10}, {"MiB", INT64_C(1) << 20}, {"GiB", INT64_C(1) << 30}, {NULL, 0}};

#define DURATION_SHAPE "a whole number and ms, s, m, h or d, such as 250ms"
#define SIZE_SHAPE "a whole number and B, KiB, MiB or GiB, such as 8MiB"
#define COUNT_SHAPE "a whole number"

/* Reads the digits at the start of `text`; `rest` is what follows. */
static bool
parse_digits(const char *text, const char *shape, int64_t *number, const char **rest, struct error *error)
{
    const char *at = text;
    bool fits = true;
    *number = 0;
    *rest = text;
    if (*at == '-')
        return error_set(error, ERROR_CONFIG, "is not %s: it may not be negative", shape);
    for (; *at >= '0' && *at <= '9'; at++)
        fits = fits && !__builtin_mul_overflow(*number, 10, number) &&
               !__builtin_add_overflow(*number, *at - '0', number);
    if (at == text || (*text == '0' && at > text + 1))
        return error_set(error, ERROR_CONFIG, "is not %s", shape);
    if (!fits)
        return error_set(error, ERROR_CONFIG, "is too large");
    *rest = at;
    return true;
}

static bool
parse_with_unit(const char *text, const struct unit *units, const char *shape, int64_t *value,
                struct error *error)
{
    int64_t number;
    const char *suffix;
    if (!parse_digits(text, shape, &number, &suffix, error))
        return false;
    if (*suffix == '\0')
        return error_set(error, ERROR_CONFIG, "has no unit: write %s", shape);
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (strcmp(suffix, unit->name) != 0)
            continue;
        if (__builtin_mul_overflow(number, unit->factor, value))
            return error_set(error, ERROR_CONFIG, "is too large");
        return true;
    }
    return error_set(error, ERROR_CONFIG, "is not %s", shape);
}

bool
units_parse_duration(const char *text, int64_t *us, struct error *error)
{
    return parse_with_unit(text, DURATIONS, DURATION_SHAPE, us, error);
}

bool
units_parse_size(const char *text, int64_t *bytes, struct error *error)
{
    return parse_with_unit(text, SIZES, SIZE_SHAPE, bytes, error);
}

bool
units_parse_count(const char *text, int64_t *count, struct error *error)
{
    const char *rest;
    if (!parse_digits(text, COUNT_SHAPE, count, &rest, error))
        return false;
    return *rest == '\0' || error_set(error, ERROR_CONFIG, "is not " COUNT_SHAPE);
}

static const char *
format_with_unit(int64_t value, const struct unit *units, char to[UNITS_TEXT])
{
    const struct unit *best = &units[0];
    for (const struct unit *unit = units; unit->name != NULL; unit++)
        if (value >= unit->factor && value % unit->factor == 0)
            best = unit;
    snprintf(to, UNITS_TEXT, "%lld%s", (long long)(value / best->factor), best->name);
    return to;
}

const char *
units_format_duration(int64_t us, char to[UNITS_TEXT])
{
    return format_with_unit(us, DURATIONS, to);
}

const char *
units_format_size(int64_t bytes, char to[UNITS_TEXT])
{
    return format_with_unit(bytes, SIZES, to);
}
