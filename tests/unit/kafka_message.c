/* kafka_message.c: the record that an event becomes. Sizes are those that a 4.1 broker was seen to accept and refuse. */
#include "kafka/message.h"

#include "kafka/properties.h"

#include <criterion/criterion.h>
#include <string.h>

#define NOW_MS INT64_C(1800000000000)
#define DAY_MS INT64_C(86400000)

static struct event
make_event(uint32_t key_size, uint32_t payload_size)
{
    static const char bytes[1];
    return (struct event){.id = 1,
                          .created_at_us = NOW_MS * 1000,
                          .key = bytes,
                          .key_size = key_size,
                          .payload = bytes,
                          .payload_size = payload_size};
}

Test(kafka_message, size_is_what_the_broker_compares_with_max_message_bytes)
{
    /* With max.message.bytes=50000 a 10-byte key without headers left room for 49,918 bytes and no more; with one
     * header of a 2-byte name and 36 bytes, for 49,878. */
    struct event event = make_event(10, 49918);
    size_t no_headers = 1, one_header = 1 + 1 + 2 + 1 + 36;
    cr_assert_eq(message_batch_bytes(&event, no_headers), 50000);
    event.payload_size = 49878;
    cr_assert_eq(message_batch_bytes(&event, one_header), 50000);
    event.payload_size = 49879;
    cr_assert_gt(message_batch_bytes(&event, one_header), 50000);
}

Test(kafka_message, null_and_empty_have_the_same_size_in_a_record)
{
    struct event empty = make_event(0, 0), null = make_event(0, 0);
    null.key = null.payload = NULL;
    /* attributes, two deltas, two lengths, headers; behind a length of one byte and the batch's 61 */
    cr_assert_eq(message_batch_bytes(&empty, 1), 61 + 1 + 6);
    cr_assert_eq(message_batch_bytes(&null, 1), 61 + 1 + 6);
}

struct header {
    const char *name;
    const char *value;
    size_t size;
};

static void
expect_header(const rd_kafka_headers_t *headers, size_t index, const struct header *expected)
{
    const char *name;
    const void *value;
    size_t size;
    cr_assert_eq(rd_kafka_header_get_all(headers, index, &name, &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
    cr_assert_str_eq(name, expected->name);
    cr_assert_eq(value == NULL, expected->value == NULL);
    cr_assert_eq(size, expected->size);
    if (value != NULL)
        cr_assert_arr_eq(value, expected->value, size);
}

Test(kafka_message, own_headers_come_first_then_id_and_source)
{
    static const char json[] = "{\"trace\":\"a\",\"tag\":[\"x\",\"\"],\"none\":null}";
    const struct header expected[] = {{"trace", "a", 1},
                                      {"tag", "x", 1},
                                      {"tag", "", 0},
                                      {"none", NULL, 0},
                                      {"id", "9223372036854775807", 19},
                                      {"source", "shop", 4}};
    struct event event = make_event(1, 1);
    struct error error;
    rd_kafka_headers_t *headers;
    size_t wire_size;
    event.id = INT64_MAX;
    event.headers = json;
    event.headers_size = sizeof json - 1;
    cr_assert(message_headers(&event, "shop", 4, &headers, &wire_size, &error), "%s", error.message);
    cr_assert_eq(rd_kafka_header_cnt(headers), 6);
    for (size_t i = 0; i < 6; i++)
        expect_header(headers, i, &expected[i]);
    /* a count, and for each header two lengths of one byte, name and value */
    cr_assert_eq(wire_size, 1 + (2 + 5 + 1) + (2 + 3 + 1) + (2 + 3) + (2 + 4) + (2 + 2 + 19) + (2 + 6 + 4));
    rd_kafka_headers_destroy(headers);
}

Test(kafka_message, malformed_headers_are_an_error_and_leave_nothing_behind)
{
    static const char json[] = "{\"trace\":7}";
    struct event event = make_event(1, 1);
    struct error error;
    rd_kafka_headers_t *headers;
    size_t wire_size;
    event.headers = json;
    event.headers_size = sizeof json - 1;
    cr_assert_not(message_headers(&event, "shop", 4, &headers, &wire_size, &error));
}

static bool
allowed(const struct event *event, const struct message_limits *limits, struct outcome *why)
{
    return message_allowed(event, message_batch_bytes(event, 1), limits, false, why);
}

Test(kafka_message, what_is_unknown_is_left_to_the_broker)
{
    struct message_limits limits = limits_unknown();
    struct event event = make_event(0, 16 << 20);
    struct outcome why;
    event.key = NULL;
    event.created_at_us = (NOW_MS + 1000 * DAY_MS) * 1000;
    cr_assert(allowed(&event, &limits, &why));
}

Test(kafka_message, null_key_is_refused_where_the_log_is_compacted_and_an_empty_key_is_not)
{
    struct message_limits limits = limits_unknown();
    struct event event = make_event(0, 1);
    struct outcome why;
    limits.key_required = true;
    cr_assert(allowed(&event, &limits, &why));
    event.key = NULL;
    cr_assert_not(allowed(&event, &limits, &why));
    cr_assert_eq(why.kind, OUTCOME_EVENT);
    cr_assert_str_eq(why.name, "KEY_REQUIRED");
}

Test(kafka_message, one_byte_too_many_is_refused_unless_compression_may_save_it)
{
    struct message_limits limits = limits_unknown();
    struct event event = make_event(10, 49918);
    struct outcome why;
    limits.max_bytes = 50000;
    cr_assert(allowed(&event, &limits, &why));
    event.payload_size++;
    cr_assert_not(allowed(&event, &limits, &why));
    cr_assert_eq(why.kind, OUTCOME_EVENT);
    cr_assert_str_eq(why.name, "SIZE_REFUSED");
    cr_assert(message_allowed(&event, message_batch_bytes(&event, 1), &limits, true, &why));
}

Test(kafka_message, a_timestamp_that_kafka_cannot_hold_is_refused_not_replaced_by_now)
{
    struct message_limits limits = limits_unknown();
    struct event event = make_event(1, 1);
    struct outcome why;
    event.created_at_us = 999;
    cr_assert_not(allowed(&event, &limits, &why));
    event.created_at_us = -1;
    cr_assert_not(allowed(&event, &limits, &why));
}

/* Known results of org.apache.kafka.common.utils.Utils.murmur2, from Kafka's own tests. */
Test(kafka_message, partitions_are_those_of_the_java_client)
{
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    struct property servers = {.name = "bootstrap.servers", .value = "127.0.0.1:1", .line = 1};
    struct settings settings = {.source = "s", .relay = "r", .kafka = &servers, .kafka_count = 1};
    struct producer_shape shape = {.batch_bytes = 1000000, .message_bytes = 1000000};
    struct error error;
    char partitioner[64];
    size_t size = sizeof partitioner;
    rd_kafka_conf_t *conf = properties_producer(&settings, &shape, &error);
    cr_assert_not_null(conf);
    cr_assert_eq(rd_kafka_conf_get(conf, "partitioner", partitioner, &size), RD_KAFKA_CONF_OK);
    cr_assert_str_eq(partitioner, "murmur2_random");
    rd_kafka_conf_destroy(conf);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        cr_expect_eq(
            rd_kafka_msg_partitioner_murmur2_random(NULL, known[i].key, strlen(known[i].key), 12, NULL, NULL),
            (known[i].hash & 0x7fffffff) % 12, "%s", known[i].key);
}
