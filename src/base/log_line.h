/* log_line.h: how one line of the log looks, as text and as JSON:
 *     2026-01-31T12:00:00.123Z info state changed from=standby to=leading why="the lease ran out"
 *     {"time": "2026-01-31T12:00:00.123Z", "level": "info", "msg": "state changed", "from": "standby", ...}
 * Pure; used by log.c only. */
#ifndef OUTBOXD_BASE_LOG_LINE_H
#define OUTBOXD_BASE_LOG_LINE_H

#include "base/log.h"

#include <stddef.h>

/* PIPE_BUF on Linux: what a pipe takes whole or not at all, so that lines of several processes do not mix. */
#define LOG_LINE_MAX 4096

/* A field's value is cut to this many bytes, and further when many escapes would make the line too long. The
 * message of a struct error fits. */
#define LOG_VALUE_MAX 2048

struct log_line {
    char bytes[LOG_LINE_MAX]; /* a line feed, the line, a line feed; no NUL */
    size_t size;
    bool full; /* something did not fit */
};

struct log_entry {
    int64_t time_us; /* since 1970-01-01 UTC */
    enum log_level level;
    const char *message;
    const struct log_field *fields; /* ends with LOG_END */
    uint64_t dropped;               /* lines lost before this one: the field log_dropped, unless 0 */
};

/* Always gives a line: what cannot fit is cut and ends in "...", and when even short values do not fit, the
 * fields are left out and `cut=true` says so. */
void log_line_render(struct log_line *line, enum log_format format, const struct log_entry *entry);

#endif
