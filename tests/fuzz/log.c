/* log.c: hostile values in a line of the log. The input is values, divided by the byte 1. Whatever they are: one line, of
 * at most 4 KiB, in UTF-8, without a control character; as JSON, a document that gives the values back. */
#include "base/log_line.h"

#include "base/error.h"
#include "fuzz/fuzz.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 4 };
/* Together; each byte of them takes six at most. */
enum { SHORT = 500 };

static void
check_line(const struct log_line *line)
{
    CHECK(line->size >= 2 && line->size <= LOG_LINE_MAX);
    CHECK(line->bytes[0] == '\n' && line->bytes[line->size - 1] == '\n');
    CHECK(fuzz_is_utf8(line->bytes, line->size));
    for (size_t i = 1; i + 1 < line->size; i++)
        CHECK((unsigned char)line->bytes[i] >= 0x20 && line->bytes[i] != 0x7f);
}

static void
check_json(const struct log_line *line, const struct log_entry *entry, size_t size)
{
    json_error_t why;
    json_t *object = json_loadb(line->bytes + 1, line->size - 2, JSON_REJECT_DUPLICATES, &why);
    CHECK(json_is_object(object));
    bool cut = json_is_true(json_object_get(object, "cut"));
    for (const struct log_field *field = entry->fields; !cut && field->kind == LOG_FIELD_STR; field++) {
        const char *value = json_string_value(json_object_get(object, field->key));
        CHECK(value != NULL);
        /* nothing was cut or replaced */
        if (size <= SHORT && strchr(field->string, 0x7f) == NULL &&
            fuzz_is_utf8(field->string, strlen(field->string)))
            CHECK(strcmp(value, field->string) == 0);
    }
    json_decref(object);
}

int
fuzz_log(const uint8_t *bytes, size_t size)
{
    static const char *const keys[FIELDS] = {"topic", "why", "key", "text"};
    char *text = fuzz_text(bytes, size);
    struct log_field fields[FIELDS + 3];
    size_t count = 0;
    for (char *at = text; at != NULL && count < FIELDS; count++) {
        char *end = strchr(at, 1);
        if (end != NULL)
            *end = '\0';
        fields[count] = LOG_STR(keys[count], at);
        at = end != NULL ? end + 1 : NULL;
    }
    fields[count] = LOG_INT("events", (int64_t)size);
    fields[count + 1] = LOG_REAL("lag_seconds", (double)size / 3);
    fields[count + 2] = LOG_END;
    struct log_entry entry = {
        .time_us = INT64_C(1700000000000000), .level = LOG_LEVEL_INFO, .message = "page sent"};
    entry.fields = fields;
    entry.dropped = size % 3;
    struct log_line line;
    log_line_render(&line, LOG_FORMAT_TEXT, &entry);
    check_line(&line);
    log_line_render(&line, LOG_FORMAT_JSON, &entry);
    check_line(&line);
    check_json(&line, &entry, size);
    free(text);
    return 0;
}
