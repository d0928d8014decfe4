/* handle.c: see handle.h. Called by instance.c, lookup.c and its threads; knows nothing of what the handle is used for. */
#include "kafka/handle.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

bool
handle_open(struct handle **handle, rd_kafka_conf_t *conf, struct error *error)
{
    char reason[512];
    struct handle *made = must_calloc(1, sizeof *made);
    atomic_init(&made->users, 1);
    made->brokers = brokers_new();
    brokers_watch(made->brokers, conf);
    made->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (made->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        brokers_free(made->brokers);
        free(made);
        return error_set(error, ERROR_RETRY, "librdkafka: %s", reason);
    }
    *handle = made;
    return true;
}

struct handle *
handle_use(struct handle *handle)
{
    atomic_fetch_add(&handle->users, 1);
    return handle;
}

static void *
destroy(void *argument)
{
    struct handle *handle = argument;
    rd_kafka_destroy(handle->rk);
    brokers_free(handle->brokers);
    free(handle);
    return NULL;
}

void
handle_release(struct handle *handle)
{
    if (atomic_fetch_sub(&handle->users, 1) == 1 && !handle_thread(destroy, handle))
        destroy(handle);
}

bool
handle_thread(void *(*work)(void *argument), void *argument)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, work, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    return started;
}
