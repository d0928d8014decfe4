/* spelling.h: which right name a misspelt one was probably meant to be: for "did you mean". Pure. */
#ifndef OUTBOXD_BASE_SPELLING_H
#define OUTBOXD_BASE_SPELLING_H

#include <stddef.h>

#define SPELLING_FAR ((size_t)-1)

/* How many letters to insert, drop or change (Levenshtein's distance); SPELLING_FAR when that is more than a slip: more than
 * 2 of them, 3 in a long word, half of a short one. */
size_t spelling_distance(const char *written, const char *right);

#endif
