/* print.c: see print.h. Called by the commands. */
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

size_t
print_piece(const char *text, size_t size, char shown[PRINT_PIECE], size_t *shown_size, int *columns)
{
    uint32_t code = 0;
    size_t taken = utf8_next(text, size, &code);
    if (taken > 0 && !steers(code)) {
        memcpy(shown, text, taken);
        *shown_size = taken;
        *columns = code < 0x1100 ? 1 : 2; /* no wide character is below, and not all above are wide */
        return taken;
    }
    taken = taken > 0 ? taken : 1;
    for (size_t i = 0; i < taken; i++)
        snprintf(shown + 4 * i, 5, "\\x%02x", (unsigned char)text[i]);
    *shown_size = 4 * taken;
    *columns = (int)*shown_size;
    return taken;
}

void
print_octets(FILE *to, const char *octets, size_t size)
{
    while (size > 0) {
        char shown[PRINT_PIECE];
        size_t shown_size;
        int columns;
        size_t taken = print_piece(octets, size, shown, &shown_size, &columns);
        fwrite(shown, 1, shown_size, to);
        octets += taken;
        size -= taken;
    }
}

void
print_text(FILE *to, const char *text)
{
    print_octets(to, text, strlen(text));
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
