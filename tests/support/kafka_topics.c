/* kafka_topics.c: topics and their configs through librdkafka's admin requests (kafka.h); a refused request ends the test with the broker's
 * words. */
#include "support/kafka.h"

#include "base/clock.h"
#include "support/kafka_admin.h"
#include "support/kafka_broker.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
require_topic_results(const rd_kafka_topic_result_t **results, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            test_fail("%s %s: %s", what, rd_kafka_topic_result_name(results[i]),
                      rd_kafka_topic_result_error_string(results[i]));
}

const char *
broker_topic_name(struct broker *broker, const char *name)
{
    static unsigned count;
    broker->kept = must_realloc(broker->kept, broker->kept_count + 1, sizeof *broker->kept);
    return broker->kept[broker->kept_count++] = must_format("t%d-%u-%llx-%s", (int)getpid(), ++count,
                                                            (unsigned long long)clock_monotonic_us(), name);
}

/* What is known of a topic; a topic without partitions when there is none. */
static int
ask_topic(const char *bootstrap, const char *topic, int (*about)(const rd_kafka_metadata_topic_t *topic))
{
    rd_kafka_t *client = broker_client_at(bootstrap);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    int answer = 0;
    if (rd_kafka_metadata(client, 0, handle, &metadata, ADMIN_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("metadata of %s: no answer from Kafka", topic);
    if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        answer = about(&metadata->topics[0]);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
    return answer;
}

static int
count_partitions(const rd_kafka_metadata_topic_t *topic)
{
    return topic->partition_cnt;
}

int
broker_partition_count(struct broker *broker, const char *topic)
{
    return ask_topic(broker->bootstrap, topic, count_partitions);
}

static int
count_in_sync(const rd_kafka_metadata_topic_t *topic)
{
    int least = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        const rd_kafka_metadata_partition_t *partition = &topic->partitions[i];
        int in_sync = partition->leader < 0 ? 0 : partition->isr_cnt;
        least = i == 0 || in_sync < least ? in_sync : least;
    }
    return least;
}

int
broker_in_sync(struct broker *broker, const char *topic)
{
    return ask_topic(broker->bootstrap, topic, count_in_sync);
}

/* What one broker has made the others learn a moment later. */
static bool
all_nodes_know(const struct broker *broker, const char *topic, int partitions)
{
    const struct broker *nodes[BROKER_NODES] = {broker};
    for (int i = 0; i < BROKER_NODES - 1; i++)
        nodes[i + 1] = broker->others[i];
    for (int i = 0; i < BROKER_NODES; i++)
        if (nodes[i] != NULL && (nodes[i]->pid != 0 || !nodes[i]->own) &&
            ask_topic(nodes[i]->address, topic, count_partitions) != partitions)
            return false;
    return true;
}

void
broker_create_topic(struct broker *broker, const char *topic, int partitions, const char *const *configs)
{
    struct admin admin = admin_open(broker);
    char why[512];
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, partitions, -1 /* the broker's default */, why, sizeof why);
    if (wanted == NULL)
        test_fail("create topic %s: %s", topic, why);
    for (size_t i = 0; configs != NULL && configs[i] != NULL; i += 2)
        rd_kafka_NewTopic_set_config(wanted, configs[i], configs[i + 1]);
    rd_kafka_CreateTopics(admin.client, &wanted, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "create topic", topic);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    require_topic_results(results, count, "create topic");
    rd_kafka_NewTopic_destroy(wanted);
    admin_close(&admin, event);
    wait_for(all_nodes_know(broker, topic, partitions), ADMIN_MS);
}

const char *
broker_new_topic(struct broker *broker, const char *name, int partitions, const char *const *configs)
{
    const char *topic = broker_topic_name(broker, name);
    broker_create_topic(broker, topic, partitions, configs);
    return topic;
}

