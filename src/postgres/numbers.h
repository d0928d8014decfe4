/* numbers.h: numbers as parameters of a statement: their text, alive until the request is sent. For the files of this room that ask the
 * journal's statements. */
#ifndef OUTBOXD_POSTGRES_NUMBERS_H
#define OUTBOXD_POSTGRES_NUMBERS_H

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBERS_MOST 16

struct numbers {
    char text[NUMBERS_MOST][24];
    int used;
};

static inline const char *
number_text(struct numbers *numbers, int64_t value)
{
    CHECK(numbers->used < NUMBERS_MOST);
    char *text = numbers->text[numbers->used++];
    snprintf(text, sizeof numbers->text[0], "%" PRId64, value);
    return text;
}

/* NULL for 0, as confirmed_id has it. */
static inline const char *
number_or_null(struct numbers *numbers, int64_t value)
{
    return value ? number_text(numbers, value) : NULL;
}

#endif
