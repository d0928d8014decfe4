/* create_topic.c: makes one topic in a real Kafka, without the seconds that a Java tool takes. Called by
 * kafka.sh. */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64, TIMEOUT_MS = 20000 };

static bool
report(rd_kafka_event_t *answer)
{
    if (answer == NULL) {
        fputs("create_topic: no answer\n", stderr);
        return false;
    }
    if (rd_kafka_event_error(answer)) {
        fprintf(stderr, "create_topic: %s\n", rd_kafka_event_error_string(answer));
        return false;
    }
    size_t count;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(answer);
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    if (count != 1 || rd_kafka_topic_result_error(topics[0])) {
        fprintf(stderr, "create_topic: %s\n",
                count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : "no result");
        return false;
    }
    return true;
}

static bool
create(rd_kafka_t *client, const char *name, int partitions)
{
    char why[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, why, sizeof why);
    if (topic == NULL) {
        fprintf(stderr, "create_topic: %s\n", why);
        return false;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *answer = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    bool done = report(answer);
    if (answer)
        rd_kafka_event_destroy(answer);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    return done;
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: create_topic BROKERS TOPIC PARTITIONS\n", stderr);
        return EXIT_USAGE;
    }
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *client = NULL;
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why) == RD_KAFKA_CONF_OK)
        client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (client == NULL) {
        fprintf(stderr, "create_topic: %s\n", why);
        return EXIT_FAILURE;
    }
    bool done = create(client, argv[2], (int)strtol(argv[3], NULL, 10));
    rd_kafka_destroy(client);
    return done ? 0 : EXIT_FAILURE;
}
