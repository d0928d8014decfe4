/* base_spelling.c: what counts as a slip of the pen. */
#include "base/spelling.h"

#include <criterion/criterion.h>

Test(base_spelling, the_distance_is_how_many_letters_to_insert_drop_or_change)
{
    cr_expect_eq(spelling_distance("lease", "lease"), 0);
    cr_expect_eq(spelling_distance("leese", "lease"), 1);
    cr_expect_eq(spelling_distance("lese", "lease"), 1);
    cr_expect_eq(spelling_distance("leasee", "lease"), 1);
    cr_expect_eq(spelling_distance("laese", "lease"), 2);
    cr_expect_eq(spelling_distance("botstrap.sarvers", "bootstrap.servers"), 2);
}

Test(base_spelling, what_is_no_slip_is_far)
{
    static const char long_word[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    cr_expect_eq(spelling_distance("lax", "lease"), SPELLING_FAR, "three letters of a short word");
    cr_expect_eq(spelling_distance("a", "b"), SPELLING_FAR, "all of it");
    cr_expect_eq(spelling_distance("compession.typ", "compression.types"), 3, "a long word has more room");
    cr_expect_eq(spelling_distance("", "x"), SPELLING_FAR);
    cr_expect_eq(spelling_distance("", ""), 0);
    cr_expect_eq(sizeof long_word - 1, 65);
    cr_expect_eq(spelling_distance(long_word, long_word), SPELLING_FAR, "longer than any name of ours");
    cr_expect_eq(spelling_distance("x", long_word), SPELLING_FAR);
}
