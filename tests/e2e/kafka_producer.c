/* kafka_producer.c: the producer against a real broker that behaves: everything arrives once, in order, unchanged; what can be
 * known to be refused is refused before it is sent, exactly where the broker would. */
#include "kafka_sender.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

Test(kafka_producer, a_hundred_thousand_events_over_eight_partitions_are_reported_once_and_stand_once,
     .timeout = 180)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "many", 8, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 100000, 997, 40);
    sender_run(sender, 60000);
    cr_assert_eq(sender->reports, 100000);
    cr_assert_eq(producer_out(sender->producer), 0);
    cr_assert_eq(producer_statistics(sender->producer)->instances, 1);
    cr_assert_eq(producer_statistics(sender->producer)->reports_failed, 0);
    sender_check(sender, broker, topic, false);
    sender_free(sender);
    broker_free(broker);
}

static const struct record *
record_of(const struct records *records, const char *id)
{
    for (size_t i = 0; i < records->count; i++) {
        const struct record_header *header = record_header(&records->list[i], "id");
        if (header != NULL && strcmp(header->value.data, id) == 0)
            return &records->list[i];
    }
    test_fail("no record with id %s", id);
}

static void
expect_bytes(struct bytes bytes, const char *expected, size_t size)
{
    cr_assert_eq(bytes.data == NULL, expected == NULL);
    cr_assert_eq(bytes.size, size);
    if (expected != NULL)
        cr_assert_arr_eq(bytes.data, expected, size);
}

Test(kafka_producer, null_empty_and_binary_bytes_arrive_as_they_are, .timeout = 120)
{
    static const char binary[] = "\0\377\r\n\200 \0";
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "bytes"), *const topics[] = {topic, NULL};
    struct sender *sender = sender_new(broker, NULL, NULL);
    struct records records = {0};
    broker_create_topic(broker, topic, 3, NULL);
    sender_add(sender, topic, NULL, 0, NULL, 0, NULL);
    sender_add(sender, topic, "", 0, "", 0, "{}");
    struct event *event = sender_add(sender, topic, binary, sizeof binary, binary, sizeof binary,
                                     "{\"a\":\"\\u00e9\",\"b\":[\"1\",\"\"],\"c\":null}");
    int64_t created_at_us = event->created_at_us -= INT64_C(3600) * 1000000;
    sender_run(sender, 30000);
    consumer_read_all(&records, broker_bootstrap(broker), topics, true);
    cr_assert_eq(records.count, 3);

    const struct record *record = record_of(&records, "1");
    expect_bytes(record->key, NULL, 0);
    expect_bytes(record->value, NULL, 0);
    cr_assert_eq(record->header_count, 2);
    record = record_of(&records, "2");
    expect_bytes(record->key, "", 0);
    expect_bytes(record->value, "", 0);
    record = record_of(&records, "3");
    expect_bytes(record->key, binary, sizeof binary);
    expect_bytes(record->value, binary, sizeof binary);
    cr_assert_eq(record->timestamp_ms, created_at_us / 1000);
    cr_assert_eq(record->header_count, 6);
    cr_assert_str_eq(record->headers[0].name, "a");
    expect_bytes(record->headers[0].value, "\303\251", 2);
    cr_assert_str_eq(record->headers[1].name, "b");
    expect_bytes(record->headers[1].value, "1", 1);
    expect_bytes(record->headers[2].value, "", 0);
    cr_assert_str_eq(record->headers[3].name, "c");
    expect_bytes(record->headers[3].value, NULL, 0);
    cr_assert_str_eq(record->headers[4].name, "id");
    cr_assert_str_eq(record->headers[5].name, "source");
    expect_bytes(record->headers[5].value, "shop", 4);
    records_free(&records);
    sender_free(sender);
    broker_free(broker);
}

