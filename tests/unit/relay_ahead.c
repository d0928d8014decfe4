/* relay_ahead.c: which dead letters the stream passes over when it comes to them again (P3), without any server. */
#include "relay/ahead.h"

#include <criterion/criterion.h>

static struct ahead ahead;

static void
clear(void)
{
    ahead_clear(&ahead);
}

TestSuite(ahead, .fini = clear);

Test(ahead, P3_those_that_were_added_are_found_in_whatever_order_they_came)
{
    cr_expect_not(ahead_has(&ahead, 5));
    for (int64_t id = 1000; id > 0; id -= 2)
        ahead_add(&ahead, 7, id);
    for (int64_t id = 1; id <= 1000; id++)
        cr_assert_eq(ahead_has(&ahead, id), id % 2 == 0, "%d", (int)id);
    ahead_add(&ahead, 8, 3); /* a late transaction has lower ids */
    cr_expect(ahead_has(&ahead, 3));
    cr_expect(ahead_has(&ahead, 1000));
}

Test(ahead, P3_those_that_are_confirmed_are_forgotten_and_no_others)
{
    ahead_add(&ahead, 7, 100);
    ahead_add(&ahead, 8, 20);
    ahead_add(&ahead, 8, 21);
    ahead_add(&ahead, 9, 5);
    ahead_confirm(&ahead, 7, 20);
    cr_expect_eq(ahead.count, 2);
    cr_expect_not(ahead_has(&ahead, 20));
    cr_expect(ahead_has(&ahead, 21));
    cr_expect(ahead_has(&ahead, 5));
    ahead_confirm(&ahead, 9, 0);
    cr_expect_eq(ahead.count, 0);
}
