/* relay_pace.c: how large a page may be: as large as a line lets it be within a part of the lease, and not small where that would not help. */
#include "relay/pace.h"

#include <criterion/criterion.h>

#define KIB INT64_C(1024)
#define MOST (8192 * KIB)
#define HEARTBEAT_US INT64_C(750000)
#define LONG_US (HEARTBEAT_US / 2)
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A line, and what the server takes for a page of whatever size. */
struct line {
    int64_t us_per_kib, always_us;
};

static int64_t
take(const struct line *line, int64_t bytes)
{
    return line->always_us + line->us_per_kib * bytes / KIB;
}

/* So many pages, of as much as there is: the bytes of all of them, and what the longest of the last half took. */
static int64_t
read_pages(struct pace *pace, const struct line *line, int64_t there_is, int count, int64_t *longest_us)
{
    int64_t sum = 0;
    *longest_us = 0;
    for (int i = 0; i < count; i++) {
        int64_t bytes = pace->bytes < there_is ? pace->bytes + 600 : there_is;
        struct pace_page page = {.bytes = bytes, .took_us = take(line, bytes)};
        if (i >= count / 2 && page.took_us > *longest_us)
            *longest_us = page.took_us;
        pace_took(pace, PACE_STREAM, page, HEARTBEAT_US, MOST);
        sum += bytes;
    }
    return sum;
}

Test(pace, what_is_fast_grows_to_its_most_and_no_further)
{
    struct pace pace = {.bytes = PACE_FIRST};
    int64_t longest_us;
    read_pages(&pace, &(struct line){.us_per_kib = 1}, 100 * MOST, 20, &longest_us);
    cr_expect_eq(pace.bytes, MOST);
}

Test(pace, few_small_events_at_once_tell_nothing_about_a_large_page)
{
    struct pace pace = {.bytes = PACE_FIRST};
    int64_t longest_us;
    read_pages(&pace, &(struct line){.us_per_kib = 1}, 600, 20, &longest_us);
    cr_expect_eq(pace.bytes, PACE_FIRST);
    read_pages(&pace, &(struct line){.always_us = LONG_US + 1}, 600, 20, &longest_us);
    cr_expect_eq(pace.bytes, PACE_LEAST, "a line that may be that slow");
}

Test(pace, behind_a_slow_line_a_page_takes_half_of_a_heartbeat_whatever_there_is)
{
    for (int64_t us_per_kib = 10; us_per_kib <= 20000; us_per_kib *= 2) {
        struct pace pace = {.bytes = PACE_FIRST};
        struct line line = {.us_per_kib = us_per_kib};
        int64_t longest_us;
        read_pages(&pace, &line, 100 * MOST, 40, &longest_us);
        cr_expect_leq(longest_us, LONG_US, "%d us for a KiB: %d us", (int)us_per_kib, (int)longest_us);
        cr_expect(pace.bytes > PACE_LEAST || take(&line, 4 * PACE_LEAST) > LONG_US, "%d us for a KiB",
                  (int)us_per_kib);
    }
}

/* What a distant server always takes is no reason for small pages. */
Test(pace, where_it_is_not_their_size_that_takes_long_pages_do_not_shrink_for_nothing)
{
    const int64_t there_are[] = {100 * KIB, 513 * KIB, 3000 * KIB, MOST};
    const int64_t always[] = {LONG_US + 1000, HEARTBEAT_US, 3 * LONG_US, 2 * HEARTBEAT_US - 1000};
    for (size_t i = 0; i < COUNT(there_are); i++)
        for (size_t j = 0; j < COUNT(always); j++) {
            struct pace pace = {.bytes = PACE_FIRST};
            struct line line = {.always_us = always[j]};
            int64_t longest_us, sum = read_pages(&pace, &line, there_are[i], 1000, &longest_us);
            cr_expect_gt(sum, 1000 * there_are[i] / 2, "%d bytes, %d us: %d", (int)there_are[i],
                         (int)always[j], (int)(sum / 1000));
        }
}

/* However much of a page's time is of its size and however much is not, the lead is kept: a heartbeat is a quarter of the lease. */
Test(pace, where_both_take_long_a_page_leaves_the_leader_its_lease)
{
    for (int64_t always_us = 0; always_us <= 2 * HEARTBEAT_US; always_us += 20000)
        for (int64_t us_per_kib = 1; us_per_kib < 600; us_per_kib += 7) {
            struct pace pace = {.bytes = PACE_FIRST};
            struct line line = {.always_us = always_us, .us_per_kib = us_per_kib};
            int64_t longest_us;
            read_pages(&pace, &line, 100 * MOST, 400, &longest_us);
            cr_assert_lt(longest_us, 3 * HEARTBEAT_US, "%d us and %d us for a KiB: %d us", (int)always_us,
                         (int)us_per_kib, (int)longest_us);
        }
}

