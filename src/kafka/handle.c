/* handle.c: see handle.h. Called by instance.c and by errands; knows nothing of what the handle is used for. */
#include "kafka/handle.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const int64_t QUIET_US = INT64_C(60) * 1000 * 1000;

/* Kafka's numbers of requests. */
enum { PRODUCE = 0, END_TXN = 26 };

/* ---- interceptors: called by librdkafka's broker threads; they only count ---- */

static rd_kafka_resp_err_t
on_request_sent(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t request,
                int16_t version, int32_t number, size_t size, void *opaque)
{
    struct handle *handle = opaque;
    (void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)number, (void)size;
    if (request == PRODUCE)
        atomic_fetch_add(&handle->in_flight, 1);
    if (request == END_TXN)
        atomic_fetch_add(&handle->ends, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Called for every request that is over, also for those that were never sent. */
static rd_kafka_resp_err_t
on_response_received(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t request,
                     int16_t version, int32_t number, size_t size, int64_t rtt_us, rd_kafka_resp_err_t error,
                     void *opaque)
{
    struct handle *handle = opaque;
    (void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)number, (void)rtt_us;
    if (request != PRODUCE)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    if (size > 0 || error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        atomic_fetch_sub(&handle->in_flight, 1);
    else if (error != RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE && error != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
             error != RD_KAFKA_RESP_ERR__RETRY)
        atomic_store(&handle->lost, true); /* sent or not: both end with the same error */
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *reason, size_t size)
{
    (void)conf, (void)reason, (void)size;
    CHECK(rd_kafka_interceptor_add_on_request_sent(rk, "outboxd", on_request_sent, opaque) ==
          RD_KAFKA_RESP_ERR_NO_ERROR);
    CHECK(rd_kafka_interceptor_add_on_response_received(rk, "outboxd", on_response_received, opaque) ==
          RD_KAFKA_RESP_ERR_NO_ERROR);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum handle_traffic
handle_traffic(const struct handle *handle)
{
    if (atomic_load(&handle->lost))
        return HANDLE_UNKNOWN;
    return atomic_load(&handle->in_flight) > 0 ? HANDLE_BUSY : HANDLE_IDLE;
}

void
handle_settled(struct handle *handle)
{
    if (!atomic_load(&handle->lost))
        return;
    atomic_store(&handle->in_flight, 0);
    atomic_store(&handle->lost, false);
}

void
handle_count_ends(struct handle *handle)
{
    atomic_store(&handle->ends, 0);
}

int
handle_ends(const struct handle *handle)
{
    return atomic_load(&handle->ends);
}

/* ---- its life ---- */

bool
handle_open(struct handle **handle, rd_kafka_conf_t *conf, struct error *error)
{
    char reason[512];
    struct handle *made = must_calloc(1, sizeof *made);
    atomic_init(&made->users, 1);
    made->brokers = brokers_new();
    brokers_watch(made->brokers, conf);
    CHECK(rd_kafka_conf_interceptor_add_on_new(conf, "outboxd", on_new, made) == RD_KAFKA_RESP_ERR_NO_ERROR);
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

/* Whoever needs the thread tries again and again. */
static void
say_no_thread(int code)
{
    static _Atomic int64_t quiet_until_us;
    int64_t now_us = clock_monotonic_us();
    if (now_us < quiet_until_us)
        return;
    quiet_until_us = now_us + QUIET_US;
    log_error("cannot start a thread: raise the limit of processes (TasksMax, ulimit -u)",
              LOG_STR("why", strerror(code)), LOG_END);
}

bool
handle_thread(void *(*work)(void *argument), void *argument)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&thread, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        pthread_detach(thread);
    else
        say_no_thread(code);
    return code == 0;
}
