/* producer.c: the life of the producer: instances begin, are watched, end. Called by the relay's thread only;
 * decides when an instance ends, never what becomes of an event.
 *
 * K1  An event is with at most one instance: the next one starts when every report of the last one is in.
 *
 * K2  After a failed report nothing more is handed to that instance: what follows could overtake what failed.
 *
 * K3  librdkafka points into the events' pages, it has no copy: so K1 is also what makes freeing a page safe. */
#include "kafka/producer.h"

#include "base/clock.h"
#include "base/log.h"
#include "kafka/classify.h"
#include "kafka/inside.h"
#include "kafka/properties.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* When an instance ends, what a broker has in its hands is waited for: what is acknowledged now is not sent twice. A broker that
 * is alive answers within this time, also one in another region or under load. */
enum { GRACE_US = 2 * 1000 * 1000 };
/* The same when a connection was lost, so that nobody knows what is still to come: so long without a report. */
enum { QUIET_US = 200 * 1000 };
/* librdkafka's threads need a moment to purge their queues, and might meanwhile send what is in them. */
enum { SETTLE_US = 20 * 1000 };
/* A purge is a message to librdkafka's threads; one that found a thread busy is repeated. */
enum { PURGE_AGAIN_US = 1000 * 1000 };
/* How long producer_free() waits for librdkafka to let go. Only a thread in the resolver takes longer than a
 * moment. */
enum { FREE_TIMEOUT_US = 2 * 1000 * 1000 };
/* librdkafka retries for ever. Twelve request time-outs without one acknowledgement for a topic, while a
 * broker answers, are not an outage but that topic's fault. */
static const int64_t WATCHDOG_US = INT64_C(120) * 1000 * 1000;
enum { WATCHDOG_EVERY_US = 1000 * 1000 };
/* A clock that is set back by less than this costs no more than a busy broker; an instance has that long to connect. */
enum { SET_BACK_US = 5 * 1000 * 1000 };
void
producer_set_state(struct producer *producer, enum producer_state to, const char *why)
{
    static const char *const names[] = {"none", "starting", "ready", "ending"};
    static const bool allowed[4][4] = {
        [PRODUCER_NONE] = {[PRODUCER_STARTING] = true, [PRODUCER_READY] = true},
        [PRODUCER_STARTING] = {[PRODUCER_READY] = true, [PRODUCER_ENDING] = true},
        [PRODUCER_READY] = {[PRODUCER_ENDING] = true},
        [PRODUCER_ENDING] = {[PRODUCER_NONE] = true},
    };
    CHECK(allowed[producer->state][to]);
    log_info("producer", LOG_STR("from", names[producer->state]), LOG_STR("to", names[to]),
             LOG_STR("why", why), LOG_INT("out", (int64_t)producer->reports.out), LOG_END);
    producer->state = to;
}

