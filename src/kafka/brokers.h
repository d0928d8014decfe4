/* brokers.h: is an instance of the producer connected to any broker? librdkafka says it at each change, from threads of its
 * own; its statistics would say it seconds later, and not at all when they are switched off. */
#ifndef OUTBOXD_KAFKA_BROKERS_H
#define OUTBOXD_KAFKA_BROKERS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

struct brokers;

struct brokers *brokers_new(void);

/* When librdkafka's threads of that handle have ended, so after rd_kafka_destroy(). */
void brokers_free(struct brokers *brokers);

/* Before rd_kafka_new(). */
void brokers_watch(struct brokers *brokers, rd_kafka_conf_t *conf);

/* Any thread, at any time. */
bool brokers_connected(const struct brokers *brokers);

/* What librdkafka says about a connection, "sasl_ssl://host:port/id: what happened (after 0ms in state CONNECT)", as
 * "host:port" and "what happened". Without a broker in it `broker` becomes "". */
void brokers_split_reason(const char *text, char *broker, size_t broker_size, char *what, size_t what_size);

#endif
