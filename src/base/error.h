/* error.h: what a failed call tells its caller. An error is made once, at its source, with a kind that says
 * what can be done about it; callers add context in front and pass it on; who decides, logs. */
#ifndef OUTBOXD_BASE_ERROR_H
#define OUTBOXD_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

enum error_kind {
    ERROR_NONE,
    ERROR_USAGE,    /* the command line is wrong: exit 64 */
    ERROR_CONFIG,   /* the configuration is wrong: exit 78 */
    ERROR_UNUSABLE, /* Postgres or Kafka cannot be used as configured, a person must act: exit 69 */
    ERROR_RETRY,    /* the world is away for the moment: back off and try again, for ever */
    ERROR_FENCED,   /* another process leads: stop publishing, stand by */
    ERROR_INTERNAL, /* a broken invariant: stop loudly, exit 70 */
};

/* 2 KiB: a server's message with its detail and hint fits; longer text is cut and ends in "...". */
struct error {
    enum error_kind kind;
    char sqlstate[6]; /* five characters when Postgres said so, else "" */
    char message[2048];
};

/* Fills `error` (which may not be NULL) and returns false, so that `return error_set(...)` reads well. */
bool error_set(struct error *error, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " in front of the message; returns false. The kind stays. */
bool error_prefix(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* The process exit code for a kind (0, 64, 69, 70, 78); ERROR_RETRY and ERROR_FENCED, which only end a
 * one-shot command, give 69. */
int error_exit_code(enum error_kind kind);

/* Programmer errors. Stays in release builds: prints the place and the condition, aborts. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
_Noreturn void check_failed(const char *file, int line, const char *condition);

/* malloc, calloc, realloc and strdup that end the process, loudly, when memory is out. Never NULL, also not for 0. */
void *must_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *must_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *must_realloc(void *memory, size_t count, size_t size) __attribute__((returns_nonnull));
char *must_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *must_format(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((malloc, returns_nonnull));

#endif