Test(kafka_producer, keys_go_to_the_partitions_of_the_java_client, .timeout = 120)
{
    /* Utils.murmur2 of these keys, from Kafka's own tests; 12 partitions. */
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {{"21", -973932308}, {"foobar", -790332482}, {"a-little-bit-long-string", -985981536}};
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "murmur"), *const topics[] = {topic, NULL};
    struct sender *sender = sender_new(broker, NULL, NULL);
    struct records records = {0};
    broker_create_topic(broker, topic, 12, NULL);
    for (size_t i = 0; i < 3; i++)
        sender_add(sender, topic, known[i].key, strlen(known[i].key), "x", 1, NULL);
    sender_run(sender, 30000);
    consumer_read_all(&records, broker_bootstrap(broker), topics, true);
    cr_assert_eq(records.count, 3);
    for (size_t i = 0; i < 3; i++) {
        char id[] = {(char)('1' + i), '\0'};
        cr_expect_eq(record_of(&records, id)->partition, (known[i].hash & 0x7fffffff) % 12, "%s",
                     known[i].key);
    }
    records_free(&records);
    sender_free(sender);
    broker_free(broker);
}

/* Sends one event of `size` bytes; true when it was acknowledged, false when it was refused without being sent. */
static bool
fits(struct broker *broker, const char *topic, uint32_t size)
{
    struct sender *sender = sender_new(broker, NULL, NULL);
    char *payload = must_calloc(1, size);
    sender_add(sender, topic, "0123456789", 10, payload, size, NULL);
    sender_run(sender, 30000);
    bool parked = sender->parked[0];
    cr_assert_eq(sender->reports, parked ? 0 : 1);
    cr_assert_eq(producer_statistics(sender->producer)->reports_failed, 0);
    cr_assert(!parked || strcmp(sender->last.name, "SIZE_REFUSED") == 0);
    free(payload);
    sender_free(sender);
    return !parked;
}

Test(kafka_producer, the_largest_event_is_sent_and_one_byte_more_is_refused_unsent, .timeout = 120)
{
    static const char *const configs[] = {"max.message.bytes", "50000", NULL};
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "limit", 1, configs);
    /* `id` = "1" and `source` = "shop" take 5 + 12 bytes of the 49,918 that known brokers leave without headers. */
    cr_assert(fits(broker, topic, 49918 - 17));
    cr_assert_not(fits(broker, topic, 49918 - 16));
    broker_free(broker);
}

Test(kafka_producer, an_event_of_16_mib_passes_where_the_topic_takes_it, .timeout = 120)
{
    static const char *const configs[] = {"max.message.bytes", "20000000", NULL};
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "huge");
    struct sender *sender = sender_new(broker, NULL, NULL);
    char *payload = must_calloc(1, 16 << 20);
    broker_create_topic(broker, topic, 1, configs);
    sender_add(sender, topic, "k", 1, "small", 5, NULL);
    sender_add(sender, topic, "k", 1, payload, 16 << 20, NULL);
    sender_add(sender, topic, "k", 1, "small", 5, NULL);
    sender_run(sender, 60000);
    cr_assert_eq(sender->reports, 3);
    cr_assert_eq(producer_statistics(sender->producer)->reports_failed, 0);
    cr_assert_eq(consumer_count(broker_bootstrap(broker), topic), 3);
    free(payload);
    sender_free(sender);
    broker_free(broker);
}

Test(kafka_producer, batches_fit_the_smallest_topic_in_use, .timeout = 120)
{
    static const char *const configs[] = {"max.message.bytes", "50000", NULL};
    struct broker *broker = broker_shared();
    const char *large = broker_topic_name(broker, "large"), *small = broker_topic_name(broker, "small");
    struct sender *sender = sender_new(broker, NULL, NULL);
    broker_create_topic(broker, large, 1, NULL);
    broker_create_topic(broker, small, 1, configs);
    sender_add_numbered(sender, large, 5000, 7, 100);
    sender_add_numbered(sender, small, 20000, 7, 100);
    sender_run(sender, 60000);
    cr_assert_eq(producer_statistics(sender->producer)->reports_failed, 0, "last: %s", sender->last.message);
    cr_assert_eq(producer_statistics(sender->producer)->instances, 2, "one for each batch.size");
    cr_assert_eq(sender->reports, 25000);
    sender_check(sender, broker, large, false);
    sender_check(sender, broker, small, false);
    sender_free(sender);
    broker_free(broker);
}

