/* instance.c: makes and retires librdkafka handles. Called by the producer; knows nothing about events. */
#include "kafka/instance.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

bool
instance_open(struct instance *instance, rd_kafka_conf_t *conf, const struct producer_shape *shape,
              int wake_fd, struct error *error)
{
    static const uint64_t one = 1;
    char reason[512];
    struct brokers *brokers = brokers_new();
    brokers_watch(brokers, conf);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        brokers_free(brokers);
        return error_set(error, ERROR_RETRY, "librdkafka: %s", reason);
    }
    *instance = (struct instance){
        .rk = rk, .reports = rd_kafka_queue_get_main(rk), .brokers = brokers, .shape = *shape};
    rd_kafka_queue_io_event_enable(instance->reports, wake_fd, &one, sizeof one);
    return true;
}

/* Of an instance that is retired. */
struct remains {
    rd_kafka_t *rk;
    struct brokers *brokers;
};

static void *
destroy(void *context)
{
    struct remains *remains = context;
    rd_kafka_destroy(remains->rk);
    brokers_free(remains->brokers);
    free(remains);
    return NULL;
}

/* Like librdkafka's own threads: signals belong to the relay's thread. */
static bool
start_destroying(struct remains *remains)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, destroy, remains) == 0;
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
    struct remains *remains = must_alloc(sizeof *remains);
    *remains = (struct remains){.rk = instance->rk, .brokers = instance->brokers};
    if (!start_destroying(remains))
        destroy(remains);
    *instance = (struct instance){0};
}
