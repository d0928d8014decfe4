/* inspect_topics.c: does each topic exist, how safe is what is in it, what does it refuse; makes the missing ones when asked.
 * Called by inspect.c once brokers were reached. */
#include "event/topic.h"
#include "kafka/classify.h"
#include "kafka/configs.h"
#include "kafka/inspect_parts.h"
#include "kafka/properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the cure proposes, and --create does: enough partitions for several consumers, three copies where there are three
 * brokers, and then two of them before anything counts as published, so that one broker may be lost. */
enum { NEW_PARTITIONS = 8, NEW_REPLICAS = 3 };
#define NEW_IN_SYNC "2"

static int
new_replicas(const struct inspection *inspection)
{
    return inspection->brokers < NEW_REPLICAS ? inspection->brokers : NEW_REPLICAS;
}

/* The position topic has one partition, and the size of what a restart reads is bounded by its segments. */
static const char *const position_configs[][2] = {{"cleanup.policy", "compact"},
                                                  {"segment.bytes", "16777216"}};

static bool
is_position(const struct inspection *inspection, const char *topic)
{
    return strcmp(topic, inspection->position) == 0;
}

static int
new_partitions(const struct inspection *inspection, const char *topic)
{
    return is_position(inspection, topic) ? 1 : NEW_PARTITIONS;
}

static const char *
plural(int count)
{
    return count == 1 ? "" : "s";
}

static const char *
servers(const struct inspection *inspection)
{
    const struct property *property = properties_find(inspection->settings, "bootstrap.servers");
    if (property == NULL)
        property = properties_find(inspection->settings, "metadata.broker.list");
    return property ? property->value : "localhost:9092";
}

static void
add_missing(struct inspection *inspection, const char *topic)
{
    char *cure = must_format(
        "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d "
        "--replication-factor %d%s%s",
        servers(inspection), topic, new_partitions(inspection, topic), new_replicas(inspection),
        new_replicas(inspection) == NEW_REPLICAS ? " --config min.insync.replicas=" NEW_IN_SYNC : "",
        is_position(inspection, topic) ? " --config cleanup.policy=compact --config segment.bytes=16777216"
                                       : "");
    findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE, cure, "topic %s does not exist", topic);
    free(cure);
}

/* The broker's answer to the creation of one topic, as a finding. */
static void
add_created(struct inspection *inspection, const char *topic, rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result = event ? rd_kafka_event_CreateTopics_result(event) : NULL;
    const rd_kafka_topic_result_t **topics =
        result ? rd_kafka_CreateTopics_result_topics(result, &count) : NULL;
    if (count == 1 && rd_kafka_topic_result_error(topics[0]) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        findings_ok(inspection->findings, "topic %s: created, %d partition%s, %d cop%s of each", topic,
                    new_partitions(inspection, topic), plural(new_partitions(inspection, topic)),
                    new_replicas(inspection), new_replicas(inspection) == 1 ? "y" : "ies");
        return;
    }
    const char *why = event ? rd_kafka_event_error_string(event) : "no answer in time";
    if (count == 1)
        why = rd_kafka_topic_result_error_string(topics[0]);
    findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
                 "allow CREATE on the topic, or let an administrator of Kafka create it",
                 "topic %s does not exist and was not created: %s", topic, why ? why : "unknown error");
}

