/* relay_holds.c: which events wait behind a dead letter of their topic and key (I2), without any server. */
#include "relay/holds.h"

#include "base/error.h"
#include "event/page.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct holds holds;
static struct topic orders = {.name = "orders", .index = 4}, mails = {.name = "mails", .index = 2};
static struct page *page;

static void
begin(void)
{
    page = page_new(10);
}

static void
end(void)
{
    holds_clear(&holds);
    page_free(page);
}

TestSuite(holds, .init = begin, .fini = end);

/* Of tick 10; valid until the next one is made. */
static struct event *
event(int64_t id, struct topic *topic, const char *key, size_t key_size)
{
    struct event *made = page_add(page);
    made->id = id;
    made->topic = topic;
    made->key = key;
    made->key_size = (uint32_t)key_size;
    return made;
}

static int64_t
find(int64_t id, struct topic *topic, const char *key)
{
    return holds_find(&holds, event(id, topic, key, key != NULL ? strlen(key) : 0));
}

static void
refuse(int64_t id, struct topic *topic, const char *key)
{
    cr_assert(holds_begin(&holds, event(id, topic, key, strlen(key))));
}

Test(holds, I2_what_stands_behind_a_refused_event_of_its_topic_and_key_waits)
{
    refuse(50, &orders, "anna");
    cr_expect_eq(find(51, &orders, "anna"), 50);
    cr_expect_eq(find(49, &orders, "anna"), 0, "it stands before it");
    cr_expect_eq(find(50, &orders, "anna"), 0, "it is the refused one itself");
    cr_expect_eq(holds_of_key(&holds, event(49, &orders, "anna", 4)), 50);
    cr_expect_eq(find(51, &orders, "ann"), 0);
    cr_expect_eq(find(51, &orders, NULL), 0);
    cr_expect_eq(find(51, &mails, "anna"), 0);
    page->tick_seq = 11;
    page->from_tick = 10;
    cr_expect_eq(find(7, &orders, "anna"), 50, "a late transaction of a later tick");
}

Test(holds, I2_in_a_round_of_several_ticks_the_ids_decide)
{
    refuse(50, &orders, "anna");
    page->tick_seq = 20;
    page->from_tick = 5;
    cr_expect_eq(find(49, &orders, "anna"), 0);
    cr_expect_eq(find(51, &orders, "anna"), 50);
}

Test(holds, I2_a_hold_begins_at_the_event_before_it_that_is_refused_too_and_keeps_its_number)
{
    refuse(50, &orders, "anna");
    page->tick_seq = 20;
    page->from_tick = 5;
    refuse(40, &orders, "anna");
    cr_expect_eq(holds.count, 1);
    cr_expect_eq(find(39, &orders, "anna"), 0);
    cr_expect_eq(find(45, &orders, "anna"), 50, "it stands between the two");
    cr_expect_eq(find(60, &orders, "anna"), 50);
    holds_move(&holds, 50, 20, 50);
    cr_expect_eq(find(45, &orders, "anna"), 0, "the first of the two has ended");
    cr_expect_eq(find(60, &orders, "anna"), 50);
}

Test(holds, keys_of_any_length_and_of_any_bytes_are_told_apart)
{
    enum { LENGTH = 1 << 20 };
    char *one = must_calloc(LENGTH, 1), *other = must_calloc(LENGTH, 1);
    other[LENGTH - 1] = 1;
    cr_assert(holds_begin(&holds, event(50, &orders, one, LENGTH)));
    cr_assert(holds_begin(&holds, event(51, &orders, "", 0)));
    memset(one, 0, LENGTH); /* no byte of it is kept */
    cr_expect_eq(holds_find(&holds, event(60, &orders, one, LENGTH)), 50);
    cr_expect_eq(holds_find(&holds, event(60, &orders, one, LENGTH - 1)), 0);
    cr_expect_eq(holds_find(&holds, event(60, &orders, other, LENGTH)), 0);
    cr_expect_eq(find(60, &orders, ""), 51, "an empty key is a key");
    cr_expect_eq(find(60, &orders, NULL), 0);
    free(one);
    free(other);
}

