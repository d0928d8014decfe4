/* utf8.c: decodes UTF-8 strictly (RFC 3629). Called by whatever prints bytes that it did not make itself. */
#include "base/utf8.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

size_t
utf8_next(const char *text, size_t size, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* below it, the form is overlong */
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        *code = first;
        return 1;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc0 || first >= 0xf8 || length > size)
        return 0;
    uint32_t value = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return length;
}

char *
utf8_clean(const char *text)
{
    size_t size = strlen(text), at = 0;
    char *clean = must_alloc(size * 4 + 1);
    for (size_t i = 0, length; i < size; i += length) {
        uint32_t code;
        length = utf8_next(text + i, size - i, &code);
        if (length > 0) {
            memcpy(clean + at, text + i, length);
            at += length;
        } else {
            at += (size_t)snprintf(clean + at, 5, "\\x%02x", (unsigned char)text[i]);
            length = 1;
        }
    }
    clean[at] = '\0';
    return clean;
}
