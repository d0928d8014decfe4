/* topics.c: asks brokers about topics and remembers the answers. Called by the producer from its turn; never
 * decides what becomes of an event. */
#include "kafka/topics.h"

#include "base/clock.h"
#include "kafka/classify.h"
#include "kafka/configs.h"

#include <stdlib.h>
#include <string.h>

/* A controller that does not answer in this time is away; then we ask again. As socket.timeout.ms. */
enum { ANSWER_TIMEOUT_MS = 10000 };
/* The one call that blocks: to a broker that has just answered, so usually done in a millisecond. Below half
 * of the shortest lease, so that a slow answer cannot cost the leadership. */
enum { METADATA_TIMEOUT_MS = 500 };
/* Between two attempts while no broker answers; librdkafka's own reconnects go on meanwhile. */
enum { RETRY_US = 200 * 1000 };
/* librdkafka connects and asks for the brokers by itself; so soon we look whether it has. */
enum { FIRST_ANSWER_US = 5 * 1000 };
/* An operator who changes a limit of a topic sees the effect within this time; one request for all topics. */
static const int64_t REFRESH_US = INT64_C(300) * 1000 * 1000;
/* Below this a refused batch does not lower batch.size further: it was a single large event. */
enum { LEAST_BATCH_BYTES = 16 * 1024 };

struct topics {
    struct topic_facts **facts; /* by topic->index; NULL: never used */
    size_t capacity;
    size_t asking; /* how many are ASKING */

    rd_kafka_t *rk;          /* attached instance, or NULL */
    rd_kafka_queue_t *queue; /* its answers */
    bool waiting;            /* a request is under way */
    int64_t retry_us;        /* not before */
    int64_t refresh_us;      /* when KNOWN topics are asked about again */
};

struct topics *
topics_new(void)
{
    return must_calloc(1, sizeof(struct topics));
}

void
topics_free(struct topics *topics)
{
    CHECK(topics->rk == NULL);
    for (size_t i = 0; i < topics->capacity; i++) {
        if (topics->facts[i] != NULL)
            opening_free(&topics->facts[i]->opening);
        free(topics->facts[i]);
    }
    free(topics->facts);
    free(topics);
}

static struct topic_facts *
make_facts(struct topics *topics, const struct topic *topic)
{
    if (topic->index >= topics->capacity) {
        size_t capacity = ((size_t)topic->index + 1) * 2;
        topics->facts = must_realloc(topics->facts, capacity, sizeof(struct topic_facts *));
        memset(topics->facts + topics->capacity, 0,
               (capacity - topics->capacity) * sizeof(struct topic_facts *));
        topics->capacity = capacity;
    }
    struct topic_facts *facts = must_calloc(1, sizeof *facts);
    *facts =
        (struct topic_facts){.topic = topic, .limits = limits_unknown(), .batch_bytes_learned = INT64_MAX};
    return topics->facts[topic->index] = facts;
}

struct topic_facts *
topics_facts(struct topics *topics, const struct topic *topic)
{
    if (topic->index < topics->capacity && topics->facts[topic->index] != NULL)
        return topics->facts[topic->index];
    return make_facts(topics, topic);
}

struct topic_facts *
topics_at(const struct topics *topics, size_t index)
{
    return topics->facts[index];
}

static void
set_state(struct topics *topics, struct topic_facts *facts, enum topic_state state)
{
    topics->asking -= facts->state == TOPIC_ASKING;
    topics->asking += state == TOPIC_ASKING;
    facts->state = state;
}

void
topics_attach(struct topics *topics, rd_kafka_t *rk, int wake_fd)
{
    static const uint64_t one = 1;
    CHECK(topics->rk == NULL);
    topics->rk = rk;
    topics->queue = rd_kafka_queue_new(rk);
    topics->waiting = false;
    topics->retry_us = 0;
    rd_kafka_queue_io_event_enable(topics->queue, wake_fd, &one, sizeof one);
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts == NULL)
            continue;
        facts->stalled = false;
        opening_reset(&facts->opening);
        if (facts->state == TOPIC_KNOWN)
            set_state(topics, facts, TOPIC_ASKING);
    }
}

