/* instance.c: makes and retires librdkafka handles. Called by the producer; knows nothing about events. */
#include "kafka/instance.h"

bool
instance_open(struct instance *instance, rd_kafka_conf_t *conf, const struct producer_shape *shape,
              int wake_fd, struct error *error)
{
    static const uint64_t one = 1;
    struct handle *handle;
    if (!handle_open(&handle, conf, error))
        return false;
    *instance = (struct instance){
        .rk = handle->rk, .handle = handle, .reports = rd_kafka_queue_get_main(handle->rk), .shape = *shape};
    rd_kafka_queue_io_event_enable(instance->reports, wake_fd, &one, sizeof one);
    return true;
}

void
instance_retire(struct instance *instance)
{
    rd_kafka_queue_io_event_enable(instance->reports, -1, NULL, 0);
    rd_kafka_queue_destroy(instance->reports);
    handle_release(instance->handle);
    *instance = (struct instance){0};
}
