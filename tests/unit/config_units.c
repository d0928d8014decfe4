/* config_units.c: numbers as people write them. */
#include "config/units.h"

#include <criterion/criterion.h>
#include <string.h>

typedef bool parser(const char *text, int64_t *value, struct error *error);

static void
expect_value(parser *parse, const char *text, int64_t expected)
{
    struct error error = {0};
    int64_t value = -1;
    cr_expect(parse(text, &value, &error), "%s %s", text, error.message);
    cr_expect_eq(value, expected, "%s gave %lld", text, (long long)value);
}

static void
expect_refused(parser *parse, const char *text, const char *message)
{
    struct error error = {0};
    int64_t value;
    cr_expect_not(parse(text, &value, &error), "%s was taken", text);
    cr_expect_eq(error.kind, ERROR_CONFIG);
    cr_expect_str_eq(error.message, message, "%s: %s", text, error.message);
}

Test(config_units, reads_durations_in_each_unit)
{
    expect_value(units_parse_duration, "250ms", 250000);
    expect_value(units_parse_duration, "3s", 3000000);
    expect_value(units_parse_duration, "2m", 120000000);
    expect_value(units_parse_duration, "24h", INT64_C(86400000000));
    expect_value(units_parse_duration, "365d", INT64_C(31536000000000));
    expect_value(units_parse_duration, "0s", 0);
    expect_value(units_parse_duration, "9223372036854775ms", INT64_C(9223372036854775000));
}

Test(config_units, reads_sizes_in_each_unit)
{
    expect_value(units_parse_size, "65536B", 65536);
    expect_value(units_parse_size, "64KiB", 65536);
    expect_value(units_parse_size, "8MiB", 8388608);
    expect_value(units_parse_size, "2GiB", INT64_C(2147483648));
}

Test(config_units, reads_counts)
{
    expect_value(units_parse_count, "0", 0);
    expect_value(units_parse_count, "10000", 10000);
    expect_value(units_parse_count, "9223372036854775807", INT64_MAX);
}

#define NO_DURATION "is not a whole number and ms, s, m, h or d, such as 250ms"
#define NO_SIZE "is not a whole number and B, KiB, MiB or GiB, such as 8MiB"

Test(config_units, refuses_what_is_no_whole_number_with_its_unit)
{
    static const char *const BAD[] = {"",    "s",      "1.5s", "1e3s",  "0x10s",     "010s",      "+1s",
                                      " 1s", "1 s",    "1s ",  "1sec",  "1S",        "1e400s",    "NaN",
                                      "1us", "1_000s", "1:30", "10ms5", "\xd9\xa3s", "10 parsecs"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        expect_refused(units_parse_duration, BAD[i], NO_DURATION);
    expect_refused(units_parse_size, "8MB", NO_SIZE);
    expect_refused(units_parse_size, "8mib", NO_SIZE);
    expect_refused(units_parse_size, "1TiB", NO_SIZE);
    expect_refused(units_parse_count, "1e400", "is not a whole number");
    expect_refused(units_parse_count, "10k", "is not a whole number");
    expect_refused(units_parse_count, "007", "is not a whole number");
}

Test(config_units, refuses_a_missing_unit)
{
    expect_refused(units_parse_duration, "10",
                   "has no unit: write a whole number and ms, s, m, h or d, such as 250ms");
    expect_refused(units_parse_size, "8388608",
                   "has no unit: write a whole number and B, KiB, MiB or GiB, such as 8MiB");
}

Test(config_units, refuses_negative_numbers)
{
    expect_refused(units_parse_duration, "-5ms", NO_DURATION ": it may not be negative");
    expect_refused(units_parse_count, "-1", "is not a whole number: it may not be negative");
}

Test(config_units, refuses_what_overflows_also_by_its_unit)
{
    expect_refused(units_parse_count, "9223372036854775808", "is too large");
    expect_refused(units_parse_count, "99999999999999999999999999999999", "is too large");
    expect_refused(units_parse_duration, "9223372036854776ms", "is too large");
    expect_refused(units_parse_duration, "106751992d", "is too large");
    expect_refused(units_parse_size, "8589934592GiB", "is too large");
}

Test(config_units, prints_the_largest_unit_that_leaves_a_whole_number)
{
    char text[UNITS_TEXT];
    cr_expect_str_eq(units_format_duration(1000, text), "1ms");
    cr_expect_str_eq(units_format_duration(INT64_C(90000000), text), "90s");
    cr_expect_str_eq(units_format_duration(INT64_C(86400000000), text), "1d");
    cr_expect_str_eq(units_format_size(65536, text), "64KiB");
    cr_expect_str_eq(units_format_size(1025, text), "1025B");
}
