/* instance.h: one librdkafka producer handle with its queue of reports. Used by producer.c alone. */
#ifndef OUTBOXD_KAFKA_INSTANCE_H
#define OUTBOXD_KAFKA_INSTANCE_H

#include "base/error.h"
#include "kafka/brokers.h"
#include "kafka/properties.h"

#include <librdkafka/rdkafka.h>

struct instance {
    rd_kafka_t *rk; /* NULL: none */
    rd_kafka_queue_t *reports;
    struct brokers *brokers;
    struct producer_shape shape;
};

/* Takes `conf` in any case. `wake_fd`, an eventfd, becomes readable when a report is in. */
MUST_CHECK bool instance_open(struct instance *instance, rd_kafka_conf_t *conf,
                              const struct producer_shape *shape, int wake_fd, struct error *error);

/* Lets go of it. It is destroyed by a thread of its own, since a broker thread may be held in the resolver;
 * every report must be in. */
void instance_retire(struct instance *instance);

#endif
