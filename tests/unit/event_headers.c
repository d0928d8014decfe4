/* event_headers.c: the headers column becomes the flat list of Kafka headers it stands for. */
#include "event/headers.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* What the visitor saw, as text: name=value; or name; for a header without value. */
struct seen {
    char text[512];
    size_t calls, stop_after;
};

static bool
see(void *context, const char *name, size_t name_size, const char *value, size_t value_size)
{
    struct seen *seen = context;
    size_t at = strlen(seen->text);
    if (value == NULL)
        snprintf(seen->text + at, sizeof seen->text - at, "%.*s;", (int)name_size, name);
    else
        snprintf(seen->text + at, sizeof seen->text - at, "%.*s=%.*s;", (int)name_size, name, (int)value_size,
                 value);
    seen->calls++;
    return seen->stop_after == 0 || seen->calls < seen->stop_after;
}

static bool
walk(const char *json, struct seen *seen, struct error *error)
{
    *seen = (struct seen){.stop_after = seen->stop_after};
    return headers_each(json, json ? strlen(json) : 0, see, seen, error);
}

Test(event_headers, null_and_the_empty_object_are_no_headers)
{
    struct seen seen = {0};
    struct error error;
    cr_assert(walk(NULL, &seen, &error));
    cr_assert(walk("{}", &seen, &error));
    cr_assert(walk(" { } ", &seen, &error));
    cr_assert_eq(seen.calls, 0);
}

Test(event_headers, strings_arrays_and_null_come_in_the_objects_order)
{
    struct seen seen = {0};
    struct error error;
    cr_assert(
        walk("{\"b\": \"two\", \"a\": [\"x\", \"\", \"z\"], \"gone\": null, \"empty\": \"\", \"none\": []}",
             &seen, &error));
    cr_assert_str_eq(seen.text, "b=two;a=x;a=;a=z;gone;empty=;");
}

Test(event_headers, values_come_as_utf8_bytes_with_escapes_undone)
{
    struct seen seen = {0};
    struct error error;
    cr_assert(walk("{\"h\": \"gr\\u00fc\\u00dfe \\\"\\n\\ud83d\\ude00 \xc3\xa9\"}", &seen, &error));
    cr_assert_str_eq(seen.text, "h=gr\xc3\xbc\xc3\x9f"
                                "e \"\n\xf0\x9f\x98\x80 \xc3\xa9;");
}

Test(event_headers, the_text_need_not_end_in_nul)
{
    struct seen seen = {0};
    struct error error;
    cr_assert(headers_each("{\"a\":\"1\"}trailing", 9, see, &seen, &error));
    cr_assert_str_eq(seen.text, "a=1;");
}

Test(event_headers, another_shape_is_an_error_that_names_the_header)
{
    static const char *const shapes[] = {"{\"odd\": 1}",         "{\"odd\": true}",
                                         "{\"odd\": {}}",        "{\"odd\": [null]}",
                                         "{\"odd\": [[\"x\"]]}", "{\"odd\": [\"a\", 2]}"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct seen seen = {0};
        struct error error = {0};
        cr_assert_not(walk(shapes[i], &seen, &error), "%s was accepted", shapes[i]);
        cr_assert_eq(error.kind, ERROR_UNUSABLE);
        cr_assert_not_null(strstr(error.message, "odd"), "%s", error.message);
    }
}

/* What the table's CHECK lets nobody insert must still do no harm here. */
Test(event_headers, fault_39_text_that_is_no_json_object_is_an_error_and_is_not_quoted)
{
    static const char *const texts[] = {
        "",      "{",         "[]",        "\"secret\"",           "{\"a\":\"secret\"",
        "null",  "{\"a\" 1}", "{}secret}", "{\"a\":\"\xff\xfe\"}", "{\"a\":\"\\u0000\"}",
        "secret"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct seen seen = {0};
        struct error error = {0};
        cr_assert_not(walk(texts[i], &seen, &error), "%s was accepted", texts[i]);
        cr_assert_eq(error.kind, ERROR_UNUSABLE);
        cr_assert_null(strstr(error.message, "secret"), "%s", error.message);
        cr_assert_eq(seen.calls, 0);
    }
}

Test(event_headers, deep_nesting_is_refused_without_a_crash)
{
    enum { DEEP = 100000 };
    static char text[DEEP + 6] = "{\"a\":";
    memset(text + 5, '[', DEEP);
    struct seen seen = {0};
    struct error error = {0};
    cr_assert_not(headers_each(text, sizeof text - 1, see, &seen, &error));
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
}

Test(event_headers, a_visitor_that_stops_ends_the_walk)
{
    struct seen seen = {.stop_after = 2};
    struct error error = {0};
    cr_assert_not(walk("{\"a\": [\"1\", \"2\", \"3\"], \"b\": \"4\"}", &seen, &error));
    cr_assert_str_eq(seen.text, "a=1;a=2;");
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
}
