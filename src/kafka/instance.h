/* instance.h: one librdkafka producer handle with its queue of reports. Used by producer.c alone. */
#ifndef OUTBOXD_KAFKA_INSTANCE_H
#define OUTBOXD_KAFKA_INSTANCE_H

#include "base/error.h"
#include "kafka/handle.h"
#include "kafka/properties.h"

struct instance {
    rd_kafka_t *rk;        /* NULL: none */
    struct handle *handle; /* its owner, also in the name of questions under way */
    rd_kafka_queue_t *reports;
    struct producer_shape shape;
};

/* Takes `conf` in any case. `wake_fd`, an eventfd, becomes readable when a report is in. */
MUST_CHECK bool instance_open(struct instance *instance, rd_kafka_conf_t *conf,
                              const struct producer_shape *shape, int wake_fd, struct error *error);

/* Lets go of it; it is destroyed in the background. Every report must be in. */
void instance_retire(struct instance *instance);

#endif
