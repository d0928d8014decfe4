/* error.c: makes errors, adds context to them, and ends the process on programmer errors and lost memory.
 * Called by every room; knows none of them. */
#include "base/error.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_cut(char *to, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void
format_cut(char *to, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(to, size, format, arguments);
    if (length >= 0 && (size_t)length >= size)
        memcpy(to + size - 4, "...", 4);
}

bool
error_set(struct error *error, enum error_kind kind, const char *format, ...)
{
    va_list arguments;
    error->kind = kind;
    error->sqlstate[0] = '\0';
    va_start(arguments, format);
    format_cut(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

bool
error_prefix(struct error *error, const char *format, ...)
{
    char context[512], rest[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    format_cut(context, sizeof context, format, arguments);
    va_end(arguments);
    memcpy(rest, error->message, sizeof rest);
    int length = snprintf(error->message, sizeof error->message, "%s: %s", context, rest);
    if (length >= 0 && (size_t)length >= sizeof error->message)
        memcpy(error->message + sizeof error->message - 4, "...", 4);
    return false;
}

int
error_exit_code(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return 0;
    case ERROR_USAGE:
        return 64;
    case ERROR_CONFIG:
        return 78;
    case ERROR_UNUSABLE:
    case ERROR_RETRY:
    case ERROR_FENCED:
        return 69;
    case ERROR_INTERNAL:
        break;
    }
    return 70;
}

void
check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "outboxd: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}

static void *
or_die(void *memory, size_t size)
{
    if (memory == NULL) {
        fprintf(stderr, "outboxd: out of memory (%zu bytes wanted)\n", size);
        abort();
    }
    return memory;
}

void *
must_alloc(size_t size)
{
    size = size ? size : 1;
    return or_die(malloc(size), size);
}

void *
must_calloc(size_t count, size_t size)
{
    count = count ? count : 1;
    return or_die(calloc(count, size), size);
}

void *
must_realloc(void *memory, size_t count, size_t size)
{
    size_t total;
    CHECK(!__builtin_mul_overflow(count, size, &total));
    total = total ? total : 1;
    return or_die(realloc(memory, total), total);
}

char *
must_strdup(const char *text)
{
    return or_die(strdup(text), strlen(text));
}

char *
must_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_die(length < 0 ? NULL : text, 0);
}
