/* spelling.c: compares names. Called by main and the rooms command, config and kafka for their messages about unknown names. */
#include "base/spelling.h"

#include <stdbool.h>
#include <string.h>

/* No key of ours and no property of librdkafka is longer; longer ones resemble none. */
#define WORD_SIZE_MOST 64
#define LONG_WORD 12

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One row of the matrix at a time. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[WORD_SIZE_MOST + 1], size = strlen(b);
    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < size; j++) {
            size_t changed = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(changed, 1 + least(row[j], diagonal));
        }
    }
    return row[size];
}

size_t
spelling_distance(const char *written, const char *right)
{
    size_t size = strlen(written);
    if (size > WORD_SIZE_MOST || strlen(right) > WORD_SIZE_MOST)
        return SPELLING_FAR;
    size_t far = distance(written, right);
    return far <= least(size >= LONG_WORD ? 3 : 2, size / 2) ? far : SPELLING_FAR;
}
