/* ask.c: asks brokers about topics, all that are due in one question: first for their metadata (do they exist, may we see them,
 * where are their partitions), then for their configuration. Called from the producer's turn; never blocks. */
#include "base/clock.h"
#include "kafka/classify.h"
#include "kafka/configs.h"
#include "kafka/topics_parts.h"

#include <stdlib.h>
#include <string.h>

/* A controller that does not answer in this time is away; then we ask again. As socket.timeout.ms. */
enum { ANSWER_TIMEOUT_MS = 10000 };
/* Between two attempts while no broker answers; librdkafka's own reconnects go on meanwhile. */
enum { RETRY_US = 200 * 1000 };
/* librdkafka connects and asks for the brokers by itself; so soon we look whether it has. */
enum { FIRST_ANSWER_US = 5 * 1000 };
/* Longer than both questions together. librdkafka's own time-outs go by the clock on the wall: one that is set back amid a question
 * may keep it from coming back at all. */
static const int64_t HANGS_US = INT64_C(30) * 1000 * 1000;
/* An operator who changes a limit of a topic sees the effect within this time; one request for all topics. */
static const int64_t REFRESH_US = INT64_C(300) * 1000 * 1000;
/* How often brokers are asked about a topic that takes nothing. */
enum { WATCH_US = 2000 * 1000 };

/* The question is dealt with, whatever came of it. */
static void
finish(struct topics *topics)
{
    for (size_t i = 0; i < topics->capacity; i++)
        if (topics->facts[i] != NULL)
            topics->facts[i]->asked = false;
    errand_end(topics->lookup);
    topics->lookup = NULL;
    topics->asking_for = ASKING_NOTHING;
}

static void
finish_in_vain(struct topics *topics, int64_t now_us)
{
    finish(topics);
    topics->retry_us = now_us + RETRY_US;
}

/* All that had to be known of the topics in question is. */
static void
finish_known(struct topics *topics)
{
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts != NULL && facts->asked && facts->state == TOPIC_ASKING)
            topics_set_state(topics, facts, TOPIC_KNOWN);
    }
    finish(topics);
}

/* ---- metadata ---- */

enum question { ABOUT_NEW, ABOUT_KNOWN };

static bool
is_meant(const struct topic_facts *facts, enum question question)
{
    if (facts == NULL)
        return false;
    return question == ABOUT_KNOWN ? facts->state == TOPIC_KNOWN
                                   : facts->state == TOPIC_ASKING || facts->watched;
}

/* About the topics that are ASKING or watched, or about all KNOWN ones when it is time to refresh. */
static void
ask_metadata(struct topics *topics, enum question question, int64_t now_us)
{
    const char *only = NULL;
    size_t count = 0;
    topics->watching = false;
    if (question == ABOUT_KNOWN)
        topics->refresh_us = now_us + REFRESH_US;
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (!is_meant(facts, question))
            continue;
        if (facts->handle == NULL)
            facts->handle = rd_kafka_topic_new(topics->user->rk, facts->topic->name, NULL);
        CHECK(facts->handle != NULL);
        facts->asked = true;
        facts->asked_us = now_us;
        facts->watched = false;
        only = facts->topic->name;
        count++;
    }
    if (count == 0)
        return;
    topics->lookup_us = now_us;
    topics->lookup = lookup_begin(topics->user, count == 1 ? only : NULL, (int)(topics->patience_us / 1000),
                                  topics->wake_fd);
    topics->asking_for = ASKING_METADATA;
}

/* True when there is more to ask about it. */
static bool
take_topic(struct topics *topics, struct topic_facts *facts, const rd_kafka_metadata_topic_t *metadata,
           int64_t now_us)
{
    if (metadata->partition_cnt > 0) {
        opening_resize(&facts->opening, metadata->partition_cnt);
        partitions_learn(&facts->partitions, metadata);
        facts->learned_us = now_us;
        return true;
    }
    if (facts->state == TOPIC_ASKING) {
        classify(metadata->err, &facts->fault);
        facts->fault.kind = OUTCOME_TOPIC;
        topics_drop_handle(facts);
        topics_set_state(topics, facts, TOPIC_FAULTY);
    }
    return false;
}

static int
compare(const void *left, const void *right)
{
    const rd_kafka_metadata_topic_t *const *a = left, *const *b = right;
    return strcmp((*a)->topic, (*b)->topic);
}

/* In the order of their names: thousands may be asked about together. The caller frees the list. */
static const rd_kafka_metadata_topic_t **
sort_topics(const rd_kafka_metadata_t *metadata)
{
    size_t count = (size_t)metadata->topic_cnt;
    const rd_kafka_metadata_topic_t **sorted = must_calloc(count, sizeof(const rd_kafka_metadata_topic_t *));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &metadata->topics[i];
    qsort(sorted, count, sizeof(const rd_kafka_metadata_topic_t *), compare);
    return sorted;
}

static const rd_kafka_metadata_topic_t *
find_topic(const rd_kafka_metadata_topic_t **sorted, size_t count, char *name)
{
    const rd_kafka_metadata_topic_t wanted = {.topic = name}, *key = &wanted, **found;
    found = bsearch(&key, sorted, count, sizeof(const rd_kafka_metadata_topic_t *), compare);
    return found != NULL ? *found : NULL;
}

/* Of a look-up that took so long; in vain: there was no answer. A broker that is further away than we have patience would never be
 * heard of. */
