/* consumer.c: see consumer.h. Knows librdkafka; knows nothing of the database. */
#include "consumer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rd_kafka_t *
client_new(const char *brokers)
{
    const char *properties[][2] = {
        {"bootstrap.servers", brokers},
        {"group.id", "outboxd-demo"}, /* librdkafka asks for a name; nothing is ever committed under it */
        {"enable.auto.commit", "false"},
        {"fetch.wait.max.ms", "20"},
    };
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], why, sizeof why) !=
            RD_KAFKA_CONF_OK) {
            fprintf(stderr, "consumer: %s\n", why);
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    }
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (client == NULL) {
        fprintf(stderr, "consumer: %s\n", why);
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_poll_set_consumer(client);
    return client;
}

static bool
assign_all(rd_kafka_t *client, const char *name)
{
    const rd_kafka_metadata_t *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, topic, &metadata, 10000);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = metadata->topics[0].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
        for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
            rd_kafka_topic_partition_list_add(list, name, metadata->topics[0].partitions[i].id)->offset =
                RD_KAFKA_OFFSET_BEGINNING;
        code = rd_kafka_assign(client, list);
        rd_kafka_topic_partition_list_destroy(list);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        fprintf(stderr, "consumer: topic %s: %s\n", name, rd_kafka_err2str(code));
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool
consumer_open(struct consumer *consumer, const char *brokers, const char *topic)
{
    consumer->client = client_new(brokers);
    if (consumer->client == NULL)
        return false;
    if (assign_all(consumer->client, topic))
        return true;
    consumer_close(consumer);
    return false;
}

static int64_t
parse_id(const char *bytes, size_t size)
{
    char text[24], *end;
    if (size == 0 || size >= sizeof text)
        return -1;
    memcpy(text, bytes, size);
    text[size] = '\0';
    errno = 0;
    int64_t id = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' ? id : -1;
}

static void
read_headers(struct received *event)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    event->id = -1;
    event->source = "";
    event->source_size = 0;
    if (rd_kafka_message_headers(event->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (rd_kafka_header_get_last(headers, "id", &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR && value)
        event->id = parse_id(value, size);
    if (rd_kafka_header_get_last(headers, "source", &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR && value) {
        event->source = value;
        event->source_size = size;
    }
}

bool
consumer_next(struct consumer *consumer, int timeout_ms, struct received *event)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, timeout_ms);
    if (message == NULL)
        return false;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fprintf(stderr, "consumer: %s\n", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
        return false;
    }
    event->message = message;
    read_headers(event);
    return true;
}

void
received_free(struct received *event)
{
    rd_kafka_message_destroy(event->message);
}

void
consumer_close(struct consumer *consumer)
{
    rd_kafka_consumer_close(consumer->client);
    rd_kafka_destroy(consumer->client);
}
