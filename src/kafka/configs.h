/* configs.h: reads the answer to DescribeConfigs. Used by topics.c for sending, by inspect.c for `check`, and by position_reader.c. */
#ifndef OUTBOXD_KAFKA_CONFIGS_H
#define OUTBOXD_KAFKA_CONFIGS_H

#include "kafka/message.h"

#include <librdkafka/rdkafka.h>

/* Value of an entry, or NULL. */
const char *configs_value(const rd_kafka_ConfigResource_t *resource, const char *name);

/* A number, or `otherwise` when the entry is missing or no number. */
int64_t configs_number(const rd_kafka_ConfigResource_t *resource, const char *name, int64_t otherwise);

/* What a topic's configuration demands of a record. */
struct message_limits configs_limits(const rd_kafka_ConfigResource_t *topic);

/* DescribeConfigs goes to the controller. A cluster that names none of its brokers as such (librdkafka's mock brokers) would
 * keep the question until it times out, so it is not asked: there the limits stay unknown. */
bool configs_have_controller(rd_kafka_t *rk, const rd_kafka_metadata_t *metadata);

/* Asks for the configuration of topics by name; the answer comes as an RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT.
 */
void configs_ask(rd_kafka_t *rk, const char *const *names, size_t count, int timeout_ms,
                 rd_kafka_queue_t *queue);

/* What such an answer (NULL: none came) says of one of them, the event's; NULL when it says nothing or may not. */
const rd_kafka_ConfigResource_t *configs_find(rd_kafka_event_t *event, const char *name);
/* Why configs_find() gave NULL; lives as long as the event. */
const char *configs_refusal(rd_kafka_event_t *event, const char *name);

/* Which release the brokers are of, as each of them says in its inter.broker.protocol.version. */
#define CONFIGS_VERSION_4 400
struct configs_versions {
    /* 307 for 3.7, CONFIGS_VERSION_4 for brokers that have no such setting any more; 0: none has told */
    int lowest;
    char text[64];    /* it as written, or "" */
    char untold[100]; /* why one that has answered, or all, did not tell; "": they did */
};

/* Asks all brokers of these metadata at once, and blocks for `timeout_ms` at most; once one has answered, not much longer than that
 * took: one that is down is still among them for some seconds, and is done without. */
struct configs_versions configs_ask_versions(rd_kafka_t *rk, const rd_kafka_metadata_t *metadata,
                                             int timeout_ms);

#endif
