/* support.c: how targets take their input apart. Called by the targets; holds no property itself. */
#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"

#include <string.h>

char *
fuzz_text(const uint8_t *bytes, size_t size)
{
    char *text = must_alloc(size + 1);
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

char *
fuzz_line(char **at)
{
    char *line = *at;
    size_t size = line != NULL ? strcspn(line, "\n") : 0;
    if (line == NULL)
        return NULL;
    *at = line[size] == '\n' ? line + size + 1 : NULL;
    line[size] = '\0';
    return line;
}

bool
fuzz_is_utf8(const char *text, size_t size)
{
    uint32_t code;
    for (size_t at = 0, length; at < size; at += length)
        if ((length = utf8_next(text + at, size - at, &code)) == 0)
            return false;
    return true;
}
