/* kafka_broker.h: what kafka.c and kafka_topics.c share; tests include kafka.h. */
#ifndef OUTBOXD_TESTS_SUPPORT_KAFKA_BROKER_H
#define OUTBOXD_TESTS_SUPPORT_KAFKA_BROKER_H

#include "support/kafka.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct broker {
    pid_t pid; /* of the JVM; 0: down, or not ours */
    bool own;
    int node;                                /* its node.id; 1 when it is alone */
    struct broker *others[BROKER_NODES - 1]; /* of the first node of a cluster, which owns them; NULL: none */
    char *bootstrap;
    char *directory, *log, *properties, *classpath; /* NULL when it is the suite's */
    char **kept;                                    /* topic names promised to live as long as this */
    size_t kept_count;
};

/* A quiet producer handle for admin requests; the caller destroys it. */
rd_kafka_t *broker_client(const struct broker *broker);

#endif
