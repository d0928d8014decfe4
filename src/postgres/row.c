/* row.c: bytes of Postgres to events. Called for every event that is published, so it copies once, into the page, and
 * allocates nothing itself. Malformed input can only mean a broken server or connection: an error, never a guess. */
#include "postgres/row.h"

#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <string.h>

/* 2000-01-01 in microseconds since 1970-01-01: the epoch of timestamptz. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

enum column {
    COLUMN_ID,
    COLUMN_CREATED_AT,
    COLUMN_TOPIC,
    COLUMN_KEY,
    COLUMN_PAYLOAD,
    COLUMN_HEADERS,
    COLUMN_LARGE,
    COLUMN_COUNT
};

struct column_value {
    const char *data; /* NULL: SQL NULL */
    uint32_t size;
};

static int64_t
read_int64(const char *data)
{
    uint64_t big;
    memcpy(&big, data, sizeof big);
    return (int64_t)be64toh(big);
}

static int32_t
read_int32(const char *data)
{
    uint32_t big;
    memcpy(&big, data, sizeof big);
    return (int32_t)be32toh(big);
}

static int16_t
read_int16(const char *data)
{
    uint16_t big;
    memcpy(&big, data, sizeof big);
    return (int16_t)be16toh(big);
}

/* 'infinity' and what would overflow stay at the end of the range; '-infinity' so far from the other end that it can be subtracted
 * from the present moment. */
static int64_t
unix_us(int64_t postgres_us)
{
    int64_t sum;
    if (__builtin_add_overflow(postgres_us, POSTGRES_EPOCH_US, &sum))
        return INT64_MAX;
    return sum > INT64_MIN / 2 ? sum : INT64_MIN / 2;
}

/* What the table's CHECK allows, as far as our own code rests on it. */
static bool
is_topic(const struct column_value *value)
{
    return value->data != NULL && value->size > 0 && value->size < TOPIC_NAME_SIZE &&
           memchr(value->data, '\0', value->size) == NULL;
}

static const char *
keep(struct page *page, const struct column_value *value)
{
    if (value->data == NULL)
        return NULL;
    char *copy = page_bytes(page, value->size);
    memcpy(copy, value->data, value->size);
    return copy;
}

static bool
decode(const struct column_value columns[COLUMN_COUNT], struct page *page, struct topic_table *topics,
       struct row_totals *totals, struct error *error)
{
    const struct column_value *topic = &columns[COLUMN_TOPIC];
    struct column_value headers = columns[COLUMN_HEADERS];
    error->kind = ERROR_NONE;
    bool sound = columns[COLUMN_ID].data != NULL && columns[COLUMN_ID].size == 8 &&
                 read_int64(columns[COLUMN_ID].data) >= 0 && columns[COLUMN_CREATED_AT].data != NULL &&
                 columns[COLUMN_CREATED_AT].size == 8 && is_topic(topic);
    if (headers.data != NULL) { /* jsonb: a version byte, then its text */
        sound = sound && headers.size >= 3 && headers.data[0] == 1;
        headers.data++;
        headers.size--;
    }
    if (!sound)
        return error_set(error, ERROR_INTERNAL,
                         "a row of outbox.event has not the format that this version reads");
    if (columns[COLUMN_LARGE].data != NULL) {
        totals->large = true;
        return false;
    }
    struct event *event = page_add(page);
    event->id = read_int64(columns[COLUMN_ID].data);
    event->created_at_us = unix_us(read_int64(columns[COLUMN_CREATED_AT].data));
    event->topic = totals->all_topics ? topic_intern_always(topics, topic->data, topic->size)
                                      : topic_intern(topics, topic->data, topic->size);
    event->key_size = columns[COLUMN_KEY].size;
    event->payload_size = columns[COLUMN_PAYLOAD].size;
    event->headers_size = headers.size;
    totals->rows++;
    totals->cost += (int64_t)event_cost(event);
    totals->header_bytes += headers.size;
    totals->last_id = event->id;
    if (event->key_size > totals->largest)
        totals->largest = event->key_size;
    if (event->payload_size > totals->largest)
        totals->largest = event->payload_size;
    if (!event->topic->selected && !totals->all_topics) {
        event->topic->passed_over += !totals->again;
        page_drop_last(page);
        return true;
    }
    event->key = keep(page, &columns[COLUMN_KEY]);
    event->payload = keep(page, &columns[COLUMN_PAYLOAD]);
    event->headers = keep(page, &headers);
    page->cost += event_cost(event);
    return true;
}

static bool
cut_short(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "a COPY row ended too early");
}

bool
row_from_copy(const char *data, size_t size, struct page *page, struct topic_table *topics,
              struct row_totals *totals, struct error *error)
{
    static const char signature[11] = "PGCOPY\n\377\r\n";
    const char *at = data, *end = data + size;
    if (size >= 19 && memcmp(data, signature, sizeof signature) == 0) {
        int32_t extension = read_int32(data + 15);
        if (extension < 0 || (size_t)extension > size - 19)
            return cut_short(error);
        at += 19 + extension;
        if (at == end)
            return true;
    }
    if (end - at < 2)
        return cut_short(error);
    int16_t count = read_int16(at);
    at += 2;
    if (count == -1)
        return true;
    if (count != COLUMN_COUNT)
        return error_set(error, ERROR_INTERNAL, "a COPY row has %d columns instead of %d", count,
                         COLUMN_COUNT);
    struct column_value columns[COLUMN_COUNT] = {0};
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (end - at < 4)
            return cut_short(error);
        int32_t length = read_int32(at);
        at += 4;
        if (length < 0)
            continue;
        if (end - at < length)
            return cut_short(error);
        columns[i] = (struct column_value){at, (uint32_t)length};
        at += length;
    }
    return decode(columns, page, topics, totals, error);
}

bool
row_from_result(const struct pg_result *result, int row, struct page *page, struct topic_table *topics,
                struct row_totals *totals, struct error *error)
{
    struct column_value columns[COLUMN_COUNT] = {0};
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (!PQgetisnull(result, row, i))
            columns[i] =
                (struct column_value){PQgetvalue(result, row, i), (uint32_t)PQgetlength(result, row, i)};
    return decode(columns, page, topics, totals, error);
}
