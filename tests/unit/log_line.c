/* log_line.c: what a line of the log looks like, and that no value can forge one. */
#include "base/log_line.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

/* 2026-01-31T12:00:00.123456Z */
#define NOON 1769860800123456

static char *
text_line(const char *message, const struct log_field *fields)
{
    static struct log_line line;
    static char text[LOG_LINE_MAX + 1];
    struct log_entry entry = {NOON, LOG_LEVEL_INFO, message, fields, 0};
    log_line_render(&line, LOG_FORMAT_TEXT, &entry);
    cr_assert_eq(line.bytes[0], '\n');
    memcpy(text, line.bytes + 1, line.size - 1);
    text[line.size - 1] = '\0';
    return text;
}

static json_t *
json_line(const char *message, const struct log_field *fields)
{
    static struct log_line line;
    struct log_entry entry = {NOON, LOG_LEVEL_WARNING, message, fields, 0};
    log_line_render(&line, LOG_FORMAT_JSON, &entry);
    cr_assert_eq(line.bytes[0], '\n');
    cr_assert_eq(line.bytes[line.size - 1], '\n');
    cr_assert_eq(memchr(line.bytes + 1, '\n', line.size - 1), line.bytes + line.size - 1, "one line only");
    for (size_t i = 1; i < line.size - 1; i++)
        cr_assert(line.bytes[i] >= 0x20 && line.bytes[i] < 0x7f, "byte %02x in a JSON line", line.bytes[i]);
    json_t *object = json_loadb(line.bytes + 1, line.size - 1, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(object, "%.*s", (int)line.size, line.bytes);
    return object;
}

static const char *
json_field(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__, LOG_END})

Test(log_line, text_is_time_level_message_and_fields)
{
    const char *line =
        text_line("state changed", FIELDS(LOG_STR("from", "standby"), LOG_STR("why", "the lease ran out"),
                                          LOG_INT("epoch", -42), LOG_REAL("lag", 0.25),
                                          LOG_BOOL("leader", true), LOG_STR("holder", NULL)));
    cr_assert_str_eq(line,
                     "2026-01-31T12:00:00.123Z info state changed from=standby why=\"the lease ran out\" "
                     "epoch=-42 lag=0.25 leader=true holder=null\n");
}

Test(log_line, every_level_has_its_name)
{
    static const char *const names[] = {"Z error m", "Z warning m", "Z info m", "Z debug m"};
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        struct log_line line;
        struct log_entry entry = {NOON, (enum log_level)level, "m", FIELDS(LOG_INT("a", 1)), 0};
        log_line_render(&line, LOG_FORMAT_TEXT, &entry);
        line.bytes[line.size - 1] = '\0';
        cr_assert_not_null(strstr(line.bytes, names[level]), "%s", line.bytes);
    }
}

Test(log_line, json_has_the_same_fields_with_their_types)
{
    json_t *line = json_line("state changed", FIELDS(LOG_STR("why", "the \"lease\""), LOG_INT("epoch", -42),
                                                     LOG_REAL("lag", 0.25), LOG_BOOL("leader", false),
                                                     LOG_STR("holder", NULL)));
    cr_assert_str_eq(json_field(line, "time"), "2026-01-31T12:00:00.123Z");
    cr_assert_str_eq(json_field(line, "level"), "warning");
    cr_assert_str_eq(json_field(line, "msg"), "state changed");
    cr_assert_str_eq(json_field(line, "why"), "the \"lease\"");
    cr_assert_eq(json_integer_value(json_object_get(line, "epoch")), -42);
    cr_assert_float_eq(json_real_value(json_object_get(line, "lag")), 0.25, 1e-9);
    cr_assert(json_is_false(json_object_get(line, "leader")));
    cr_assert(json_is_null(json_object_get(line, "holder")));
    json_decref(line);
}

Test(log_line, numbers_that_json_lacks_become_null)
{
    json_t *line =
        json_line("m", FIELDS(LOG_REAL("nan", __builtin_nan("")), LOG_REAL("inf", __builtin_inf())));
    cr_assert(json_is_null(json_object_get(line, "nan")));
    cr_assert(json_is_null(json_object_get(line, "inf")));
    json_decref(line);
}

