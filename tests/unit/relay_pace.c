/* relay_pace.c: how large a page may be (P5): as large as a line lets it be within a part of the lease, and not small where that would not help. */
#include "relay/pace.h"

#include <criterion/criterion.h>

#define KIB INT64_C(1024)
#define MOST (8192 * KIB)
#define HEARTBEAT_US INT64_C(750000)
#define LONG_US (HEARTBEAT_US / 2)

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

Test(pace, P5_what_is_fast_grows_to_its_most_and_no_further)
{
    struct pace pace = {.bytes = PACE_FIRST};
    int64_t longest_us;
    read_pages(&pace, &(struct line){.us_per_kib = 1}, 100 * MOST, 20, &longest_us);
    cr_expect_eq(pace.bytes, MOST);
}

Test(pace, P5_few_small_events_at_once_tell_nothing_about_a_large_page)
{
    struct pace pace = {.bytes = PACE_FIRST};
    int64_t longest_us;
    read_pages(&pace, &(struct line){.us_per_kib = 1}, 600, 20, &longest_us);
    cr_expect_eq(pace.bytes, PACE_FIRST);
    read_pages(&pace, &(struct line){.always_us = LONG_US + 1}, 600, 20, &longest_us);
    cr_expect_eq(pace.bytes, PACE_LEAST, "a line that may be that slow");
}

Test(pace, P5_behind_a_slow_line_a_page_takes_half_of_a_heartbeat_whatever_there_is)
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

/* Also where the line is slow and distant: what is of the distance is no reason for small pages, what is of the size is. */
Test(pace, P5_where_it_is_not_their_size_that_takes_long_pages_do_not_shrink_for_nothing)
{
    const int64_t there_are[] = {100 * KIB, 513 * KIB, 3000 * KIB, 100 * MOST};
    struct line line = {.always_us = LONG_US + 1000, .us_per_kib = 0};
    for (size_t i = 0; i < sizeof there_are / sizeof *there_are; i++) {
        struct pace pace = {.bytes = PACE_FIRST};
        int64_t longest_us, there_is = there_are[i] < MOST ? there_are[i] : MOST,
                            sum = read_pages(&pace, &line, there_are[i], 1000, &longest_us);
        cr_expect_gt(sum, 1000 * there_is / 2, "%d bytes: %d", (int)there_are[i], (int)(sum / 1000));
    }
    struct pace pace = {.bytes = PACE_FIRST};
    int64_t longest_us;
    line.us_per_kib = 100;
    read_pages(&pace, &line, 100 * MOST, 1000, &longest_us);
    cr_expect_leq(longest_us, 2 * HEARTBEAT_US, "%d us", (int)longest_us);
}

Test(pace, P5_small_pages_of_a_distant_server_are_no_reason_for_small_ones_of_a_backlog)
{
    struct pace pace = {.bytes = PACE_FIRST};
    struct line line = {.always_us = LONG_US + 1000};
    int64_t longest_us;
    read_pages(&pace, &line, 600, 100, &longest_us);
    read_pages(&pace, &line, 100 * MOST, 20, &longest_us);
    cr_expect_gt(pace.bytes, MOST / 4);
}

Test(pace, P5_what_one_kind_of_page_takes_is_not_compared_with_another)
{
    struct pace pace = {.bytes = PACE_FIRST};
    struct pace_page held = {.took_us = 2 * LONG_US}, live = {.bytes = 600, .took_us = LONG_US + 1};
    for (int i = 0; i < 100; i++) {
        held.bytes = pace.bytes;
        pace_took(&pace, PACE_HELD, held, HEARTBEAT_US, MOST);
        pace_took(&pace, PACE_STREAM, (struct pace_page){.bytes = 600, .took_us = 1000}, HEARTBEAT_US, MOST);
    }
    cr_expect_geq(pace.bytes, PACE_FIRST / 2);
    pace = (struct pace){.bytes = PACE_FIRST};
    for (int i = 0; i < 100; i++) /* each says that it is not the size, were they one */
        pace_took(&pace, i % 2 == 0 ? PACE_HELD : PACE_STREAM, i % 2 == 0 ? held : live, HEARTBEAT_US, MOST);
    cr_expect_eq(pace.bytes, PACE_LEAST);
}

Test(pace, P5_a_page_that_was_lost_is_followed_by_smaller_ones)
{
    struct pace pace = {.bytes = PACE_FIRST};
    pace_lost(&pace);
    cr_expect_eq(pace.bytes, PACE_FIRST / 2);
    for (int i = 0; i < 20; i++)
        pace_lost(&pace);
    cr_expect_eq(pace.bytes, PACE_LEAST);
}