static void
create_topic(struct inspection *inspection, const char *topic)
{
    char reason[256];
    rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(topic, new_partitions(inspection, topic),
                                                           new_replicas(inspection), reason, sizeof reason);
    CHECK(new_topic != NULL);
    if (new_replicas(inspection) == NEW_REPLICAS)
        CHECK(rd_kafka_NewTopic_set_config(new_topic, "min.insync.replicas", NEW_IN_SYNC) ==
              RD_KAFKA_RESP_ERR_NO_ERROR);
    for (size_t i = 0;
         is_position(inspection, topic) && i < sizeof position_configs / sizeof *position_configs; i++)
        CHECK(rd_kafka_NewTopic_set_config(new_topic, position_configs[i][0], position_configs[i][1]) ==
              RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_CreateTopics(inspection->rk, &new_topic, 1, NULL, inspection->answers);
    rd_kafka_event_t *event = inspect_answer(inspection);
    add_created(inspection, topic, event);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(new_topic);
}

/* Also when the topic's configuration may not be read. */
static void
judge_copies(struct inspection *inspection, const char *topic, int replicas)
{
    if (inspection->brokers > 1 && replicas == 1)
        findings_add(inspection->findings, FINDING_WARNING, ERROR_NONE,
                     "raise the replication factor with kafka-reassign-partitions.sh",
                     "topic %s: one copy only: the loss of a broker loses %s", topic,
                     is_position(inspection, topic) ? "the position, and stops the relay" : "events");
}

/* Losing one broker must neither lose an event nor stop the topic. */
static void
judge_safety(struct inspection *inspection, const char *topic, int replicas,
             const rd_kafka_ConfigResource_t *configs)
{
    int64_t in_sync = configs_number(configs, "min.insync.replicas", 1);
    const char *unclean = configs_value(configs, "unclean.leader.election.enable");
    /* Kafka 4 takes the replicas for enough when all are in sync; Kafka 3 refuses every event. */
    if (in_sync > replicas)
        findings_add(inspection->findings, inspection->before_4 ? FINDING_ERROR : FINDING_WARNING,
                     ERROR_UNUSABLE, "lower min.insync.replicas of the topic, or give it more replicas",
                     "topic %s: min.insync.replicas=%" PRId64 ", but it has only %d", topic, in_sync,
                     replicas);
    if (replicas > 1 && in_sync < 2)
        findings_add(
            inspection->findings, FINDING_WARNING, ERROR_NONE, "set min.insync.replicas=2 on the topic",
            "topic %s: min.insync.replicas=1: an acknowledged event may be on one broker only", topic);
    if (unclean != NULL && strcmp(unclean, "true") == 0)
        findings_add(inspection->findings, FINDING_WARNING, ERROR_NONE,
                     "set unclean.leader.election.enable=false on the topic",
                     "topic %s: an unclean leader election may lose acknowledged events", topic);
}

/* As position_reader.c wants it at each start. `configs` is NULL when they were not told. False: the topic cannot be used, and the
 * finding that says so is the only one about it. */
static bool
judge_position(struct inspection *inspection, const rd_kafka_metadata_topic_t *metadata,
               const rd_kafka_ConfigResource_t *configs)
{
    const char *policy = configs ? configs_value(configs, "cleanup.policy") : NULL;
    if (metadata->partition_cnt != 1)
        findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
                     "delete it while nothing was published exactly once, then outboxd check --create",
                     "topic %s: %d partitions: the position topic must have one", metadata->topic,
                     metadata->partition_cnt);
    else if (policy != NULL && strcmp(policy, "compact") != 0)
        findings_add(
            inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
            "set cleanup.policy=compact on the topic: another policy would delete the position of a quiet "
            "outbox",
            "topic %s: cleanup.policy %s: the position topic must be compacted", metadata->topic, policy);
    else
        return true;
    return false;
}

/* Of events a topic may be as it likes; the position topic may not. */
static void
add_untold(struct inspection *inspection, const rd_kafka_metadata_topic_t *metadata, int replicas,
           const char *why)
{
    if (is_position(inspection, metadata->topic))
        findings_add(
            inspection->findings, FINDING_WARNING, ERROR_NONE,
            "see that it has cleanup.policy=compact; DESCRIBE_CONFIGS on the topic lets outboxd see it",
            "topic %s: its cleanup.policy was not told (%s): the position topic must be compacted",
            metadata->topic, why);
    else
        findings_ok(inspection->findings,
                    "topic %s: %d partition%s, replication factor %d; its configuration was not told: %s",
                    metadata->topic, metadata->partition_cnt, plural(metadata->partition_cnt), replicas, why);
}

