/* postgres_row.c: rows as binary COPY brings them. What the table's constraints would not let in is an error, never a guess and never
 * the end of the process. */
#include "postgres/row.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

/* 2000-01-01 in microseconds since 1970-01-01 */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

struct message {
    char bytes[1024];
    size_t size;
};

static void
put(struct message *message, const void *value, int32_t size)
{
    int32_t length = (int32_t)htobe32((uint32_t)size);
    memcpy(message->bytes + message->size, &length, sizeof length);
    message->size += sizeof length;
    if (size > 0)
        memcpy(message->bytes + message->size, value, (size_t)size);
    message->size += size > 0 ? (size_t)size : 0;
}

/* A row without key and headers. */
static struct message
make_row(int64_t id, int64_t created_at, const char *topic, int32_t topic_size)
{
    struct message message = {.bytes = {0, 7}, .size = 2};
    uint64_t id_bytes = htobe64((uint64_t)id), created_bytes = htobe64((uint64_t)created_at);
    put(&message, &id_bytes, sizeof id_bytes);
    put(&message, &created_bytes, sizeof created_bytes);
    put(&message, topic, topic_size);
    put(&message, NULL, -1);
    put(&message, "hello", 5);
    put(&message, NULL, -1);
    put(&message, NULL, -1);
    return message;
}

/* The event of the row; id -1 when it was refused. */
static struct event
take(const struct message *message)
{
    char all[] = "*", *patterns[] = {all};
    struct topic_table *topics = topic_table_new(patterns, 1);
    struct page *page = page_new(1);
    struct row_totals totals = {0};
    struct error error;
    struct event event = {.id = -1};
    if (row_from_copy(message->bytes, message->size, page, topics, &totals, &error))
        event = page->events[0];
    else
        cr_expect_eq(error.kind, ERROR_INTERNAL);
    page_free(page);
    topic_table_free(topics);
    return event;
}

Test(postgres_row, a_row_is_an_event)
{
    struct message row = make_row(7, 5, "orders", 6);
    struct event event = take(&row);
    cr_expect_eq(event.id, 7);
    cr_expect_eq(event.created_at_us, POSTGRES_EPOCH_US + 5);
    cr_expect_eq(event.payload_size, 5);
}

Test(postgres_row, a_topic_that_the_table_would_not_take_is_refused)
{
    char longest[250];
    memset(longest, 'a', sizeof longest);
    struct message row = make_row(7, 0, longest, 249);
    cr_expect_eq(take(&row).id, 7);
    row = make_row(7, 0, longest, 250);
    cr_expect_eq(take(&row).id, -1);
    row = make_row(7, 0, "a\0b", 3);
    cr_expect_eq(take(&row).id, -1);
    row = make_row(7, 0, "", 0);
    cr_expect_eq(take(&row).id, -1);
}

Test(postgres_row, an_id_below_zero_is_refused)
{
    struct message row = make_row(-1, 0, "orders", 6);
    cr_expect_eq(take(&row).id, -1);
}

Test(postgres_row, infinity_is_a_moment_of_which_an_age_can_be_told)
{
    int64_t now_us = INT64_C(1700000000000000), age_us;
    struct message row = make_row(7, INT64_MAX, "orders", 6);
    cr_expect_not(__builtin_sub_overflow(now_us, take(&row).created_at_us, &age_us) || age_us > 0);
    row = make_row(7, INT64_MIN, "orders", 6);
    cr_expect_not(__builtin_sub_overflow(now_us, take(&row).created_at_us, &age_us) || age_us < 0);
}
