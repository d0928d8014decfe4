/* utf8.h: bytes of unknown origin as text. Names, server messages and paths may hold anything; JSON, metrics
 * and logs may not. Pure. */
#ifndef OUTBOXD_BASE_UTF8_H
#define OUTBOXD_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `text`: 1 to 4, its code point in `*code`; 0 when the bytes are not UTF-8 (also
 * for overlong forms, surrogates and sequences that do not end within `size`). `size` > 0. */
size_t utf8_next(const char *text, size_t size, uint32_t *code);

/* A copy in valid UTF-8, NUL-terminated, for free(3): each byte that is not UTF-8 becomes the four characters
 * \xNN. */
char *utf8_clean(const char *text);

#endif
