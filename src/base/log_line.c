/* log_line.c: renders lines. Everything that is not plain printable text is escaped, in names as in messages:
 * control characters, escape sequences of terminals, line ends, bytes that are not UTF-8, and characters that
 * reorder text. */
#include "base/log_line.h"

#include "base/utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHORTEST_VALUE 16

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void
append(struct log_line *line, const char *bytes, size_t size)
{
    if (size > sizeof line->bytes - 1 - line->size) { /* one byte stays for the line feed */
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void
append_text(struct log_line *line, const char *text)
{
    append(line, text, strlen(text));
}

/* Bytes from the start of `text` that make at most `limit` bytes of whole characters. */
static size_t
cut_size(const char *text, size_t limit)
{
    size_t size = strlen(text), at = 0, length;
    uint32_t code;
    if (size <= limit)
        return size;
    while ((length = utf8_next(text + at, size - at, &code)) <= limit - at && at < limit)
        at += length ? length : 1;
    return at;
}

/* Line and paragraph separators, marks and overrides of the writing direction, and the byte order mark. */
static bool
is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c ||
           (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* ---- text
 * --------------------------------------------------------------------------------------------------- */

static void
append_escaped(struct log_line *line, const char *text, size_t size)
{
    for (size_t i = 0, length; i < size; i += length) {
        char escape[16] = "";
        uint32_t code = 0;
        length = utf8_next(text + i, size - i, &code);
        if (length == 0) {
            length = 1;
            snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)text[i]);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            snprintf(escape, sizeof escape, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        } else if (code == '"' || code == '\\') {
            snprintf(escape, sizeof escape, "\\%c", (char)code);
        } else if (is_unsafe(code)) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)code);
        }
        if (escape[0] != '\0')
            append_text(line, escape);
        else
            append(line, text + i, length);
    }
}

/* A word may stand bare; anything else, and what could be taken for another kind of value, is quoted. */
static bool
is_bare(const char *value)
{
    return value[0] != '\0' && strcmp(value, "null") != 0 && strcmp(value, "true") != 0 &&
           strcmp(value, "false") != 0 &&
           strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/+@*[],") ==
               strlen(value);
}

static void
append_string(struct log_line *line, const char *value, size_t limit)
{
    size_t size = cut_size(value, limit);
    if (value[size] == '\0' && is_bare(value)) {
        append(line, value, size);
        return;
    }
    append_text(line, "\"");
    append_escaped(line, value, size);
    append_text(line, value[size] != '\0' ? "...\"" : "\"");
}

static void
append_field(struct log_line *line, const struct log_field *field, size_t limit)
{
    char number[40];
    append_text(line, " ");
    append_text(line, field->key);
    append_text(line, "=");
    switch (field->kind) {
    case LOG_FIELD_STR:
        if (field->string != NULL)
            append_string(line, field->string, limit);
        else
            append_text(line, "null");
        break;
    case LOG_FIELD_INT:
        snprintf(number, sizeof number, "%lld", (long long)field->integer);
        append_text(line, number);
        break;
    case LOG_FIELD_REAL:
        snprintf(number, sizeof number, "%.6g", field->real);
        append_text(line, number);
        break;
    case LOG_FIELD_BOOL:
        append_text(line, field->integer ? "true" : "false");
        break;
    case LOG_FIELD_END:
        break;
    }
}

static void
render_text(struct log_line *line, const char *time, const struct log_entry *entry, size_t limit)
{
    size_t size = cut_size(entry->message, limit);
    append_text(line, time);
    append_text(line, " ");
    append_text(line, level_names[entry->level]);
    append_text(line, " ");
    append_escaped(line, entry->message, size);
    append_text(line, entry->message[size] != '\0' ? "..." : "");
    for (const struct log_field *field = entry->fields; field->kind != LOG_FIELD_END; field++)
        append_field(line, field, limit);
    if (entry->dropped > 0)
        append_field(line, &LOG_INT("log_dropped", (int64_t)entry->dropped), limit);
}

/* ---- JSON
 * --------------------------------------------------------------------------------------------------- */

/* jansson takes UTF-8 only and writes everything but ASCII as \uNNNN here; other bytes are written as in
 * text. */
static json_t *
json_text(const char *text, size_t limit)
{
    struct log_line clean = {0};
    size_t size = cut_size(text, limit);
    for (size_t i = 0, length; i < size; i += length) {
        uint32_t code = 0;
        char escape[8];
        length = utf8_next(text + i, size - i, &code);
        if (length > 0 && code != 0x7f) {
            append(&clean, text + i, length);
        } else {
            length = 1;
            snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)text[i]);
            append_text(&clean, escape);
        }
    }
    append_text(&clean, text[size] != '\0' || clean.full ? "..." : "");
    return json_stringn(clean.bytes, clean.size);
}

static json_t *
json_value(const struct log_field *field, size_t limit)
{
    switch (field->kind) {
    case LOG_FIELD_STR:
        return field->string != NULL ? json_text(field->string, limit) : json_null();
    case LOG_FIELD_INT:
        return json_integer(field->integer);
    case LOG_FIELD_REAL:
        return isfinite(field->real) ? json_real(field->real) : json_null();
    case LOG_FIELD_BOOL:
        return json_boolean(field->integer != 0);
    case LOG_FIELD_END:
        break;
    }
    return json_null();
}

static int
append_dumped(const char *bytes, size_t size, void *context)
{
    append(context, bytes, size);
    return 0;
}

static void
render_json(struct log_line *line, const char *time, const struct log_entry *entry, size_t limit)
{
    json_t *object = json_object();
    json_object_set_new(object, "time", json_string(time));
    json_object_set_new(object, "level", json_string(level_names[entry->level]));
    json_object_set_new(object, "msg", json_text(entry->message, limit));
    for (const struct log_field *field = entry->fields; field->kind != LOG_FIELD_END; field++)
        json_object_set_new(object, field->key, json_value(field, limit));
    if (entry->dropped > 0)
        json_object_set_new(object, "log_dropped", json_integer((json_int_t)entry->dropped));
    if (json_dump_callback(object, append_dumped, line, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6)) != 0)
        line->full = true;
    json_decref(object);
}

/* ---- both
 * --------------------------------------------------------------------------------------------------- */

static void
format_time(char *to, size_t size, int64_t time_us)
{
    struct tm utc;
    char seconds[32];
    time_t whole = (time_t)(time_us / 1000000);
    gmtime_r(&whole, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(to, size, "%s.%03dZ", seconds, (int)(time_us / 1000 % 1000));
}

static bool
try_render(struct log_line *line, enum log_format format, const struct log_entry *entry, size_t limit)
{
    char time[48];
    format_time(time, sizeof time, entry->time_us);
    line->size = 0;
    line->full = false;
    append_text(line, "\n");
    if (format == LOG_FORMAT_JSON)
        render_json(line, time, entry, limit);
    else
        render_text(line, time, entry, limit);
    line->bytes[line->size++] = '\n';
    return !line->full;
}

void
log_line_render(struct log_line *line, enum log_format format, const struct log_entry *entry)
{
    for (size_t limit = LOG_VALUE_MAX; limit >= SHORTEST_VALUE; limit /= 2)
        if (try_render(line, format, entry, limit))
            return;
    struct log_entry bare = *entry;
    bare.fields = (const struct log_field[]){LOG_BOOL("cut", true), LOG_END};
    try_render(line, format, &bare, SHORTEST_VALUE);
}