Test(log_line, fault_85_a_value_cannot_forge_a_line_or_move_the_cursor)
{
    static const struct {
        const char *value, *text;
    } cases[] = {
        {"a\nb", "\"a\\nb\""},
        {"a\r\n2026-01-31T12:00:00.123Z error forged", "\"a\\r\\n2026-01-31T12:00:00.123Z error forged\""},
        {"\x1b[2J\x1b[31mred", "\"\\u001b[2J\\u001b[31mred\""},
        {"tab\there", "\"tab\\there\""},
        {"\x7f", "\"\\u007f\""},
        {"\xc2\x9b"
         "2J",
         "\"\\u009b2J\""}, /* the one-character form of ESC [ */
        {"\xe2\x80\xae"
         "gpj",
         "\"\\u202egpj\""},                      /* right-to-left override */
        {"\xe2\x80\xa8", "\"\\u2028\""},         /* line separator */
        {"\xff\xfe", "\"\\xff\\xfe\""},          /* not UTF-8 */
        {"\xc0\xaf", "\"\\xc0\\xaf\""},          /* overlong '/' */
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""}, /* a surrogate */
        {"\xe2\x82", "\"\\xe2\\x82\""},          /* cut short */
        {"say \"hi\" \\o/", "\"say \\\"hi\\\" \\\\o/\""},
        {"x level=error", "\"x level=error\""},
        {"x=y", "\"x=y\""},
        {"", "\"\""},
        {"null", "\"null\""},
        {"true", "\"true\""},
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         "\"gr\xc3\xbc\xc3\x9f"
         "e\""},
        {"10.0.0.1:9092", "10.0.0.1:9092"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[200];
        snprintf(wanted, sizeof wanted, "2026-01-31T12:00:00.123Z info m v=%s\n", cases[i].text);
        cr_assert_str_eq(text_line("m", FIELDS(LOG_STR("v", cases[i].value))), wanted);
        json_decref(json_line("m", FIELDS(LOG_STR("v", cases[i].value))));
    }
    cr_assert_str_eq(text_line("a\nb\x1b", FIELDS(LOG_INT("i", 1))),
                     "2026-01-31T12:00:00.123Z info a\\nb\\u001b i=1\n");
}

Test(log_line, json_gives_back_every_character_and_shows_every_other_byte)
{
    json_t *line = json_line("m", FIELDS(LOG_STR("good", "\x1b \r\n gr\xc3\xbc\xc3\x9f"
                                                         "e \xf0\x9f\x98\x80 \xe2\x80\xae"),
                                         LOG_STR("bad", "a\xff"
                                                        "b\xc0\xaf\x7f")));
    cr_assert_str_eq(json_field(line, "good"), "\x1b \r\n gr\xc3\xbc\xc3\x9f"
                                               "e \xf0\x9f\x98\x80 \xe2\x80\xae");
    cr_assert_str_eq(json_field(line, "bad"), "a\\xffb\\xc0\\xaf\\x7f");
    json_decref(line);
}

Test(log_line, the_message_of_an_error_fits_whole)
{
    char value[2048];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    const char *line = text_line("cannot step", FIELDS(LOG_STR("why", value)));
    cr_assert_not_null(strstr(line, value));
    json_t *object = json_line("cannot step", FIELDS(LOG_STR("why", value)));
    cr_assert_str_eq(json_field(object, "why"), value);
    json_decref(object);
}

Test(log_line, a_long_value_is_cut_between_characters)
{
    static char value[100001];
    for (size_t i = 0; i < 100000; i += 4)
        memcpy(value + i, "\xf0\x9f\x98\x80", 4);
    value[0] = 'x'; /* no cut falls on a multiple of four */
    value[1] = value[2] = value[3] = 'x';
    memmove(value + 1, value, 99999);
    const char *line = text_line("m", FIELDS(LOG_STR("v", value), LOG_STR("after", "seen")));
    cr_assert_null(strstr(line, "\\x"));
    cr_assert_not_null(strstr(line, "\xf0\x9f\x98\x80...\" after=seen\n"), "%s", line);
    json_t *object = json_line("m", FIELDS(LOG_STR("v", value), LOG_STR("after", "seen")));
    cr_assert_str_eq(json_field(object, "after"), "seen");
    cr_assert_null(strchr(json_field(object, "v"), '\\'));
    json_decref(object);
}

Test(log_line, hostile_values_shorten_each_other_until_the_line_fits)
{
    char value[3000];
    memset(value, '\x1b', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    const struct log_field *fields = FIELDS(LOG_STR("a", value), LOG_STR("b", value), LOG_INT("c", 7));
    const char *line = text_line("m", fields);
    cr_assert_leq(strlen(line) + 1, (size_t)LOG_LINE_MAX);
    cr_assert_not_null(strstr(line, "...\" b=\""));
    cr_assert_not_null(strstr(line, "...\" c=7\n"));
    json_t *object = json_line("m", fields);
    cr_assert_eq(json_integer_value(json_object_get(object, "c")), 7);
    cr_assert_not_null(strstr(json_field(object, "b"), "..."));
    json_decref(object);
}

Test(log_line, when_nothing_else_helps_the_fields_are_left_out_and_the_line_says_so)
{
    static char key[5000];
    memset(key, 'k', sizeof key - 1);
    cr_assert_str_eq(text_line("too much", FIELDS(LOG_STR(key, "v"))),
                     "2026-01-31T12:00:00.123Z info too much cut=true\n");
    json_t *object = json_line("too much", FIELDS(LOG_STR(key, "v")));
    cr_assert_str_eq(json_field(object, "msg"), "too much");
    cr_assert(json_is_true(json_object_get(object, "cut")));
    json_decref(object);
}