/* `answer` is that about configurations; NULL: none came, or nobody was asked. */
static void
judge_topic(struct inspection *inspection, const rd_kafka_metadata_topic_t *metadata,
            rd_kafka_event_t *answer)
{
    const rd_kafka_ConfigResource_t *configs = configs_find(answer, metadata->topic);
    int replicas = metadata->partitions[0].replica_cnt;
    int leaderless = 0;
    if (is_position(inspection, metadata->topic) && !judge_position(inspection, metadata, configs))
        return;
    for (int i = 0; i < metadata->partition_cnt; i++) {
        leaderless += metadata->partitions[i].leader < 0;
        if (metadata->partitions[i].replica_cnt < replicas)
            replicas = metadata->partitions[i].replica_cnt;
    }
    if (leaderless > 0)
        findings_add(inspection->findings, FINDING_WARNING, ERROR_NONE, "start the brokers that hold them",
                     "topic %s: %d partition%s without leader: events wait there", metadata->topic,
                     leaderless, plural(leaderless));
    judge_copies(inspection, metadata->topic, replicas);
    if (configs == NULL) {
        add_untold(inspection, metadata, replicas,
                   inspection->has_controller ? configs_refusal(answer, metadata->topic)
                                              : "no broker is the controller");
        return;
    }
    const char *policy = configs_value(configs, "cleanup.policy");
    findings_ok(inspection->findings,
                "topic %s: %d partition%s, replication factor %d, min.insync.replicas %" PRId64
                ", max.message.bytes %" PRId64 ", cleanup.policy %s%s",
                metadata->topic, metadata->partition_cnt, plural(metadata->partition_cnt), replicas,
                configs_number(configs, "min.insync.replicas", 1),
                configs_number(configs, "max.message.bytes", 0), policy ? policy : "unknown",
                configs_limits(configs).key_required ? " (takes no event without a key)" : "");
    judge_safety(inspection, metadata->topic, replicas, configs);
}

/* The error of the topic, and its metadata in `*metadata` when there is any; the caller destroys that. */
static rd_kafka_resp_err_t
look_up(struct inspection *inspection, const char *topic, const rd_kafka_metadata_t **metadata)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(inspection->rk, topic, NULL);
    *metadata = NULL;
    if (handle == NULL)
        return RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(inspection->rk, 0, handle, metadata, inspect_remaining_ms(inspection));
    rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    if ((*metadata)->topic_cnt == 1 && (*metadata)->topics[0].partition_cnt > 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    return (*metadata)->topic_cnt == 1 ? (*metadata)->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static void
inspect_topic(struct inspection *inspection, const char *topic, rd_kafka_event_t *configs, bool create)
{
    struct outcome outcome;
    const rd_kafka_metadata_t *metadata;
    rd_kafka_resp_err_t code = look_up(inspection, topic, &metadata);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        judge_topic(inspection, &metadata->topics[0], configs);
    } else if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && create) {
        create_topic(inspection, topic);
    } else if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        add_missing(inspection, topic);
    } else {
        classify(code, &outcome);
        /* the negative codes are librdkafka's own: no broker has spoken */
        findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
                     code < RD_KAFKA_RESP_ERR_NO_ERROR
                         ? "Kafka was silent: check again, and if it stays so, look into the brokers' logs"
                         : "allow DESCRIBE and WRITE on the topic to the relay's principal",
                     "topic %s: %s: %s", topic, outcome.name, outcome.message);
    }
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
}

/* What is said of the topic itself is of use to its relay only. */
static void
add_reserved(struct inspection *inspection, const char *topic)
{
    findings_add(
        inspection->findings, FINDING_WARNING, ERROR_NONE,
        "mend the application; outboxd dead discard takes such events out",
        "topic %s: its name is kept for the positions of relays: an event of it becomes a dead letter",
        topic);
}

/* Each topic once: who asks for the configuration of one twice is told nothing about any. */
static void
inspect_all(struct inspection *inspection, const char *const *topics, size_t count, bool create)
{
    rd_kafka_event_t *configs = NULL;
    if (inspection->has_controller) {
        /* half of what is left: the other half is for the topics themselves */
        configs_ask(inspection->rk, topics, count, (inspect_remaining_ms(inspection) + 1) / 2,
                    inspection->answers);
        configs = inspect_answer(inspection);
    }
    for (size_t i = 0; i < count; i++)
        inspect_topic(inspection, topics[i], configs, create);
    if (configs != NULL)
        rd_kafka_event_destroy(configs);
}

void
inspect_topics(struct inspection *inspection, const char *const *topics, size_t count, bool create)
{
    const char **all = must_calloc(count + 1, sizeof *all);
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        if (topic_is_reserved(topics[i]))
            add_reserved(inspection, topics[i]);
        else
            all[asked++] = topics[i];
    }
    if (inspection->position[0] != '\0')
        all[asked++] = inspection->position;
    if (asked > 0)
        inspect_all(inspection, all, asked, create);
    free(all);
}