static void
drop_handle(struct topic_facts *facts)
{
    if (facts->handle != NULL)
        rd_kafka_topic_destroy(facts->handle);
    facts->handle = NULL;
}

void
topics_detach(struct topics *topics)
{
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL) {
            drop_handle(topics->facts[i]);
            topics->facts[i]->asked = false;
        }
    rd_kafka_queue_io_event_enable(topics->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(topics->queue);
    topics->queue = NULL;
    topics->rk = NULL;
    topics->waiting = false;
}

void
topics_want(struct topics *topics, struct topic_facts *facts)
{
    CHECK(facts->state == TOPIC_IDLE);
    set_state(topics, facts, TOPIC_ASKING);
}

void
topics_forget(struct topics *topics, struct topic_facts *facts)
{
    if (facts->state == TOPIC_FAULTY || facts->state == TOPIC_KNOWN)
        set_state(topics, facts, TOPIC_IDLE);
}

int64_t
topic_batch_bytes(const struct topic_facts *facts)
{
    return facts->limits.max_bytes < facts->batch_bytes_learned ? facts->limits.max_bytes
                                                                : facts->batch_bytes_learned;
}

int64_t
topics_batch_bytes(const struct topics *topics)
{
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL && topic_batch_bytes(topics->facts[i]) < least)
            least = topic_batch_bytes(topics->facts[i]);
    return least;
}

void
topics_batch_refused(struct topic_facts *facts, int64_t batch_bytes)
{
    if (facts->limits.max_bytes == INT64_MAX && batch_bytes / 2 >= LEAST_BATCH_BYTES)
        facts->batch_bytes_learned = batch_bytes / 2;
}

bool
topics_stalled(struct topics *topics, int64_t now_us, int64_t patience_us, bool answering)
{
    bool any = false;
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts == NULL || facts->out == 0)
            continue;
        if (!answering)
            facts->progress_us = now_us;
        facts->stalled = now_us - facts->progress_us > patience_us;
        any |= facts->stalled;
    }
    return any;
}

static struct topic_facts *
find_asked(const struct topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL && topics->facts[i]->asked &&
            strcmp(topics->facts[i]->topic->name, name) == 0)
            return topics->facts[i];
    return NULL;
}

static void
judge(struct topics *topics, struct topic_facts *facts, const rd_kafka_metadata_topic_t *metadata)
{
    if (metadata->partition_cnt > 0) {
        CHECK(facts->handle != NULL);
        opening_resize(&facts->opening, metadata->partition_cnt);
        set_state(topics, facts, TOPIC_KNOWN);
        return;
    }
    classify(metadata->err, &facts->fault);
    facts->fault.kind = OUTCOME_TOPIC;
    drop_handle(facts);
    set_state(topics, facts, TOPIC_FAULTY);
}

/* Does the topic exist, may we see it, where are its partitions? rd_kafka_metadata() also teaches librdkafka,
 * which otherwise holds the first message of a topic back for up to a second. */
static void
confirm(struct topics *topics, int64_t now_us)
{
    const rd_kafka_metadata_t *metadata;
    struct topic_facts *only = NULL;
    size_t count = 0;
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL && topics->facts[i]->asked && topics->facts[i]->state == TOPIC_ASKING) {
            only = topics->facts[i];
            count++;
        }
    if (count == 0)
        return;
    if (rd_kafka_metadata(topics->rk, 0, count == 1 ? only->handle : NULL, &metadata, METADATA_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        topics->retry_us = now_us + RETRY_US;
        return;
    }
    for (int i = 0; i < metadata->topic_cnt; i++) {
        struct topic_facts *facts = find_asked(topics, metadata->topics[i].topic);
        if (facts == NULL || facts->state != TOPIC_ASKING)
            continue;
        judge(topics, facts, &metadata->topics[i]);
        count--;
    }
    rd_kafka_metadata_destroy(metadata);
    if (count > 0)
        topics->retry_us = now_us + RETRY_US;
}

