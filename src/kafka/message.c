/* message.c: turns an event into the parts of a Kafka record. Called by the producer once a send; never
 * allocates beyond librdkafka's own header list. */
#include "kafka/message.h"

#include "event/headers.h"
#include "kafka/classify.h"

#include <inttypes.h>

/* Batch header up to and including the record count (KIP-98, RecordBatch v2). */
enum { BATCH_HEADER_SIZE = 61 };
/* A record's attributes, timestamp delta and offset delta, each one byte in a batch of one. */
enum { RECORD_FIXED_SIZE = 3 };
/* Protocol Buffers' zigzag varint of -1, the length of what is NULL. */
enum { NULL_LENGTH_SIZE = 1 };

struct message_limits
limits_unknown(void)
{
    return (struct message_limits){.max_bytes = INT64_MAX};
}

/* Size of a non-negative number as a zigzag varint. */
static size_t
varint_size(uint64_t value)
{
    size_t size = 1;
    for (value <<= 1; value >= 128; value >>= 7)
        size++;
    return size;
}

static size_t
bytes_size(bool is_null, size_t size)
{
    return is_null ? NULL_LENGTH_SIZE : varint_size(size) + size;
}

struct header_list {
    rd_kafka_headers_t *headers;
    size_t wire_size, count;
};

static bool
add_header(void *context, const char *name, size_t name_size, const char *value, size_t value_size)
{
    struct header_list *list = context;
    list->wire_size += bytes_size(false, name_size) + bytes_size(value == NULL, value_size);
    list->count++;
    return rd_kafka_header_add(list->headers, name, (ssize_t)name_size, value, (ssize_t)value_size) ==
           RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Writes a positive number in decimal so that it ends before `end`; returns its first digit. (snprintf would
 * cost half of what the rest of a send costs us.) */
static char *
decimal(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    return end;
}

bool
message_headers(const struct event *event, const char *source, size_t source_size,
                rd_kafka_headers_t **headers, size_t *wire_size, struct error *error)
{
    enum { USUAL_COUNT = 4 };
    struct header_list list = {.headers = rd_kafka_headers_new(USUAL_COUNT)};
    char digits[24], *end = digits + sizeof digits;
    CHECK(event->id >= 0);
    if (!headers_each(event->headers, event->headers_size, add_header, &list, error)) {
        rd_kafka_headers_destroy(list.headers);
        return false;
    }
    char *id = decimal(end, (uint64_t)event->id);
    CHECK(add_header(&list, "id", 2, id, (size_t)(end - id)));
    CHECK(add_header(&list, "source", 6, source, source_size));
    *headers = list.headers;
    *wire_size = varint_size(list.count) + list.wire_size;
    return true;
}

int64_t
message_batch_bytes(const struct event *event, size_t headers_wire_size)
{
    size_t body = RECORD_FIXED_SIZE + bytes_size(event->key == NULL, event->key_size) +
                  bytes_size(event->payload == NULL, event->payload_size) + headers_wire_size;
    return (int64_t)(BATCH_HEADER_SIZE + varint_size(body) + body);
}

bool
message_allowed(const struct event *event, int64_t batch_bytes, const struct message_limits *limits,
                bool compressed, struct outcome *why)
{
    if (event->key == NULL && limits->key_required) {
        classify_own(why, OUTCOME_EVENT, "KEY_REQUIRED",
                     "the topic is compacted and takes no event without a key");
        return false;
    }
    if (!compressed && batch_bytes > limits->max_bytes) {
        classify_own(why, OUTCOME_EVENT, "SIZE_REFUSED",
                     "%" PRId64 " bytes, more than max.message.bytes=%" PRId64 " of the topic; raise it",
                     batch_bytes, limits->max_bytes);
        return false;
    }
    /* 0 would make librdkafka put the present moment; below it, Kafka has no timestamps. */
    if (message_timestamp_ms(event) <= 0) {
        classify_own(why, OUTCOME_EVENT, "TIMESTAMP_REFUSED", "created_at is before 1970");
        return false;
    }
    return true;
}

rd_kafka_resp_err_t
message_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, struct event *event, rd_kafka_headers_t *headers)
{
    /* __extension__: librdkafka's macros check their types with statement expressions. */
    return __extension__ rd_kafka_producev(
        rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
        RD_KAFKA_V_KEY((void *)(uintptr_t)event->key, event->key_size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)event->payload, event->payload_size), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_TIMESTAMP(message_timestamp_ms(event)), RD_KAFKA_V_OPAQUE(event), RD_KAFKA_V_END);
}
