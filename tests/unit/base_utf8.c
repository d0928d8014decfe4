/* base_utf8.c: what is UTF-8 and what is not. */
#include "base/utf8.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(base_utf8, characters_of_every_length_give_their_code_point)
{
    static const struct {
        const char *text;
        size_t length;
        uint32_t code;
    } cases[] = {{"A", 1, 0x41},
                 {"\x7f", 1, 0x7f},
                 {"\xc2\x80", 2, 0x80},
                 {"\xdf\xbf", 2, 0x7ff},
                 {"\xe0\xa0\x80", 3, 0x800},
                 {"\xed\x9f\xbf", 3, 0xd7ff},
                 {"\xee\x80\x80", 3, 0xe000},
                 {"\xef\xbf\xbf", 3, 0xffff},
                 {"\xf0\x90\x80\x80", 4, 0x10000},
                 {"\xf4\x8f\xbf\xbf", 4, 0x10ffff}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t code = 0;
        cr_assert_eq(utf8_next(cases[i].text, strlen(cases[i].text), &code), cases[i].length);
        cr_assert_eq(code, cases[i].code);
    }
}

Test(base_utf8, everything_else_is_refused)
{
    static const char *const cases[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xc2"
                                        "A",
                                        "\xe0\x9f\xbf",
                                        "\xe2\x82",
                                        "\xe2\x82"
                                        "A",
                                        "\xed\xa0\x80",
                                        "\xed\xbf\xbf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf0\x9f\x98",
                                        "\xf8\x88\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xff"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t code;
        cr_assert_eq(utf8_next(cases[i], strlen(cases[i]), &code), 0, "case %zu", i);
    }
}

Test(base_utf8, cleaning_keeps_characters_and_shows_bytes)
{
    char *clean = utf8_clean("gr\xc3\xbc\xc3\x9f"
                             "e\n\xff\xc3(");
    cr_assert_str_eq(clean, "gr\xc3\xbc\xc3\x9f"
                            "e\n\\xff\\xc3(");
    free(clean);
    clean = utf8_clean("");
    cr_assert_str_eq(clean, "");
    free(clean);
}
