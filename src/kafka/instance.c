/* instance.c: makes and retires librdkafka handles. Called by the producer; knows nothing about events. */
#include "kafka/instance.h"

#include <pthread.h>
#include <signal.h>

bool
instance_open(struct instance *instance, rd_kafka_conf_t *conf, const struct producer_shape *shape,
              int wake_fd, struct error *error)
{
    static const uint64_t one = 1;
    char reason[512];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERROR_RETRY, "librdkafka: %s", reason);
    }
    *instance = (struct instance){.rk = rk, .reports = rd_kafka_queue_get_main(rk), .shape = *shape};
    rd_kafka_queue_io_event_enable(instance->reports, wake_fd, &one, sizeof one);
    return true;
}

static void *
destroy(void *rk)
{
    rd_kafka_destroy(rk);
    return NULL;
}

/* Like librdkafka's own threads: signals belong to the relay's thread. */
static bool
start_destroying(rd_kafka_t *rk)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, destroy, rk) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    return started;
}

void
instance_retire(struct instance *instance)
{
    rd_kafka_queue_io_event_enable(instance->reports, -1, NULL, 0);
    rd_kafka_queue_destroy(instance->reports);
    if (!start_destroying(instance->rk))
        rd_kafka_destroy(instance->rk);
    *instance = (struct instance){0};
}
