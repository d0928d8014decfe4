/* tail_print.h: what `outboxd tail` prints of an event: a line for people, or an object of JSON on a line. Writes to a descriptor
 * by itself, so that what could not be written is never written later. */
#ifndef OUTBOXD_COMMAND_TAIL_PRINT_H
#define OUTBOXD_COMMAND_TAIL_PRINT_H

#include "base/error.h"
#include "event/event.h"

#include <jansson.h>

struct tail_print {
    int fd;
    bool json;
    int width;  /* columns of the terminal; 0: none, nothing is cut */
    int failed; /* errno of the first write that failed; nothing is written after it */
    size_t size;
    char bytes[1 << 16]; /* not written yet */
};

/* Both are false when it cannot be written: EPIPE in `failed` means that nobody reads it any more. Both may wait for the
 * reader. */
MUST_CHECK bool tail_print_event(struct tail_print *print, const struct event *event);
MUST_CHECK bool tail_print_flush(struct tail_print *print);

/* ---- its parts, for what else is printed of an event ---- */

/* UTC, ISO 8601, with microseconds or milliseconds. */
#define TAIL_PRINT_TIME 48
void tail_print_time(char to[TAIL_PRINT_TIME], int64_t time_us, bool micro);

/* A new object with everything of the event. */
json_t *tail_print_object(const struct event *event);

/* As `name` when they are NULL, which is null, or UTF-8, else as `name_base64`. */
void tail_print_set_bytes(json_t *object, const char *name, const char *name_base64, const char *bytes,
                          size_t size);

#endif