/* Of "abc", in the examples of FIPS 180-4: what Postgres computes when a lead begins. */
static const unsigned char abc[KEY_DIGEST_SIZE] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};

static void
load(int64_t number, int64_t tick, int64_t id)
{
    struct hold hold = {.topic = &orders, .number = number, .tick = tick, .id = id};
    memcpy(hold.key, abc, sizeof abc);
    holds_load(&holds, &hold);
}

Test(holds, I2_a_hold_that_is_known_by_its_keys_digest_holds_the_key)
{
    load(40, 9, 45);
    cr_expect_eq(find(1, &orders, "abc"), 0, "nothing says that tick 9 is before this page");
    page->from_tick = 9;
    cr_expect_eq(find(1, &orders, "abc"), 40);
    cr_expect_eq(find(1, &orders, "abd"), 0);
}

/* The retry of 40 was at its end, and not written down yet, when 60 was refused. */
Test(holds, I2_of_two_holds_of_one_key_the_later_dead_letters_holds_it_in_whatever_order_they_are_read)
{
    load(40, 9, 40);
    load(60, 9, 60);
    load(50, 9, 50);
    cr_expect_eq(holds.count, 1);
    page->from_tick = 9;
    cr_expect_eq(find(1, &orders, "abc"), 60);
    load(60, 9, 70); /* another dead letter that its hold has had */
    page->from_tick = 8;
    page->tick_seq = 9;
    cr_expect_eq(find(65, &orders, "abc"), 60);
    holds_remove(&holds, 40);
    cr_expect_eq(find(65, &orders, "abc"), 60);
}

Test(holds, the_events_that_are_to_be_written_down_are_counted_for_each_hold)
{
    refuse(50, &orders, "anna");
    refuse(51, &orders, "ben");
    struct event one = *event(60, &orders, "anna", 4), two = *event(61, &orders, "anna", 4);
    holds_mark(&holds, &one);
    holds_mark(&holds, &two);
    cr_expect_eq(holds_marks(&holds, 50), 2);
    cr_expect_eq(holds_marks(&holds, 51), 0);
    cr_expect_eq(holds_marks(&holds, 1), 0);
    holds_unmark(&holds, &one);
    cr_expect_eq(holds_marks(&holds, 50), 1);
    holds_clear(&holds);
    cr_expect_eq(holds_marks(&holds, 50), 0);
}

Test(holds, what_is_removed_holds_nothing_and_everything_else_goes_on)
{
    refuse(50, &orders, "anna");
    refuse(51, &orders, "ben");
    refuse(52, &mails, "anna");
    holds_remove(&holds, 50);
    holds_remove(&holds, 50);
    cr_expect_eq(find(60, &orders, "anna"), 0);
    cr_expect_eq(find(60, &orders, "ben"), 51);
    cr_expect_eq(find(60, &mails, "anna"), 52);
    cr_expect_eq(holds.count, 2);
    holds_remove(&holds, 52);
    cr_expect_eq(find(60, &mails, "anna"), 0);
    refuse(53, &mails, "anna");
    cr_expect_eq(find(60, &mails, "anna"), 53);
}

/* Those that are there already when a lead begins are held all the same. */
Test(holds, there_is_a_most_of_new_ones)
{
    char key[16];
    for (int i = 0; i < HOLDS_MOST; i++) {
        page->count = 0;
        snprintf(key, sizeof key, "%d", i);
        refuse(1000 + i, &orders, key);
    }
    cr_expect_not(holds_begin(&holds, event(1, &orders, "one more", 8)));
    cr_expect(holds_begin(&holds, event(2, &orders, "17", 2)));
    load(3, 10, 3);
    cr_expect_eq(find(4, &orders, "abc"), 3);
    holds_remove(&holds, 1000);
    holds_remove(&holds, 1001);
    cr_expect(holds_begin(&holds, event(1, &orders, "one more", 8)));
}
