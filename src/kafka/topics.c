/* topics.c: the records of topics. Called by the producer; never decides what becomes of an event. How brokers are asked is in
 * ask.c. */
#include "kafka/topics_parts.h"

#include "event/topic.h"

#include <stdlib.h>
#include <string.h>

/* The batches of all topics are not made smaller than this for the sake of one: it is given less at once (topic_has_room). And below
 * this a refused batch makes them no smaller: it was a single large event. */
enum { LEAST_BATCH_BYTES = 16 * 1024 };

struct topics *
topics_new(void)
{
    struct topics *topics = must_calloc(1, sizeof *topics);
    topics->patience_us = TOPICS_PATIENCE_US;
    return topics;
}

void
topics_free(struct topics *topics)
{
    CHECK(topics->user == NULL);
    for (size_t i = 0; i < topics->capacity; i++) {
        if (topics->facts[i] != NULL) {
            opening_free(&topics->facts[i]->opening);
            partitions_free(&topics->facts[i]->partitions);
        }
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
    *facts = (struct topic_facts){.topic = topic,
                                  .reserved = topic_is_reserved(topic->name),
                                  .limits = limits_unknown(),
                                  .batch_bytes_learned = INT64_MAX,
                                  .min_in_sync = 1};
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

void
topics_set_state(struct topics *topics, struct topic_facts *facts, enum topic_state state)
{
    topics->asking -= facts->state == TOPIC_ASKING;
    topics->asking += state == TOPIC_ASKING;
    facts->state = state;
}

void
topics_attach(struct topics *topics, struct handle *user, int wake_fd)
{
    static const uint64_t one = 1;
    CHECK(topics->user == NULL);
    topics->user = user;
    topics->wake_fd = wake_fd;
    topics->answers = rd_kafka_queue_new(user->rk);
    topics->retry_us = 0;
    rd_kafka_queue_io_event_enable(topics->answers, wake_fd, &one, sizeof one);
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts == NULL)
            continue;
        facts->stalled = false;
        opening_reset(&facts->opening);
        if (facts->state == TOPIC_KNOWN)
            topics_set_state(topics, facts, TOPIC_ASKING);
    }
}

void
topics_drop_handle(struct topic_facts *facts)
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
            topics_drop_handle(topics->facts[i]);
            topics->facts[i]->asked = false;
        }
    rd_kafka_queue_io_event_enable(topics->answers, -1, NULL, 0);
    rd_kafka_queue_destroy(topics->answers);
    errand_end(topics->lookup);
    topics->lookup = NULL;
    topics->answers = NULL;
    topics->user = NULL;
    topics->asking_for = ASKING_NOTHING;
}

void
topics_want(struct topics *topics, struct topic_facts *facts)
{
    CHECK(facts->state == TOPIC_IDLE);
    topics_set_state(topics, facts, TOPIC_ASKING);
}

void
topics_forget(struct topics *topics, struct topic_facts *facts)
{
    if (facts->state == TOPIC_FAULTY || facts->state == TOPIC_KNOWN)
        topics_set_state(topics, facts, TOPIC_IDLE);
}

int64_t
topic_batch_bytes(const struct topic_facts *facts)
{
    int64_t limit = facts->limits.max_bytes < facts->batch_bytes_learned ? facts->limits.max_bytes
                                                                         : facts->batch_bytes_learned;
    return limit >= LEAST_BATCH_BYTES ? limit : INT64_MAX;
}

bool
topic_has_room(const struct topic_facts *facts, int64_t bytes, int64_t batch_bytes)
{
    return facts->limits.max_bytes >= batch_bytes || facts->out == 0 ||
           facts->out_bytes + bytes <= facts->limits.max_bytes;
}

void
topic_sent(struct topic_facts *facts, int64_t bytes)
{
    facts->out_bytes = (facts->out > 0 ? facts->out_bytes : 0) + bytes;
    facts->out++;
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
