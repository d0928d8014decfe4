/* log.h: one line a happening on standard error: a constant message, then key=value fields, as text or JSON.
 *     log_info("state changed", LOG_STR("from", a), LOG_STR("to", b), LOG_END);
 * Never pass a payload, a key or a secret. Values are escaped, so a hostile name cannot forge a line. */
#ifndef OUTBOXD_BASE_LOG_H
#define OUTBOXD_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_field_kind { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_REAL, LOG_FIELD_BOOL };

struct log_field {
    const char *key;
    enum log_field_kind kind;
    const char *string; /* LOG_FIELD_STR; NULL is written as null */
    int64_t integer;    /* LOG_FIELD_INT, LOG_FIELD_BOOL */
    double real;        /* LOG_FIELD_REAL */
};

#define LOG_STR(name, value) ((struct log_field){.key = (name), .kind = LOG_FIELD_STR, .string = (value)})
#define LOG_INT(name, value) ((struct log_field){.key = (name), .kind = LOG_FIELD_INT, .integer = (value)})
#define LOG_REAL(name, value) ((struct log_field){.key = (name), .kind = LOG_FIELD_REAL, .real = (value)})
#define LOG_BOOL(name, value) ((struct log_field){.key = (name), .kind = LOG_FIELD_BOOL, .integer = (value)})
#define LOG_END ((struct log_field){.kind = LOG_FIELD_END})

#define log_error(message, ...) log_write(LOG_LEVEL_ERROR, message, (const struct log_field[]){__VA_ARGS__})
#define log_warning(message, ...)                                                                            \
    log_write(LOG_LEVEL_WARNING, message, (const struct log_field[]){__VA_ARGS__})
#define log_info(message, ...) log_write(LOG_LEVEL_INFO, message, (const struct log_field[]){__VA_ARGS__})
#define log_debug(message, ...) log_write(LOG_LEVEL_DEBUG, message, (const struct log_field[]){__VA_ARGS__})

/* The first call of main: puts /dev/null, opened the wrong way round, on whichever of the descriptors 0, 1
 * and 2 is closed, so that no socket of ours ever takes the place of standard error. Lines then count as
 * dropped. */
void log_guard_descriptors(void);

/* Level and format of the process; info and text until called. */
void log_configure(enum log_level level, enum log_format format);

/* True when lines of this level are written. */
bool log_enabled(enum log_level level);

/* Writes one line of at most 4 KiB; values are cut to 2 KiB or less. Never blocks: when nobody reads the pipe
 * behind standard error, or its disk is full, the line is dropped and counted, and the next line that gets
 * through says how many are missing. Thread-safe. The keys "time", "level", "msg" and "log_dropped" are
 * taken. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* Lines dropped since the start of the process, because standard error could not take them. */
uint64_t log_dropped(void);

#endif
