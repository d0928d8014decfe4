/* consumer.c: reads topics whole through librdkafka (consumer.h). */
#include "support/consumer.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 30000 /* one request, and the longest silence while records are due */

/* One partition on its way: done when the end that the broker reported was at or past `high`. */
struct partition {
    const char *topic;
    int32_t number;
    int64_t high;
    bool done;
};

struct reading {
    rd_kafka_t *client;
    struct partition *partitions;
    size_t count, done;
};

static rd_kafka_t *
consumer_client(const char *bootstrap, bool committed)
{
    const char *settings[][2] = {
        {"bootstrap.servers", bootstrap},
        {"group.id", "outboxd-test-reader"},
        {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"fetch.wait.max.ms", "10"},
        {"isolation.level", committed ? "read_committed" : "read_uncommitted"},
    };
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why) != RD_KAFKA_CONF_OK)
            test_fail("consumer: %s", why);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (client == NULL)
        test_fail("consumer: %s", why);
    rd_kafka_poll_set_consumer(client);
    return client;
}

static int
topic_partitions(rd_kafka_t *client, const char *topic)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, handle, &metadata, ANSWER_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("consumer: metadata of %s: %s", topic, rd_kafka_err2str(code));
    int count = 0;
    if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return count;
}

/* False: to be asked again, for the topic goes or comes. One that was just made has a leader in the controller's list before that broker knows
 * that it leads. */
static bool
watermarks(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(client, topic, partition, low, high, ANSWER_MS);
    if (code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
        code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
        code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return false;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("consumer: watermarks of %s/%d: %s", topic, (int)partition, rd_kafka_err2str(code));
    return true;
}

/* -1: to be asked again, by a client that remembers nothing of it. */
static int64_t
count_at_once(const char *bootstrap, const char *topic)
{
    rd_kafka_t *client = consumer_client(bootstrap, true);
    int64_t count = 0, low, high;
    int partitions = topic_partitions(client, topic);
    for (int i = 0; i < partitions && count >= 0; i++)
        count = watermarks(client, topic, i, &low, &high) ? count + high - low : -1;
    rd_kafka_destroy(client);
    return count;
}

int64_t
consumer_count(const char *bootstrap, const char *topic)
{
    int64_t count;
    wait_for((count = count_at_once(bootstrap, topic)) >= 0, ANSWER_MS);
    return count;
}

static void
reading_add_topic(struct reading *reading, struct records *records, const char *topic)
{
    int count = topic_partitions(reading->client, topic);
    reading->partitions =
        must_realloc(reading->partitions, reading->count + (size_t)count + 1, sizeof *reading->partitions);
    for (int i = 0; i < count; i++)
        reading->partitions[reading->count++] = (struct partition){.topic = topic, .number = i};
    records_add_shape(records, topic, count);
}

static void
reading_assign(struct reading *reading)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)reading->count + 1);
    for (size_t i = 0; i < reading->count; i++) {
        const struct partition *partition = &reading->partitions[i];
        rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_resp_err_t code = rd_kafka_assign(reading->client, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("consumer: assign: %s", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
}

static void
records_add_message(struct records *records, const rd_kafka_message_t *message)
{
    struct record *record = records_add(records);
    rd_kafka_timestamp_type_t type;
    record->topic = must_strdup(rd_kafka_topic_name(message->rkt));
    record->partition = message->partition;
    record->offset = message->offset;
    record->key = bytes_copy(message->key, message->key_len);
    record->value = bytes_copy(message->payload, message->len);
    record->timestamp_ms = rd_kafka_message_timestamp(message, &type);
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    const char *name;
    const void *value;
    size_t size;
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        record_add_header(record, name, value, size);
}

/* A reader of what is committed comes to an end where something is open, and a transaction that was committed is open in a partition until
 * its marker is there, a moment later: so the end is that of everything, as the answer to the last request has it. It stands behind
 * control records too, which a reader never sees. */
static void
reading_end_of_partition(struct reading *reading, const rd_kafka_message_t *message)
{
    for (size_t i = 0; i < reading->count; i++) {
        struct partition *partition = &reading->partitions[i];
        if (partition->number != message->partition ||
            strcmp(partition->topic, rd_kafka_topic_name(message->rkt)) != 0)
            continue;
        int64_t low;
        rd_kafka_get_watermark_offsets(reading->client, partition->topic, partition->number, &low,
                                       &partition->high);
        if (!partition->done && message->offset >= partition->high) {
            partition->done = true;
            reading->done++;
        }
    }
}

static void
reading_take(struct reading *reading, struct records *records, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        records_add_message(records, message);
    else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        reading_end_of_partition(reading, message);
    else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        test_fail("consumer: %s", rd_kafka_message_errstr(message));
}

void
consumer_read_all(struct records *records, const char *bootstrap, const char *const *topics, bool committed)
{
    struct reading reading = {.client = consumer_client(bootstrap, committed)};
    for (; *topics != NULL; topics++)
        reading_add_topic(&reading, records, *topics);
    reading_assign(&reading);
    int64_t silence_us = wait_deadline_us(ANSWER_MS);
    while (reading.done < reading.count) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reading.client, 100);
        if (message == NULL && clock_monotonic_us() > silence_us)
            test_fail("consumer: %zu of %zu partitions read, and nothing comes any more", reading.done,
                      reading.count);
        if (message == NULL)
            continue;
        silence_us = wait_deadline_us(ANSWER_MS);
        reading_take(&reading, records, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(reading.client);
    rd_kafka_destroy(reading.client);
    free(reading.partitions);
}

size_t
consumer_count_all(const char *bootstrap, const char *const *topics, bool committed)
{
    struct records records = {0};
    consumer_read_all(&records, bootstrap, topics, committed);
    size_t count = records.count;
    records_free(&records);
    return count;
}
