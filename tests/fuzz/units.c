/* units.c: durations, sizes, counts and addresses of a configuration, each line of the input as all of these. What is taken has one
 * meaning, and the text that we print for it has the same. */
#include "config/units.h"

#include "fuzz/fuzz.h"
#include "http/listen.h"

#include <stdlib.h>
#include <string.h>

static void
check_listen(const char *text)
{
    struct listen_address address, again;
    struct error error;
    if (!listen_parse(text, &address, &error)) {
        CHECK(error.kind == ERROR_CONFIG);
        return;
    }
    bool v6 = text[0] == '[';
    char *written = must_format(v6 ? "[%s]:%s" : "%s:%s", address.host, address.port);
    CHECK(strcmp(written, text) == 0);
    CHECK(listen_parse(written, &again, &error) && strcmp(again.host, address.host) == 0);
    free(written);
}

static void
check_numbers(const char *text)
{
    char written[UNITS_TEXT];
    struct error error;
    int64_t value, again;
    if (units_parse_duration(text, &value, &error)) {
        CHECK(value >= 0 && units_parse_duration(units_format_duration(value, written), &again, &error) &&
              again == value);
        CHECK(strlen(written) <= strlen(text) || value == 0);
    } else {
        CHECK(error.kind == ERROR_CONFIG);
    }
    if (units_parse_size(text, &value, &error))
        CHECK(value >= 0 && units_parse_size(units_format_size(value, written), &again, &error) &&
              again == value);
    if (units_parse_count(text, &value, &error)) {
        char *count = must_format("%lld", (long long)value);
        CHECK(strcmp(count, text) == 0); /* one value has one spelling */
        free(count);
    }
}

int
fuzz_units(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size), *at = text;
    for (char *line; (line = fuzz_line(&at)) != NULL;) {
        check_numbers(line);
        check_listen(line);
    }
    free(text);
    return 0;
}
