/* event_page.c: a page owns its events and their bytes, and holds no more memory than they need. */
#include "event/page.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <string.h>

Test(event_page, a_new_page_is_empty_and_knows_its_tick)
{
    struct page *page = page_new(7);
    cr_assert_eq(page->tick_seq, 7);
    cr_assert_eq(page->count, 0);
    cr_assert_null(page->chunks);
    page_free(page);
    page_free(NULL);
}

Test(event_page, an_added_event_is_zeroed_and_points_to_its_page)
{
    struct page *page = page_new(1);
    struct event *event = page_add(page);
    event->id = 42;
    event->key = "left over";
    page_drop_last(page);
    cr_assert_eq(page->count, 0);
    event = page_add(page);
    cr_assert_eq(page->count, 1);
    cr_assert_eq(event->id, 0);
    cr_assert_null(event->key);
    cr_assert_eq(event->page, page);
    cr_assert_eq(event->state, EVENT_UNSENT);
    page_free(page);
}

Test(event_page, events_stay_in_the_order_they_were_added)
{
    struct page *page = page_new(1);
    for (int64_t id = 1; id <= 10000; id++)
        page_add(page)->id = id;
    cr_assert_eq(page->count, 10000);
    for (size_t i = 0; i < page->count; i++) {
        cr_assert_eq(page->events[i].id, (int64_t)i + 1);
        cr_assert_eq(page->events[i].page, page);
    }
    page_free(page);
}

Test(event_page, bytes_of_all_sizes_never_overlap_and_stay_in_place)
{
    enum { MANY = 400 };
    struct page *page = page_new(1);
    static char *bytes[MANY];
    static size_t sizes[MANY];
    for (size_t i = 0; i < MANY; i++) {
        sizes[i] = i % 50 == 49 ? 300000
                                : (i * 7919) % 40000; /* small, near a chunk's end, and chunks of their own */
        bytes[i] = page_bytes(page, sizes[i]);
        cr_assert_not_null(bytes[i]);
        memset(bytes[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            if (bytes[i][j] != (char)(i & 0xff))
                cr_assert_fail("request %zu was overwritten at byte %zu", i, j);
    page_free(page);
}

/* I6: RSS is bounded by `memory` and the largest event, so a page may not double what it holds. */
static size_t
heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    if (info.uordblks == 0)
        cr_skip_test("the sanitizers' allocator does not say what is in use");
    return info.uordblks + info.hblkhd;
}

Test(event_page, a_page_of_one_large_event_holds_that_event_once)
{
    const size_t size = (size_t)16 << 20;
    size_t before = heap_in_use();
    struct page *page = page_new(1);
    page_bytes(page, 20);
    page_bytes(page, size);
    page_bytes(page, 20);
    size_t held = heap_in_use() - before;
    cr_assert_geq(held, size);
    cr_assert_lt(held, size + 32 * 1024, "%zu bytes held", held);
    page_free(page);
    cr_assert_leq(heap_in_use(), before + 4096);
}

Test(event_page, a_page_of_many_small_events_wastes_little)
{
    size_t before = heap_in_use(), asked = 0;
    struct page *page = page_new(1);
    for (int i = 0; i < 10000; i++) {
        page_bytes(page, 216);
        asked += 216;
    }
    size_t held = heap_in_use() - before;
    cr_assert_lt(held, asked + asked / 8 + (size_t)256 * 1024, "%zu bytes held for %zu", held, asked);
    page_free(page);
}

Test(event_page, a_page_of_one_small_event_is_small)
{
    size_t before = heap_in_use();
    struct page *page = page_new(1);
    page_add(page);
    page_bytes(page, 200);
    cr_assert_lt(heap_in_use() - before, 16 * 1024);
    page_free(page);
}

Test(event_page, the_cost_of_an_event_is_its_bytes_its_headers_eightfold_and_the_overhead)
{
    struct event event = {.key_size = 3, .payload_size = 200, .headers_size = 10};
    cr_assert_eq(event_cost(&event), 203u + 10 * EVENT_HEADER_COST + EVENT_OVERHEAD);
}