void
producer_wake(const struct producer *producer)
{
    uint64_t one = 1;
    CHECK(write(producer->wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

static void
unwake(const struct producer *producer)
{
    uint64_t count;
    CHECK(read(producer->wake_fd, &count, sizeof count) == sizeof count || errno == EAGAIN);
}

/* ---- making and ending instances ---- */

bool
producer_new(struct producer **producer, const struct settings *settings, producer_report *report,
             void *context, struct error *error)
{
    const struct property *interval = properties_find(settings, "statistics.interval.ms");
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd < 0)
        return error_set(error, ERROR_RETRY, "eventfd: %s", strerror(errno));
    struct producer *made = must_calloc(1, sizeof *made);
    *made = (struct producer){
        .settings = settings,
        .source_size = strlen(settings->source),
        .compressed = properties_compressed(settings),
        .counts_brokers = interval == NULL || strtol(interval->value, NULL, 10) > 0,
        .wake_fd = wake_fd,
        .topics = topics_new(),
        .message_bytes = properties_batch_bytes(settings),
    };
    made->reports = (struct reports){.report = report, .context = context, .topics = made->topics};
    const struct producer_shape shape = {.batch_bytes = made->message_bytes,
                                         .message_bytes = made->message_bytes,
                                         .exact = settings->delivery == DELIVERY_EXACTLY_ONCE};
    rd_kafka_conf_t *conf = properties_producer(settings, &shape, error);
    if (conf == NULL) {
        producer_free(made);
        return error_prefix(error, "kafka");
    }
    rd_kafka_conf_destroy(conf);
    *producer = made;
    return true;
}

static bool
open_instance(struct producer *producer, size_t batch_events, bool exact, struct error *error)
{
    int64_t wanted = properties_batch_bytes(producer->settings),
            allowed = topics_batch_bytes(producer->topics);
    const struct producer_shape shape = {.batch_bytes = wanted < allowed ? wanted : allowed,
                                         .message_bytes = producer->message_bytes,
                                         .batch_events = batch_events,
                                         .exact = exact};
    rd_kafka_conf_t *conf = properties_producer(producer->settings, &shape, error);
    if (conf == NULL)
        return false;
    reports_install(conf);
    if (!instance_open(&producer->instance, conf, &shape, producer->wake_fd, error))
        return false;
    if (exact && !transaction_new(&producer->transaction, producer->settings, producer->instance.handle,
                                  producer->wake_fd, error)) {
        instance_retire(&producer->instance);
        return false;
    }
    producer->uncommitted = 0;
    reports_begin(&producer->reports, producer->instance.handle->brokers,
                  batch_events > 0 ? 0 : shape.batch_bytes);
    topics_attach(producer->topics, producer->instance.handle, producer->wake_fd);
    producer->reshape = false;
    producer->purged = false;
    producer->set_back = false;
    producer->begun_us = clock_monotonic_us();
    producer->ahead_us = clock_wall_us() - producer->begun_us;
    producer_wake(producer);
    return true;
}

bool
producer_start(struct producer *producer, size_t batch_events, bool exact, struct error *error)
{
    CHECK(producer->state == PRODUCER_NONE && producer->reports.out == 0);
    if (!open_instance(producer, batch_events, exact, error))
        return error_prefix(error, "kafka");
    producer_set_state(producer, exact ? PRODUCER_STARTING : PRODUCER_READY,
                       batch_events > 0 ? "started, small batches" : "started");
    return true;
}

static void
purge(struct producer *producer, int flags)
{
    rd_kafka_purge(producer->instance.rk, flags | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

void
producer_end(struct producer *producer, int64_t now_us, const char *why)
{
    struct outcome unsent;
    if (producer->state != PRODUCER_READY && producer->state != PRODUCER_STARTING)
        return;
    classify_own(&unsent, OUTCOME_UNSENT, "ENDED", "%s", why);
    if (!producer->reports.failed)
        reports_fail(&producer->reports, &unsent);
    position_explain_id(producer->settings, &producer->reports.failure);
    topics_detach(producer->topics);
    purge(producer, RD_KAFKA_PURGE_F_QUEUE);
    producer->end_us = producer->report_us = now_us;
    producer->purge_us = now_us + GRACE_US;
    producer_set_state(producer, PRODUCER_ENDING, why);
    producer_wake(producer);
}

/* K1: only when nothing is out. */
static void
finish_ending(struct producer *producer)
{
    transaction_free(producer->transaction);
    producer->transaction = NULL;
    instance_retire(&producer->instance);
    producer_set_state(producer, PRODUCER_NONE, "all reports are in");
}

/* Nothing more will be acknowledged: events are out of which no broker knows, or not any more. What is acknowledged in a
 * transaction that will not be committed is worth nothing. */
static bool
is_over(const struct producer *producer, int64_t now_us)
{
    if (producer->transaction != NULL)
        return true;
    switch (handle_traffic(producer->instance.handle)) {
    case HANDLE_IDLE:
        return now_us - producer->end_us >= SETTLE_US;
    case HANDLE_UNKNOWN:
        return now_us - producer->report_us >= QUIET_US;
    case HANDLE_BUSY:
        break;
    }
    return false;
}

static void
purge_all(struct producer *producer, int64_t now_us)
{
    purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    producer->purge_us = now_us + PURGE_AGAIN_US;
    producer->purged = true;
}

static int64_t
turn_ending(struct producer *producer, int64_t now_us)
{
    if (producer->reports.out == 0) {
        finish_ending(producer);
        return CLOCK_NEVER;
    }
    if (producer->reports.served > 0)
        producer->report_us = now_us;
    if (now_us >= producer->purge_us || (!producer->purged && is_over(producer, now_us)))
        purge_all(producer, now_us);
    return producer->purged ? producer->purge_us : now_us + SETTLE_US;
}

void
producer_free(struct producer *producer)
{
    if (producer == NULL)
        return;
    int64_t now_us = clock_monotonic_us(), deadline_us = now_us + FREE_TIMEOUT_US;
    producer_end(producer, now_us, "freed");
    if (producer->state == PRODUCER_ENDING) {
        purge_all(producer, now_us);
        while (producer->reports.out > 0 && (now_us = clock_monotonic_us()) < deadline_us)
            reports_serve(&producer->reports, &producer->instance, now_us, 20);
        if (producer->reports.out > 0)
            log_warning("librdkafka keeps events back", LOG_INT("out", (int64_t)producer->reports.out),
                        LOG_END);
        finish_ending(producer);
    }
    topics_free(producer->topics);
    close(producer->wake_fd);
    free(producer);
}

void
producer_renew(struct producer *producer, bool anew)
{
    const struct property *username = properties_find(producer->settings, "sasl.username"),
                          *password = properties_find(producer->settings, "sasl.password");
    if (producer->state != PRODUCER_READY)
        return;
    if (username != NULL && password != NULL)
        rd_kafka_error_destroy(
            rd_kafka_sasl_set_credentials(producer->instance.rk, username->value, password->value));
    producer->reshape = producer->reshape || anew;
    producer_wake(producer);
}

/* ---- the turn ---- */

/* librdkafka's threads wait for moments of the day. When the clock is set back, one that waits to connect again does so for that
 * much longer; a new instance has threads that do not wait. One that is connected waits for its socket, and is left alone. */
static void
watch_clock(struct producer *producer, int64_t now_us)
{
    int64_t ahead_us = clock_wall_us() - now_us;
    producer->set_back = producer->set_back || ahead_us < producer->ahead_us - SET_BACK_US;
    producer->ahead_us = ahead_us;
    if (producer->set_back && producer->reports.statistics.away_since_us != 0 &&
        now_us - producer->begun_us >= SET_BACK_US)
        producer_end(producer, now_us, "the clock was set back while Kafka is away");
}

/* While no broker answers, librdkafka's own patience loses and repeats nothing, and a new instance would help
 * nobody. */
static void
watch(struct producer *producer, int64_t now_us)
{
    bool answering = !producer->counts_brokers || producer->reports.statistics.brokers_up > 0;
    if (topics_stalled(producer->topics, now_us, WATCHDOG_US, answering))
        producer_end(producer, now_us, "no acknowledgement for 120 s");
    else
        watch_clock(producer, now_us);
    producer->watchdog_us = now_us + WATCHDOG_EVERY_US;
}

/* A new instance of another shape. Nothing is out, so nothing is repeated and no order is at stake. An exact one begins like any
 * other, with the position. */
static void
reshape(struct producer *producer, int64_t now_us)
{
    struct error error;
    size_t batch_events = producer->instance.shape.batch_events;
    if (producer->transaction != NULL) {
        producer_end(producer, now_us, "another shape is needed");
        return;
    }
    topics_detach(producer->topics);
    instance_retire(&producer->instance);
    if (open_instance(producer, batch_events, false, &error))
        return;
    log_error("no new instance of the producer", LOG_STR("error", error.message), LOG_END);
    producer->purge_us = now_us;
    producer_set_state(producer, PRODUCER_ENDING, "reshaping failed");
    producer_set_state(producer, PRODUCER_NONE, "reshaping failed");
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
turn_ready(struct producer *producer, int64_t now_us)
{
    int64_t topics_us = topics_turn(producer->topics, now_us);
    if (producer->reports.out == 0)
        handle_settled(producer->instance.handle);
    if (producer->reports.failed)
        producer_end(producer, now_us, producer->reports.failure.message);
    else if (topics_hang(producer->topics, now_us))
        producer_end(producer, now_us, "librdkafka does not come back from a question about topics");
    else if (producer->reshape && producer->reports.out == 0 && !producer_wants_commit(producer))
        reshape(producer, now_us);
    else if (now_us >= producer->watchdog_us)
        watch(producer, now_us);
    if (producer->state != PRODUCER_READY)
        return now_us;
    return producer->reports.out > 0 ? earlier(topics_us, producer->watchdog_us) : topics_us;
}

int64_t
producer_turn(struct producer *producer, int64_t now_us)
{
    int64_t next_us = CLOCK_NEVER;
    unwake(producer);
    if (producer->state == PRODUCER_NONE)
        return CLOCK_NEVER;
    producer_turn_transaction(producer, now_us);
    reports_serve(&producer->reports, &producer->instance, now_us, 0);
    if (producer->state == PRODUCER_READY)
        next_us = turn_ready(producer, now_us);
    if (producer->state == PRODUCER_STARTING)
        watch_clock(producer, now_us);
    if (producer->state == PRODUCER_STARTING && producer->reports.failed)
        producer_end(producer, now_us, producer->reports.failure.message);
    if (producer->state == PRODUCER_ENDING)
        next_us = turn_ending(producer, now_us);
    if (producer->state != PRODUCER_NONE && rd_kafka_queue_length(producer->instance.reports) > 0)
        next_us = now_us; /* the reports of one turn are bounded */
    return next_us;
}

/* ---- looking ---- */

bool
producer_obstacle(struct producer *producer, const struct event *event, int64_t now_us, int64_t since_us,
                  struct outcome *obstacle)
{
    return topics_obstacle(producer->topics, topics_facts(producer->topics, event->topic), event, now_us,
                           since_us, obstacle);
}

int
producer_fd(const struct producer *producer)
{
    return producer->wake_fd;
}

enum producer_state
producer_state(const struct producer *producer)
{
    return producer->state;
}

size_t
producer_out(const struct producer *producer)
{
    return producer->reports.out;
}

const struct producer_statistics *
producer_statistics(const struct producer *producer)
{
    return &producer->reports.statistics;
}
