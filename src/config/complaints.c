/* complaints.c: collects, sorts and prints what is wrong with a configuration file. Called by the other files
 * of this room; decides nothing. */
#include "config/complaints.h"

#include <stdlib.h>
#include <string.h>

/* A file with more mistakes than this is not a configuration file; 100 lines are more than a person corrects
 * in one go. */
#define LISTED_MOST 100
#define QUOTED_MOST 60

static void add(struct complaints *complaints, int line, const char *key, const char *level,
                const char *format, va_list arguments) __attribute__((format(printf, 5, 0)));

static void
add(struct complaints *complaints, int line, const char *key, const char *level, const char *format,
    va_list arguments)
{
    char *reason = NULL, place[16] = "";
    if (complaints->count == LISTED_MOST) {
        complaints->unlisted++;
        return;
    }
    if (complaints->count == complaints->capacity) {
        complaints->capacity = complaints->capacity ? complaints->capacity * 2 : 8;
        complaints->list = must_realloc(complaints->list, complaints->capacity, sizeof *complaints->list);
    }
    if (line > 0)
        snprintf(place, sizeof place, ":%d", line);
    CHECK(vasprintf(&reason, format, arguments) >= 0);
    complaints->list[complaints->count++] =
        (struct complaint){.line = line,
                           .text = must_format("%s%s: %s%s%s%s", complaints->file, place, key ? key : "",
                                               key ? ": " : "", level, reason)};
    free(reason);
}

void
complaints_add(struct complaints *complaints, int line, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complaints->mistakes++;
    add(complaints, line, key, "", format, arguments);
    va_end(arguments);
}

void
complaints_warn(struct complaints *complaints, int line, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(complaints, line, key, "warning: ", format, arguments);
    va_end(arguments);
}

/* An insertion sort: stable, so that two complaints about one line keep the order of their finding. */
static void
sort_by_line(struct complaint *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct complaint moving = list[i];
        size_t at = i;
        for (; at > 0 && list[at - 1].line > moving.line; at--)
            list[at] = list[at - 1];
        list[at] = moving;
    }
}

void
complaints_print(struct complaints *complaints, FILE *to)
{
    sort_by_line(complaints->list, complaints->count);
    for (size_t i = 0; i < complaints->count; i++)
        fprintf(to, "%s\n", complaints->list[i].text);
    if (complaints->unlisted > 0)
        fprintf(to, "%s: and %zu more\n", complaints->file, complaints->unlisted);
}

void
complaints_free(struct complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++)
        free(complaints->list[i].text);
    free(complaints->list);
    *complaints = (struct complaints){0};
}

const char *
complaints_quote(const char *text, char quoted[COMPLAINTS_QUOTED])
{
    char *to = quoted;
    size_t size = strlen(text);
    *to++ = '"';
    for (size_t i = 0; i < size && i < QUOTED_MOST; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte < 0x7f)
            *to++ = (char)byte;
        else
            to += snprintf(to, 5, "\\x%02x", byte);
    }
    snprintf(to, 6, "%s\"", size > QUOTED_MOST ? "..." : "");
    return quoted;
}
