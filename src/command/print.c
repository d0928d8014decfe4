/* print.c: see print.h. Called by check and status. */
#include "command/print.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static bool
steers(uint32_t code)
{
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool direction =
        (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069); /* turns text around */
    return control || direction;
}

void
print_text(FILE *to, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        uint32_t code = 0;
        size_t size = utf8_next(text, left, &code);
        bool shown = size > 0 && !steers(code);
        size = size > 0 ? size : 1;
        if (shown)
            fwrite(text, 1, size, to);
        for (size_t i = 0; !shown && i < size; i++)
            fprintf(to, "\\x%02x", (unsigned char)text[i]);
        text += size;
        left -= size;
    }
}

/* Three digits tell enough; the first unit that gives fewer than `next` of it is taken. */
struct unit {
    const char *name;
    double size, next;
};

static const char *
in_units(double value, const struct unit *units, size_t count, char to[PRINT_SIZE])
{
    size_t i = 0;
    while (i + 1 < count && value / units[i].size >= units[i].next)
        i++;
    double shown = value / units[i].size;
    snprintf(to, PRINT_SIZE, shown < 9.95 && i > 0 ? "%.1f %s" : "%.0f %s", shown, units[i].name);
    return to;
}

const char *
print_age(int64_t us, char to[PRINT_SIZE])
{
    static const struct unit units[] = {
        {"s", 1e6, 120}, {"min", 60e6, 120}, {"h", 3600e6, 48}, {"d", 86400e6, 0}};
    if (us < 0)
        us = 0; /* the clock of whoever inserted was ahead */
    if (us < 9950000) {
        snprintf(to, PRINT_SIZE, "%.1f s", (double)us / 1e6);
        return to;
    }
    return in_units((double)us, units, sizeof units / sizeof units[0], to);
}

const char *
print_bytes(int64_t bytes, char to[PRINT_SIZE])
{
    static const struct unit units[] = {{"B", 1, 1000},
                                        {"KiB", 1024, 1000},
                                        {"MiB", 1048576, 1000},
                                        {"GiB", 1073741824, 1000},
                                        {"TiB", 1099511627776, 0}};
    return in_units((double)bytes, units, sizeof units / sizeof units[0], to);
}

const char *
print_count(int64_t count, char to[PRINT_SIZE])
{
    static const struct unit units[] = {{"thousand", 1e3, 1000}, {"million", 1e6, 1000}, {"billion", 1e9, 0}};
    if (count < 10000) {
        snprintf(to, PRINT_SIZE, "%" PRId64, count);
        return to;
    }
    return in_units((double)count, units, sizeof units / sizeof units[0], to);
}