Test(kafka_producer, what_the_topic_forbids_is_refused_alone_and_the_rest_flows, .timeout = 120)
{
    static const char *const configs[] = {"cleanup.policy", "compact,delete", NULL};
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "strict", 2, configs);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 10, 3, 10);
    sender_add(sender, topic, NULL, 0, "no key", 6, NULL);
    sender_add_numbered(sender, topic, 10, 3, 10);
    sender_add(sender, topic, "k1", 2, "headers", 7, "{\"a\":1}");
    sender_add_numbered(sender, topic, 10, 3, 10);
    sender_run(sender, 30000);
    cr_assert_eq(sender->reports, 30);
    cr_assert_eq(sender->event_faults, 2);
    cr_assert(sender->parked[10] && sender->parked[21]);
    cr_assert_eq(producer_statistics(sender->producer)->instances, 1, "nothing was sent to be refused");
    sender_check(sender, broker, topic, false);
    sender_free(sender);
    broker_free(broker);
}

Test(kafka_producer, a_topic_that_is_not_there_is_said_within_seconds_and_used_once_it_is, .timeout = 120)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "later");
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 100, 3, 10);
    int64_t deadline_us = wait_deadline_us(5000);
    while (sender->topic_faults == 0 && clock_monotonic_us() < deadline_us)
        sender_turn(sender);
    cr_assert_gt(sender->topic_faults, 0);
    cr_assert_eq(sender->last.kind, OUTCOME_TOPIC);
    cr_assert_str_eq(sender->last.name, "UNKNOWN_TOPIC_OR_PART");
    broker_create_topic(broker, topic, 2, NULL);
    sender_run(sender, 30000);
    cr_assert_eq(producer_statistics(sender->producer)->instances, 1,
                 "nothing was sent to a topic not known");
    sender_check(sender, broker, topic, false);
    sender_free(sender);
    broker_free(broker);
}

Test(kafka_producer, a_topic_deleted_under_us_is_its_topics_fault_and_is_used_again_when_it_is_back,
     .timeout = 180)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "deleted"), *other = broker_topic_name(broker, "stays");
    struct sender *sender = sender_new(broker, NULL, NULL);
    broker_create_topic(broker, topic, 2, NULL);
    broker_create_topic(broker, other, 2, NULL);
    sender_add_numbered(sender, topic, 1, 1, 10);
    sender_add_numbered(sender, other, 1, 1, 10);
    sender_add_numbered(sender, topic, 50, 1, 10);
    while (sender->done < 1)
        sender_turn(sender);
    broker_delete_topic(broker, topic);
    sender->next = 2; /* an instance that knew the topic meets it gone */
    int64_t deadline_us = clock_monotonic_us() + 60000000;
    while (sender->topic_faults == 0 && sender->done < sender->page->count &&
           clock_monotonic_us() < deadline_us)
        sender_turn(sender);
    if (sender->done < sender->page->count) {
        cr_assert_gt(sender->topic_faults, 0, "%s", sender->last.message);
        broker_create_topic(broker, topic, 2, NULL);
    }
    sender_run(sender, 60000);
    cr_assert_eq(consumer_count(broker_bootstrap(broker), other), 1);
    sender_free(sender);
    broker_free(broker);
}

/* librdkafka counts its handles; a destroyed one has given everything back. */
Test(kafka_producer, freeing_gives_every_event_back_and_leaves_nothing_behind, .timeout = 120)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "freed", 4, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 20000, 97, 500);
    sender->limit = 1;
    while (sender->done == 0)
        sender_turn(sender);
    broker_pause(broker);
    sender->limit = 0;
    for (int i = 0; i < 200 && sender->next < sender->page->count; i++)
        sender_turn(sender);
    size_t out = producer_out(sender->producer), unsent = sender->unsent;
    cr_assert_gt(out, 0);
    size_t before = sender->reports;
    producer_end(sender->producer, clock_monotonic_us(), "test");
    while (producer_state(sender->producer) == PRODUCER_ENDING)
        sender_turn(sender);
    cr_assert_eq(sender->reports - before, out);
    cr_assert_gt(sender->unsent, unsent);
    sender_turn(sender); /* the next instance has events out, too */
    sender_free(sender);
    broker_continue(broker);
    cr_assert_eq(rd_kafka_wait_destroyed(20000), 0);
    broker_free(broker);
}
