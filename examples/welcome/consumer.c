/* consumer.c: see consumer.h. */
#include "consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Partitions are taken and given up within consumer_next only, because of this: so a record at work stays ours. */
static void
rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
          void *context)
{
    (void)context;
    bool given = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    fprintf(stderr, "welcome: %s %d partitions\n", given ? "working on" : "giving up", partitions->cnt);
    rd_kafka_assign(client, given ? partitions : NULL);
}

static bool
set(rd_kafka_conf_t *conf, const char *name, const char *value, char why[512])
{
    char text[400];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    snprintf(why, 512, "kafka property %s: %s", name, text);
    return false;
}

static bool
set_all(rd_kafka_conf_t *conf, const char *const (*properties)[2], char why[512])
{
    for (; (*properties)[0] != NULL; properties++)
        if (!set(conf, (*properties)[0], (*properties)[1], why))
            return false;
    return true;
}

/* The user's own properties, but none of those that the mailer's promises hang on. */
static bool
set_further(rd_kafka_conf_t *conf, const struct consumer_options *options, const char *const (*ours)[2],
            char why[512])
{
    for (int i = 0; i < options->property_count; i++) {
        const char *text = options->properties[i];
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
        for (size_t k = 0; ours[k][0] != NULL; k++) {
            if (strcmp(name, ours[k][0]) == 0) {
                snprintf(why, 512, "kafka property %s is the mailer's own", name);
                return false;
            }
        }
        if (!set(conf, name, strchr(text, '=') + 1, why))
            return false;
    }
    return true;
}

static bool
configure(rd_kafka_conf_t *conf, const struct consumer_options *options, char why[512])
{
    char absent[16];
    snprintf(absent, sizeof absent, "%d", CONSUMER_ABSENT_S * 1000);
    static const char *const habits[][2] = {
        {"session.timeout.ms", "6000"}, /* a killed mailer's partitions go to another after that */
        {"topic.metadata.refresh.interval.ms", "10000"}, /* a topic made later is found */
        {"log.connection.close", "false"},
        {NULL, NULL}};
    const char *const ours[][2] = {
        {"bootstrap.servers", options->brokers},
        {"group.id", options->group},
        {"isolation.level", "read_committed"}, /* an exactly-once relay's aborted events are not for us */
        {"enable.auto.commit", "false"},       /* only what is committed in Postgres is committed here */
        {"auto.offset.reset", "earliest"},     /* who signed up before the first start is welcome too */
        {"max.poll.interval.ms", absent},      /* what every step of the mailer is bounded for: see main.c */
        {"partition.assignment.strategy", "range"}, /* all or nothing, as rebalance above has it */
        {NULL, NULL}};
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    return set_all(conf, habits, why) && set_further(conf, options, ours, why) && set_all(conf, ours, why);
}

bool
consumer_open(struct consumer *consumer, const struct consumer_options *options, char why[512])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!configure(conf, options, why) ||
        (consumer->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, 512)) == NULL) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_poll_set_consumer(consumer->client);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, options->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    snprintf(why, 512, "topic %s: %s", options->topic, rd_kafka_err2str(code));
    rd_kafka_destroy(consumer->client);
    consumer->client = NULL;
    return false;
}

static void
header_text(const rd_kafka_headers_t *headers, const char *name, char *text, size_t size)
{
    const void *value = NULL;
    size_t length = 0;
    if (rd_kafka_header_get_last(headers, name, &value, &length) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL || length >= size)
        length = 0;
    memcpy(text, length > 0 ? value : "", length);
    text[length] = '\0';
}

/* What outboxd takes for the name of a source; anybody else may have written something else. */
static bool
is_name(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return *text != '\0' && text[strspn(text, allowed)] == '\0';
}

static void
read_headers(struct received *received)
{
    rd_kafka_headers_t *headers;
    char text[24] = "", *end = text;
    received->id = 0;
    *received->source = '\0';
    if (rd_kafka_message_headers(received->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    header_text(headers, "id", text, sizeof text);
    header_text(headers, "source", received->source, sizeof received->source);
    errno = 0;
    int64_t id = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && is_name(received->source))
        received->id = id;
}

bool
consumer_next(struct consumer *consumer, int timeout_ms, struct received *received)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, timeout_ms);
    if (message == NULL)
        return false;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fprintf(stderr, "welcome: kafka: %s\n", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
        return false;
    }
    received->message = message;
    read_headers(received);
    return true;
}

void
consumer_done(struct consumer *consumer, struct received *received)
{
    rd_kafka_commit_message(consumer->client, received->message, 1);
    rd_kafka_message_destroy(received->message);
}

bool
consumer_again(struct consumer *consumer, struct received *received)
{
    rd_kafka_message_t *message = received->message;
    rd_kafka_topic_partition_list_t *back = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(back, rd_kafka_topic_name(message->rkt), message->partition)->offset =
        message->offset;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(consumer->client, back, CONSUMER_AGAIN_S * 1000);
    rd_kafka_resp_err_t code = error != NULL ? rd_kafka_error_code(error) : back->elems[0].err;
    bool done = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!done)
        fprintf(stderr, "welcome: kafka: no way back to offset %" PRId64 " of partition %d: %s\n",
                message->offset, message->partition, rd_kafka_err2str(code));
    rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(back);
    rd_kafka_message_destroy(message);
    return done;
}

void
consumer_close(struct consumer *consumer)
{
    if (consumer->client == NULL)
        return;
    rd_kafka_consumer_close(consumer->client);
    rd_kafka_destroy(consumer->client);
    consumer->client = NULL;
}
