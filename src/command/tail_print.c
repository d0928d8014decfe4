/* tail_print.c: see tail_print.h. Called by tail.c, and for parts of it by dead and replay. Bytes of events are anybody's: nothing of them reaches a terminal that
 * could steer it or forge a line. */
#include "command/tail_print.h"

#include "command/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Where a line is cut. */
static const char cut_mark[] = "...";
#define CUT_COLUMNS 3

bool
tail_print_flush(struct tail_print *print)
{
    for (size_t done = 0; print->failed == 0 && done < print->size;) {
        ssize_t written = write(print->fd, print->bytes + done, print->size - done);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR)
            print->failed = errno;
    }
    print->size = 0;
    return print->failed == 0;
}

static void
put(struct tail_print *print, const char *bytes, size_t size)
{
    while (size > 0 && print->failed == 0) {
        size_t room = sizeof print->bytes - print->size, part = size < room ? size : room;
        memcpy(print->bytes + print->size, bytes, part);
        print->size += part;
        bytes += part;
        size -= part;
        if (print->size == sizeof print->bytes && !tail_print_flush(print))
            return; /* `failed` says it */
    }
}

void
tail_print_time(char to[TAIL_PRINT_TIME], int64_t time_us, bool micro)
{
    size_t size = TAIL_PRINT_TIME;
    struct tm utc;
    time_t whole = (time_t)(time_us / 1000000);
    int fraction = (int)(time_us % 1000000);
    size_t used = gmtime_r(&whole, &utc) != NULL ? strftime(to, size, "%Y-%m-%dT%H:%M:%S", &utc) : 0;
    snprintf(to + used, size - used, micro ? ".%06dZ" : ".%03dZ", micro ? fraction : fraction / 1000);
}

/* ---- a line for people ---- */

struct line {
    struct tail_print *print;
    int left; /* columns */
    bool cut; /* something did not fit */
};

/* Puts what fits into `most` columns and leaves room for the mark; `quoted`: no quotation mark ends it early. */
static void
put_text(struct line *line, const char *text, size_t size, int most, bool quoted)
{
    int end = line->left - most > CUT_COLUMNS ? line->left - most : CUT_COLUMNS;
    while (size > 0 && !line->cut) {
        char shown[PRINT_PIECE];
        size_t shown_size;
        int columns;
        size_t taken = print_piece(text, size, shown, &shown_size, &columns);
        if (quoted && *text == '"') {
            columns = snprintf(shown, sizeof shown, "\\x22");
            shown_size = (size_t)columns;
        }
        if (line->left - columns < end)
            break;
        put(line->print, shown, shown_size);
        line->left -= columns;
        text += taken;
        size -= taken;
    }
    if (size > 0 && end > CUT_COLUMNS && !line->cut) {
        put(line->print, cut_mark, CUT_COLUMNS); /* of this field only */
        line->left -= CUT_COLUMNS;
    } else if (size > 0) {
        line->cut = true;
    }
}

static void
put_words(struct line *line, const char *text)
{
    put_text(line, text, strlen(text), line->left, false);
}

/* One word, or quoted, so that a key can look neither like the next column nor like none. */
static void
put_key(struct line *line, const char *key, size_t size)
{
    if (key == NULL) {
        put_words(line, "-");
        return;
    }
    bool bare = size > 0 && memchr(key, ' ', size) == NULL && memchr(key, '"', size) == NULL &&
                (size != 1 || key[0] != '-');
    put_words(line, bare ? "" : "\"");
    put_text(line, key, size, line->print->width > 0 ? line->print->width / 3 : line->left, !bare);
    put_words(line, bare ? "" : "\"");
}

static void
print_line(struct tail_print *print, const struct event *event)
{
    struct line line = {.print = print, .left = print->width > 0 ? print->width : INT32_MAX};
    char begin[80], time[TAIL_PRINT_TIME];
    tail_print_time(time, event->created_at_us, false);
    snprintf(begin, sizeof begin, "%" PRId64 "  %s  ", event->id, time);
    put_words(&line, begin);
    put_words(&line, event->topic->name);
    put_words(&line, "  ");
    put_key(&line, event->key, event->key_size);
    put_words(&line, "  ");
    if (event->payload != NULL)
        put_text(&line, event->payload, event->payload_size, line.left, false);
    else
        put_words(&line, "(null)");
    put(print, line.cut ? cut_mark : "", line.cut ? CUT_COLUMNS : 0);
    put(print, "\n", 1);
}

/* ---- JSON ---- */

/* RFC 4648, section 4. */
static json_t *
base64(const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = (size + 2) / 3 * 4;
    char *text = must_alloc(length);
    for (size_t i = 0, at = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)(unsigned char)bytes[i] << 16;
        if (i + 1 < size)
            group |= (uint32_t)(unsigned char)bytes[i + 1] << 8;
        if (i + 2 < size)
            group |= (unsigned char)bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            text[at++] = digits[group >> shift & 63];
    }
    for (size_t i = 0; i < (3 - size % 3) % 3; i++)
        text[length - 1 - i] = '=';
    json_t *value = json_stringn_nocheck(text, length);
    free(text);
    return value;
}

void
tail_print_set_bytes(json_t *object, const char *name, const char *name_base64, const char *bytes,
                     size_t size)
{
    json_t *text = bytes != NULL ? json_stringn(bytes, size) : NULL; /* NULL: no UTF-8 */
    if (bytes == NULL)
        json_object_set_new(object, name, json_null());
    else if (text != NULL)
        json_object_set_new(object, name, text);
    else
        json_object_set_new(object, name_base64, base64(bytes, size));
}

json_t *
tail_print_object(const struct event *event)
{
    char time[TAIL_PRINT_TIME];
    tail_print_time(time, event->created_at_us, true);
    json_t *object = json_object();
    json_object_set_new(object, "id", json_integer(event->id));
    json_object_set_new(object, "created_at", json_string(time));
    json_object_set_new(object, "topic", json_string(event->topic->name));
    tail_print_set_bytes(object, "key", "key_base64", event->key, event->key_size);
    tail_print_set_bytes(object, "payload", "payload_base64", event->payload, event->payload_size);
    json_t *headers =
        event->headers != NULL ? json_loadb(event->headers, event->headers_size, 0, NULL) : NULL;
    json_object_set_new(object, "headers", headers != NULL ? headers : json_null());
    return object;
}

static int
put_dumped(const char *bytes, size_t size, void *print)
{
    put(print, bytes, size);
    return 0;
}

static void
print_json(struct tail_print *print, const struct event *event)
{
    json_t *object = tail_print_object(event);
    CHECK(json_dump_callback(object, put_dumped, print, JSON_COMPACT | JSON_ENSURE_ASCII) == 0);
    json_decref(object);
    put(print, "\n", 1);
}

bool
tail_print_event(struct tail_print *print, const struct event *event)
{
    if (print->json)
        print_json(print, event);
    else
        print_line(print, event);
    return print->failed == 0;
}
