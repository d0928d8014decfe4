/* kafka_broker.h: what the kafka_*.c files share; tests include kafka.h. */
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
    int proxied;                             /* a listener for a proxy; 0: none */
    char *bootstrap;                         /* of all nodes */
    char *address;                           /* its own */
    char *directory, *log, *properties, *jars; /* NULL when it is the suite's */
    char **kept;                               /* topic names promised to live as long as this */
    size_t kept_count;
};

#define BROKER_VERSION "4.1.0"

/* The directory that packaging/kafka-jars.sh made for this version; the caller frees it. */
char *broker_jars(const char *version);

/* A class of Kafka as a program, with `arguments` (NULL-terminated): it must succeed. */
void broker_run_tool(const struct broker *broker, const char *class, const char *const *arguments);

/* Makes the empty storage of a node. */
void broker_format(const struct broker *broker, const struct broker_options *options);

/* Starts the JVM; ready is another thing. `archiving`: it writes an archive of its classes when it is stopped. */
void broker_launch(struct broker *broker, bool archiving);

/* The archive halves the processor time of each later start. It lies beside the jars, is the JVM's own that made it, and does
 * nothing for another one: does it work here? And: what a broker wrote that was archiving is from now on used by all. */
bool broker_archive_works(const struct broker *broker);
void broker_archive_keep(const struct broker *broker);

/* A quiet producer handle for admin requests; the caller destroys it. The other one asks the broker at that address first. */
rd_kafka_t *broker_client(const struct broker *broker);
rd_kafka_t *broker_client_at(const char *bootstrap);

#endif
