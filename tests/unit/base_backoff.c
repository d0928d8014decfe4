/* base_backoff.c: the wait before the next attempt doubles, has a bound, and is never quite the same. */
#include "base/backoff.h"
#include "base/clock.h"

#include <criterion/criterion.h>

Test(base_backoff, the_delay_doubles_between_its_bounds)
{
    struct backoff backoff = backoff_make(1000, 10000, 42);
    int64_t whole[] = {1000, 2000, 4000, 8000, 10000, 10000, 10000};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        int64_t delay = backoff_next_us(&backoff);
        cr_assert_geq(delay, whole[i] / 2);
        cr_assert_leq(delay, whole[i]);
    }
}

Test(base_backoff, after_a_success_it_begins_again)
{
    struct backoff backoff = backoff_make(1000, 1000000, 42);
    for (int i = 0; i < 8; i++)
        backoff_next_us(&backoff);
    cr_assert_geq(backoff_next_us(&backoff), 128000);
    backoff_reset(&backoff);
    cr_assert_leq(backoff_next_us(&backoff), 1000);
}

Test(base_backoff, two_relays_do_not_come_back_in_step)
{
    struct backoff one = backoff_make(1000000, 1000000, 1), other = backoff_make(1000000, 1000000, 2);
    int same = 0;
    for (int i = 0; i < 100; i++)
        same += backoff_next_us(&one) == backoff_next_us(&other);
    cr_assert_lt(same, 5);
}

Test(base_backoff, a_seed_of_zero_still_gives_jitter)
{
    struct backoff backoff = backoff_make(1000000, 1000000, 0);
    cr_assert_neq(backoff_next_us(&backoff), backoff_next_us(&backoff));
}

Test(base_clock, monotonic_time_does_not_go_back_and_wall_time_is_of_this_century)
{
    int64_t before = clock_monotonic_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_monotonic_us();
        cr_assert_geq(now, before);
        before = now;
    }
    cr_assert_gt(clock_wall_us(), 1600000000000000);
    cr_assert_lt(clock_wall_us(), 4102444800000000);
}