const char *
broker_new_topics(struct broker *broker, const char *name, int count)
{
    const char *prefix = broker_topic_name(broker, name);
    struct admin admin = admin_open(broker);
    rd_kafka_NewTopic_t **wanted = must_calloc((size_t)count, sizeof *wanted);
    char why[512];
    for (int i = 0; i < count; i++) {
        char *topic = must_format("%s.%d", prefix, i + 1);
        wanted[i] = rd_kafka_NewTopic_new(topic, 1, -1, why, sizeof why);
        free(topic);
    }
    rd_kafka_AdminOptions_set_operation_timeout(admin.options, ADMIN_MS, why, sizeof why);
    rd_kafka_CreateTopics(admin.client, wanted, (size_t)count, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "create topics", prefix);
    size_t results_count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &results_count);
    require_topic_results(results, results_count, "create topic");
    rd_kafka_NewTopic_destroy_array(wanted, (size_t)count);
    free(wanted);
    admin_close(&admin, event);
    return prefix;
}

void
broker_delete_topic(struct broker *broker, const char *topic)
{
    struct admin admin = admin_open(broker);
    rd_kafka_DeleteTopic_t *unwanted = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(admin.client, &unwanted, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "delete topic", topic);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    require_topic_results(results, count, "delete topic");
    rd_kafka_DeleteTopic_destroy(unwanted);
    admin_close(&admin, event);
    wait_for(broker_partition_count(broker, topic) == 0, ADMIN_MS);
}

void
broker_add_partitions(struct broker *broker, const char *topic, int partitions)
{
    struct admin admin = admin_open(broker);
    char why[512];
    rd_kafka_NewPartitions_t *wanted = rd_kafka_NewPartitions_new(topic, (size_t)partitions, why, sizeof why);
    if (wanted == NULL)
        test_fail("add partitions to %s: %s", topic, why);
    rd_kafka_CreatePartitions(admin.client, &wanted, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "add partitions to", topic);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
    require_topic_results(results, count, "add partitions to");
    rd_kafka_NewPartitions_destroy(wanted);
    admin_close(&admin, event);
    wait_for(broker_partition_count(broker, topic) == partitions, ADMIN_MS);
}

/* A broker says so, or may not be asked: what the controller has written down reaches it a moment later. */
static bool
topic_config_is(struct broker *broker, const char *topic, const char *name, const char *value)
{
    struct admin admin = admin_open(broker);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(admin.client, &resource, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "configuration of", topic);
    size_t resources, entries = 0;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &resources);
    const rd_kafka_ConfigEntry_t **list =
        resources == 1 ? rd_kafka_ConfigResource_configs(results[0], &entries) : NULL;
    bool found = resources == 1 &&
                 rd_kafka_ConfigResource_error(results[0]) == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    for (size_t i = 0; i < entries && !found; i++) {
        const char *is = rd_kafka_ConfigEntry_value(list[i]);
        found = strcmp(rd_kafka_ConfigEntry_name(list[i]), name) == 0 && is != NULL && strcmp(is, value) == 0;
    }
    rd_kafka_ConfigResource_destroy(resource);
    admin_close(&admin, event);
    return found;
}

void
broker_configure_topic(struct broker *broker, const char *topic, const char *name, const char *value)
{
    struct admin admin = admin_open(broker);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_ConfigResource_set_config(resource, name, value);
    rd_kafka_AlterConfigs(admin.client, &resource, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "configure topic", topic);
    size_t count;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_ConfigResource_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            test_fail("configure topic %s: %s", topic, rd_kafka_ConfigResource_error_string(results[i]));
    rd_kafka_ConfigResource_destroy(resource);
    admin_close(&admin, event);
    wait_for(topic_config_is(broker, topic, name, value), ADMIN_MS);
}

/* False: the broker has not heard yet that the topic may be emptied. */
static bool
empty_topic(struct broker *broker, const char *topic)
{
    struct admin admin = admin_open(broker);
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(ends, topic, 0)->offset = RD_KAFKA_OFFSET_END;
    rd_kafka_DeleteRecords_t *unwanted = rd_kafka_DeleteRecords_new(ends);
    rd_kafka_DeleteRecords(admin.client, &unwanted, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "delete records of", topic);
    rd_kafka_resp_err_t error =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))->elems[0].err;
    rd_kafka_DeleteRecords_destroy(unwanted);
    rd_kafka_topic_partition_list_destroy(ends);
    admin_close(&admin, event);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR_POLICY_VIOLATION)
        test_fail("delete records of %s: %s", topic, rd_kafka_err2str(error));
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void
broker_empty_topic(struct broker *broker, const char *topic)
{
    wait_for(empty_topic(broker, topic), 20000);
}
