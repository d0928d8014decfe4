/* findings.c: collects findings. Called by the inspections of Postgres and Kafka; prints nothing. */
#include "base/findings.h"

#include <stdio.h>
#include <stdlib.h>

static void
append(struct findings *findings, enum finding_level level, enum error_kind kind, const char *cure,
       char *what)
{
    if (findings->count == findings->capacity) {
        findings->capacity = findings->capacity ? findings->capacity * 2 : 16;
        findings->list = must_realloc(findings->list, findings->capacity, sizeof *findings->list);
    }
    findings->list[findings->count++] =
        (struct finding){.level = level, .kind = kind, .what = what, .cure = cure ? must_strdup(cure) : NULL};
}

static char *format_text(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static char *
format_text(const char *format, va_list arguments)
{
    char *text = NULL;
    CHECK(vasprintf(&text, format, arguments) >= 0);
    return text;
}

void
findings_ok(struct findings *findings, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append(findings, FINDING_OK, ERROR_NONE, NULL, format_text(format, arguments));
    va_end(arguments);
}

void
findings_add(struct findings *findings, enum finding_level level, enum error_kind kind, const char *cure,
             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append(findings, level, kind, cure, format_text(format, arguments));
    va_end(arguments);
}

const struct finding *
findings_first_error(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].level == FINDING_ERROR)
            return &findings->list[i];
    return NULL;
}

void
findings_free(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->list[i].what);
        free(findings->list[i].cure);
    }
    free(findings->list);
    *findings = (struct findings){0};
}
