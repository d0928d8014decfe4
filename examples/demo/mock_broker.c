/* mock_broker.c: librdkafka's embedded mock broker as a process, so that the demo needs no Java. Speaks
 * Kafka's protocol to any client, keeps the records in memory (5 MiB a partition), forgets them when it ends.
 * It proves nothing about a real broker's guarantees; `make demo BROKER=kafka` runs a real one. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64, PARTITIONS_MAX = 1000 };

/* "NAME:PARTITIONS" */
static bool
create_topic(rd_kafka_mock_cluster_t *cluster, const char *text)
{
    char name[250], *end = NULL;
    size_t length = strcspn(text, ":");
    long partitions = text[length] == ':' ? strtol(text + length + 1, &end, 10) : 0;
    if (length == 0 || length >= sizeof name || partitions < 1 || partitions > PARTITIONS_MAX ||
        *end != '\0') {
        fprintf(stderr, "mock_broker: \"%s\" is not TOPIC:PARTITIONS\n", text);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    rd_kafka_resp_err_t code = rd_kafka_mock_topic_create(cluster, name, (int)partitions, 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        fprintf(stderr, "mock_broker: topic %s: %s\n", name, rd_kafka_err2str(code));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

int
main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs("usage: mock_broker TOPIC:PARTITIONS...\n"
              "Prints the address of a mock Kafka broker on the loopback interface; runs until SIGTERM or "
              "SIGINT.\n",
              argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }

    /* Before any thread exists: librdkafka's threads inherit the mask, and the signals wait for sigwait. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "4", NULL, 0); /* no notice that the host itself has no brokers */
    rd_kafka_t *host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    rd_kafka_mock_cluster_t *cluster = host ? rd_kafka_mock_cluster_new(host, 1) : NULL;
    if (cluster == NULL) {
        fprintf(stderr, "mock_broker: cannot start: %s\n", host ? "no mock cluster" : text);
        return EXIT_FAILURE;
    }
    bool good = true;
    for (int i = 1; i < argc; i++)
        good &= create_topic(cluster, argv[i]);
    if (good) {
        int ended_by;
        printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
        fflush(stdout);
        sigwait(&ends, &ended_by);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    return good ? 0 : EXIT_USAGE;
}