/* DescribeConfigs goes to the controller. A cluster that names none of its brokers as such (librdkafka's mock brokers) would
 * keep the question until it times out: there the limits stay unknown. */
static bool
has_controller(rd_kafka_t *rk)
{
    const rd_kafka_metadata_t *metadata;
    bool found = false;
    if (rd_kafka_metadata(rk, 0, NULL, &metadata, METADATA_TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true; /* nobody answers any more: the question waits for somebody */
    int32_t controller = rd_kafka_controllerid(rk, 0);
    for (int i = 0; i < metadata->broker_cnt; i++)
        found |= metadata->brokers[i].id == controller;
    rd_kafka_metadata_destroy(metadata);
    return found;
}

/* The answer is dealt with, whatever it was. */
static void
finish_asking(struct topics *topics, int64_t now_us)
{
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL)
            topics->facts[i]->asked = false;
    topics->waiting = false;
    topics->refresh_us = now_us + REFRESH_US;
}

/* Asks about the topics that are ASKING, or about the KNOWN ones when it is time to refresh. */
static void
ask(struct topics *topics, enum topic_state state, int64_t now_us)
{
    const char **names = must_calloc(topics->capacity, sizeof(const char *));
    size_t count = 0;
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts == NULL || facts->state != state)
            continue;
        if (facts->handle == NULL)
            facts->handle = rd_kafka_topic_new(topics->rk, facts->topic->name, NULL);
        CHECK(facts->handle != NULL);
        facts->asked = true;
        names[count++] = facts->topic->name;
    }
    if (count > 0 && has_controller(topics->rk)) {
        configs_ask(topics->rk, names, count, ANSWER_TIMEOUT_MS, topics->queue);
        topics->waiting = true;
    } else {
        confirm(topics, now_us);
        finish_asking(topics, now_us);
    }
    free(names);
}

/* The negative codes are librdkafka's own: no broker has spoken. A broker without DescribeConfigs is one that
 * has. */
static bool
broker_answered(rd_kafka_resp_err_t error)
{
    return error >= RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

static void
take_answer(struct topics *topics, rd_kafka_event_t *event, int64_t now_us)
{
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct topic_facts *facts = find_asked(topics, rd_kafka_ConfigResource_name(resources[i]));
        /* DESCRIBE_CONFIGS denied: the limits stay unknown, which is no obstacle. */
        if (facts != NULL && rd_kafka_ConfigResource_error(resources[i]) == RD_KAFKA_RESP_ERR_NO_ERROR)
            facts->limits = configs_limits(resources[i]);
    }
    if (broker_answered(rd_kafka_event_error(event)))
        confirm(topics, now_us);
    else
        topics->retry_us = now_us + RETRY_US;
    finish_asking(topics, now_us);
}

int64_t
topics_turn(struct topics *topics, int64_t now_us)
{
    rd_kafka_event_t *event;
    if (topics->rk == NULL)
        return CLOCK_NEVER;
    if (topics->waiting && (event = rd_kafka_queue_poll(topics->queue, 0)) != NULL) {
        take_answer(topics, event, now_us);
        rd_kafka_event_destroy(event);
    }
    if (topics->waiting)
        return CLOCK_NEVER;
    if (topics->asking > 0) {
        if (now_us < topics->retry_us)
            return topics->retry_us;
        if (rd_kafka_controllerid(topics->rk, 0) < 0)
            return topics->retry_us = now_us + FIRST_ANSWER_US; /* no broker has answered yet */
        ask(topics, TOPIC_ASKING, now_us);
        return topics->waiting ? CLOCK_NEVER : now_us;
    }
    if (now_us >= topics->refresh_us) {
        ask(topics, TOPIC_KNOWN, now_us);
        topics->refresh_us = now_us + REFRESH_US;
    }
    return topics->refresh_us;
}
