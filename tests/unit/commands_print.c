/* commands_print.c: what check and status print for people: short numbers, and texts that cannot steer a terminal. */
#include "command/print.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void
expect_printed(const char *text, const char *printed)
{
    char *shown = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&shown, &size);
    cr_assert(to != NULL);
    print_text(to, text);
    cr_assert_eq(fclose(to), 0);
    cr_assert_str_eq(shown, printed);
    free(shown);
}

/* Row 85. */
Test(commands_print, bytes_that_would_steer_a_terminal_are_shown_as_numbers)
{
    expect_printed("plain, \xc3\xa9t\xc3\xa9 \xe6\x97\xa5", "plain, \xc3\xa9t\xc3\xa9 \xe6\x97\xa5");
    expect_printed("a\x1b[2Jb\nc\rd\x7f", "a\\x1b[2Jb\\x0ac\\x0dd\\x7f");
    expect_printed("\xc2\x9b"
                   "31m",
                   "\\xc2\\x9b31m"); /* the one-byte form of ESC [, as UTF-8 */
    expect_printed("\xff\xc3", "\\xff\\xc3");
    expect_printed("a\xe2\x80\xae"
                   "b",
                   "a\\xe2\\x80\\xae"
                   "b"); /* right-to-left override */
}

Test(commands_print, ages_sizes_and_counts_take_the_unit_that_keeps_them_short)
{
    char to[PRINT_SIZE];
    cr_assert_str_eq(print_age(-5, to), "0.0 s");
    cr_assert_str_eq(print_age(400000, to), "0.4 s");
    cr_assert_str_eq(print_age(119 * INT64_C(1000000), to), "119 s");
    cr_assert_str_eq(print_age(150 * INT64_C(1000000), to), "2.5 min");
    cr_assert_str_eq(print_age(3 * INT64_C(3600000000), to), "3.0 h");
    cr_assert_str_eq(print_age(100 * INT64_C(86400000000), to), "100 d");
    cr_assert_str_eq(print_bytes(0, to), "0 B");
    cr_assert_str_eq(print_bytes(1536, to), "1.5 KiB");
    cr_assert_str_eq(print_bytes(310 * INT64_C(1048576), to), "310 MiB");
    cr_assert_str_eq(print_bytes(INT64_MAX, to), "8388608 TiB");
    cr_assert_str_eq(print_count(9999, to), "9999");
    cr_assert_str_eq(print_count(12300, to), "12 thousand");
    cr_assert_str_eq(print_count(4100000, to), "4.1 million");
}