static void
learn_distance(struct topics *topics, int64_t took_us, bool in_vain)
{
    int64_t wanted_us = in_vain ? topics->patience_us * 2 : took_us * 4;
    wanted_us = wanted_us > TOPICS_PATIENCE_US ? wanted_us : TOPICS_PATIENCE_US;
    int64_t most_us = INT64_C(1000) * ANSWER_TIMEOUT_MS;
    topics->patience_us = wanted_us < most_us ? wanted_us : most_us;
}

static void
take_metadata(struct topics *topics, const rd_kafka_metadata_t *metadata, int64_t now_us)
{
    const char **names = must_calloc(topics->capacity, sizeof(const char *));
    const rd_kafka_metadata_topic_t **sorted = sort_topics(metadata);
    size_t count = 0;
    for (size_t i = 0; i < topics->capacity; i++) {
        struct topic_facts *facts = topics->facts[i];
        if (facts == NULL || !facts->asked)
            continue;
        const rd_kafka_metadata_topic_t *answer =
            find_topic(sorted, (size_t)metadata->topic_cnt, facts->topic->name);
        facts->asked = answer != NULL && take_topic(topics, facts, answer, now_us);
        if (facts->asked)
            names[count++] = facts->topic->name;
        if (answer == NULL)
            topics->retry_us = now_us + RETRY_US;
    }
    if (count > 0 && configs_have_controller(topics->user->rk, metadata)) {
        configs_ask(topics->user->rk, names, count, ANSWER_TIMEOUT_MS, topics->answers);
        topics->asking_for = ASKING_CONFIGS;
    } else {
        finish_known(topics);
    }
    free(names);
    free(sorted);
}

/* ---- configuration ---- */

/* Brokers answer in the order of the question, as a rule: looks behind the last one that was found first, and that is *at. */
static struct topic_facts *
find_asked(const struct topics *topics, const char *name, size_t *at)
{
    for (size_t i = 0; i < topics->capacity; i++) {
        size_t each = (*at + 1 + i) % topics->capacity;
        struct topic_facts *facts = topics->facts[each];
        if (facts == NULL || !facts->asked || strcmp(facts->topic->name, name) != 0)
            continue;
        *at = each;
        return facts;
    }
    return NULL;
}

/* The negative codes are librdkafka's own: no broker has spoken. A broker without DescribeConfigs is one that
 * has. */
static bool
broker_answered(rd_kafka_resp_err_t error)
{
    return error >= RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

static void
take_configs(struct topics *topics, rd_kafka_event_t *event, int64_t now_us)
{
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t count = 0, at = topics->capacity - 1;
    const rd_kafka_ConfigResource_t **resources =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct topic_facts *facts = find_asked(topics, rd_kafka_ConfigResource_name(resources[i]), &at);
        /* DESCRIBE_CONFIGS denied: the limits stay unknown, which is no obstacle. */
        if (facts == NULL || rd_kafka_ConfigResource_error(resources[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        facts->limits = configs_limits(resources[i]);
        facts->min_in_sync = configs_number(resources[i], "min.insync.replicas", 1);
    }
    if (broker_answered(rd_kafka_event_error(event)))
        finish_known(topics);
    else
        finish_in_vain(topics, now_us);
}

/* ---- a topic that takes nothing ---- */

bool
topics_obstacle(struct topics *topics, struct topic_facts *facts, const struct event *event, int64_t now_us,
                int64_t since_us, struct outcome *obstacle)
{
    bool old = facts->asked_us < since_us || now_us - facts->asked_us >= WATCH_US;
    if (old && facts->state == TOPIC_KNOWN && !facts->asked)
        facts->watched = topics->watching = true;
    return facts->learned_us >= since_us &&
           partitions_obstacle(&facts->partitions, event, facts->min_in_sync, obstacle);
}

/* ---- the turn ---- */

static void
take_answer(struct topics *topics, int64_t now_us)
{
    const rd_kafka_metadata_t *metadata;
    rd_kafka_event_t *event;
    if (topics->asking_for == ASKING_METADATA && lookup_over(topics->lookup, &metadata)) {
        learn_distance(topics, now_us - topics->lookup_us, metadata == NULL);
        if (metadata != NULL)
            take_metadata(topics, metadata, now_us);
        else
            finish_in_vain(topics, now_us);
    }
    if (topics->asking_for == ASKING_CONFIGS && (event = rd_kafka_queue_poll(topics->answers, 0)) != NULL) {
        take_configs(topics, event, now_us);
        rd_kafka_event_destroy(event);
    }
}

bool
topics_hang(const struct topics *topics, int64_t now_us)
{
    return topics->asking_for != ASKING_NOTHING && now_us - topics->lookup_us >= HANGS_US;
}

int64_t
topics_turn(struct topics *topics, int64_t now_us)
{
    if (topics->user == NULL)
        return CLOCK_NEVER;
    take_answer(topics, now_us);
    if (topics->asking_for != ASKING_NOTHING)
        return topics->lookup_us + HANGS_US;
    enum question question = topics->asking > 0 || topics->watching ? ABOUT_NEW : ABOUT_KNOWN;
    int64_t due_us = question == ABOUT_NEW ? topics->retry_us : topics->refresh_us;
    if (now_us < due_us)
        return due_us;
    if (rd_kafka_controllerid(topics->user->rk, 0) < 0)
        return now_us + FIRST_ANSWER_US; /* no broker has answered yet */
    ask_metadata(topics, question, now_us);
    return topics->asking_for == ASKING_NOTHING ? topics->refresh_us : now_us + HANGS_US;
}