Test(pace, small_pages_of_a_distant_server_are_no_reason_for_small_ones_of_a_backlog)
{
    struct pace pace = {.bytes = PACE_FIRST};
    struct line line = {.always_us = LONG_US + 1000};
    int64_t longest_us;
    read_pages(&pace, &line, 600, 100, &longest_us);
    cr_expect_eq(pace.bytes, PACE_LEAST);
    read_pages(&pace, &line, 100 * MOST, 20, &longest_us);
    cr_expect_gt(pace.bytes, MOST / 4);
}

/* ---- what is compared with what ---- */

static void
take_page(struct pace *pace, enum pace_kind kind, int64_t bytes, int64_t took_us)
{
    pace_took(pace, kind, (struct pace_page){.bytes = bytes, .took_us = took_us}, HEARTBEAT_US, MOST);
}

/* Behind one of `bytes` that took so long, a page as large as the limit is takes longer than half of a heartbeat: is it of its size? */
static bool
shrinks_behind(int64_t bytes, int64_t took_us, int64_t then_us)
{
    struct pace pace = {.bytes = PACE_FIRST};
    take_page(&pace, PACE_STREAM, bytes, took_us);
    int64_t before = pace.bytes;
    take_page(&pace, PACE_STREAM, before, then_us);
    return pace.bytes < before;
}

Test(pace, a_page_of_half_as_much_that_is_a_quarter_faster_says_that_it_is_the_size)
{
    cr_expect(shrinks_behind(PACE_FIRST, 600000, 400000));
    cr_expect_not(shrinks_behind(PACE_FIRST, 480000, 400000));
    cr_expect_not(shrinks_behind(600, 400000, 480000), "the larger one comes last");
    cr_expect(shrinks_behind(600, 400000, 520000));
    cr_expect(shrinks_behind(PACE_FIRST * 5 / 8, 400000, 400000), "they are of one size, nearly");
    cr_expect(shrinks_behind(PACE_FIRST, 2 * HEARTBEAT_US + 1, 2 * HEARTBEAT_US),
              "no larger ones, whatever it is");
    cr_expect(shrinks_behind(600, LONG_US, LONG_US + 1), "the first one did not take long");
}

Test(pace, small_pages_of_two_sizes_tell_nothing_about_large_ones)
{
    struct pace pace = {.bytes = PACE_FIRST};
    for (int i = 0; i < 100; i++)
        take_page(&pace, PACE_STREAM, i % 2 == 0 ? 600 : 1200, LONG_US + 1);
    cr_expect_eq(pace.bytes, PACE_LEAST);
}

Test(pace, what_one_kind_of_page_takes_is_not_compared_with_another)
{
    struct pace pace = {.bytes = PACE_FIRST};
    for (int i = 0; i < 100; i++) { /* each says that it is not the size, were they one */
        take_page(&pace, PACE_HELD, PACE_FIRST, LONG_US + 1);
        take_page(&pace, PACE_STREAM, 600, LONG_US + 1);
    }
    cr_expect_eq(pace.bytes, PACE_LEAST);
    pace = (struct pace){.bytes = PACE_FIRST};
    for (int i = 0; i < 100; i++) { /* what the one says is not forgotten for the other */
        take_page(&pace, PACE_HELD, pace.bytes, LONG_US + 1);
        take_page(&pace, PACE_STREAM, 600, 1000);
    }
    cr_expect_geq(pace.bytes, PACE_FIRST / 2);
}

Test(pace, a_page_that_was_lost_after_long_is_followed_by_smaller_ones)
{
    struct pace pace = {.bytes = PACE_FIRST};
    pace_lost(&pace, LONG_US, HEARTBEAT_US);
    cr_expect_eq(pace.bytes, PACE_FIRST, "the server has ended");
    pace_lost(&pace, LONG_US + 1, HEARTBEAT_US);
    cr_expect_eq(pace.bytes, PACE_FIRST / 2);
    for (int i = 0; i < 20; i++)
        pace_lost(&pace, LONG_US + 1, HEARTBEAT_US);
    cr_expect_eq(pace.bytes, PACE_LEAST);
}

Test(pace, what_was_slow_before_a_quick_one_is_not_compared)
{
    struct pace pace = {.bytes = PACE_FIRST};
    take_page(&pace, PACE_STREAM, 600, LONG_US + 1);
    take_page(&pace, PACE_STREAM, 600, 1000);
    take_page(&pace, PACE_STREAM, pace.bytes, LONG_US + 1);
    cr_expect_eq(pace.bytes, PACE_FIRST / 4);
}

Test(pace, what_the_server_before_took_is_not_compared)
{
    struct pace pace = {.bytes = PACE_FIRST};
    take_page(&pace, PACE_STREAM, 600, LONG_US + 1);
    pace_lost(&pace, 0, HEARTBEAT_US);
    take_page(&pace, PACE_STREAM, pace.bytes, LONG_US + 1);
    cr_expect_eq(pace.bytes, PACE_FIRST / 4);
}
