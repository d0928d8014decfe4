/* row.c: binary COPY, as messages of two bytes of length each, into a page. Each message gives one event at most, whose bytes are those
 * of the message: written as a message again, it is the same event. */
#include "postgres/row.h"

#include "fuzz/fuzz.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the year 2096: how long ago an event was made is a number, whatever its row says. */
#define WALL_MOST (INT64_C(4) * 1000 * 1000 * 1000 * 1000 * 1000)
/* 2000-01-01 */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

static void
put(FILE *to, const void *data, size_t size)
{
    if (size > 0)
        CHECK(fwrite(data, size, 1, to) == 1);
}

static void
put_value(FILE *to, const char *data, size_t size)
{
    uint32_t length = htobe32(data != NULL ? (uint32_t)size : UINT32_MAX);
    put(to, &length, sizeof length);
    if (data != NULL)
        put(to, data, size);
}

/* The row of COPY that this event was. */
static char *
encode(const struct event *event, size_t *size)
{
    char *row = NULL, version = 1;
    uint16_t count = htobe16(7);
    uint64_t id = htobe64((uint64_t)event->id),
             created = htobe64((uint64_t)(event->created_at_us - POSTGRES_EPOCH_US));
    FILE *to = open_memstream(&row, size);
    CHECK(to != NULL);
    put(to, &count, sizeof count);
    put_value(to, (char *)&id, sizeof id);
    put_value(to, (char *)&created, sizeof created);
    put_value(to, event->topic->name, strlen(event->topic->name));
    put_value(to, event->key, event->key_size);
    put_value(to, event->payload, event->payload_size);
    if (event->headers != NULL) {
        uint32_t length = htobe32(event->headers_size + 1);
        put(to, &length, sizeof length);
        put(to, &version, 1);
        put(to, event->headers, event->headers_size);
    } else {
        put_value(to, NULL, 0);
    }
    put_value(to, NULL, 0);
    CHECK(fclose(to) == 0);
    return row;
}

static bool
same(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return (a == NULL) == (b == NULL) && a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static void
check_event(const struct event *event, struct topic_table *topics)
{
    struct page *page = page_new(1);
    struct row_totals totals = {0};
    struct error error;
    size_t size;
    char *row = encode(event, &size);
    CHECK(event->id >= 0);
    CHECK(event->created_at_us >= WALL_MOST - INT64_MAX);
    CHECK(row_from_copy(row, size, page, topics, &totals, &error) && page->count == 1);
    const struct event *again = &page->events[0];
    CHECK(again->id == event->id && again->topic == event->topic &&
          again->created_at_us == event->created_at_us);
    CHECK(same(again->key, again->key_size, event->key, event->key_size));
    CHECK(same(again->payload, again->payload_size, event->payload, event->payload_size));
    CHECK(same(again->headers, again->headers_size, event->headers, event->headers_size));
    page_free(page);
    free(row);
}

/* Its name stands in the message as a value of its own, so that it is no part of another. */
static void
check_topic(const struct topic *topic, const char *message, size_t size)
{
    char value[4 + TOPIC_NAME_SIZE];
    uint32_t length = (uint32_t)strlen(topic->name), big = htobe32(length);
    CHECK(length >= 1 && length < TOPIC_NAME_SIZE);
    memcpy(value, &big, sizeof big);
    memcpy(value + sizeof big, topic->name, length);
    CHECK(memmem(message, size, value, sizeof big + length) != NULL);
}

/* False when nothing more is wanted. */
static bool
take(const uint8_t *bytes, size_t size, struct page *page, struct topic_table *topics,
     struct row_totals *totals)
{
    struct error error = {0};
    struct row_totals before = *totals;
    size_t count = page->count, cost = page->cost;
    char *message = must_alloc(size > 0 ? size : 1); /* a copy, so that its end is watched */
    if (size > 0)
        memcpy(message, bytes, size);
    bool taken = row_from_copy(message, size, page, topics, totals, &error);
    CHECK(page->count >= count && page->count <= count + 1 &&
          totals->rows - before.rows >= (int64_t)(page->count - count));
    if (page->count > count) {
        CHECK(page->cost == cost + event_cost(&page->events[count]));
        check_topic(page->events[count].topic, message, size);
        check_event(&page->events[count], topics);
    }
    free(message);
    if (!taken)
        CHECK(page->count == count && (error.kind == ERROR_INTERNAL || totals->large));
    return taken;
}

int
fuzz_row(const uint8_t *bytes, size_t size)
{
    char selected[] = "[a-s]*", *patterns[] = {selected};
    struct topic_table *topics = topic_table_new(patterns, 1);
    struct page *page = page_new(1);
    struct row_totals totals = {0};
    for (bool wanted = true; wanted && size >= 2;) {
        size_t length = (size_t)(bytes[0] << 8 | bytes[1]), most = size - 2;
        length = length < most ? length : most;
        wanted = take(bytes + 2, length, page, topics, &totals);
        bytes += 2 + length;
        size -= 2 + length;
    }
    page_free(page);
    topic_table_free(topics);
    return 0;
}
