/* configs.c: DescribeConfigs, asked and read. Called by topics.c, inspect.c and position_reader.c; keeps nothing. */
#include "kafka/configs.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
configs_value(const rd_kafka_ConfigResource_t *resource, const char *name)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0)
            return rd_kafka_ConfigEntry_value(entries[i]);
    return NULL;
}

int64_t
configs_number(const rd_kafka_ConfigResource_t *resource, const char *name, int64_t otherwise)
{
    const char *value = configs_value(resource, name);
    char *end;
    if (value == NULL || *value == '\0')
        return otherwise;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    return errno == 0 && *end == '\0' ? number : otherwise;
}

struct message_limits
configs_limits(const rd_kafka_ConfigResource_t *topic)
{
    struct message_limits limits = limits_unknown();
    const char *policy = configs_value(topic, "cleanup.policy");
    limits.max_bytes = configs_number(topic, "max.message.bytes", INT64_MAX);
    limits.key_required = policy != NULL && strstr(policy, "compact") != NULL;
    return limits;
}

bool
configs_have_controller(rd_kafka_t *rk, const rd_kafka_metadata_t *metadata)
{
    int32_t controller = rd_kafka_controllerid(rk, 0);
    for (int i = 0; i < metadata->broker_cnt; i++)
        if (metadata->brokers[i].id == controller)
            return true;
    return false;
}

static void
ask(rd_kafka_t *rk, rd_kafka_ResourceType_t type, const char *const *names, size_t count, int timeout_ms,
    rd_kafka_queue_t *queue)
{
    char reason[256];
    rd_kafka_ConfigResource_t **resources = must_calloc(count, sizeof(rd_kafka_ConfigResource_t *));
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    for (size_t i = 0; i < count; i++)
        resources[i] = rd_kafka_ConfigResource_new(type, names[i]);
    CHECK(rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason, sizeof reason) ==
          RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_DescribeConfigs(rk, resources, count, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    free(resources);
}

void
configs_ask(rd_kafka_t *rk, const char *const *names, size_t count, int timeout_ms, rd_kafka_queue_t *queue)
{
    ask(rk, RD_KAFKA_RESOURCE_TOPIC, names, count, timeout_ms, queue);
}

static const rd_kafka_ConfigResource_t *
find_resource(rd_kafka_event_t *event, const char *name)
{
    size_t count = 0;
    const rd_kafka_DescribeConfigs_result_t *result =
        event ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
    const rd_kafka_ConfigResource_t **resources =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigResource_name(resources[i]), name) == 0)
            return resources[i];
    return NULL;
}

const rd_kafka_ConfigResource_t *
configs_find(rd_kafka_event_t *event, const char *name)
{
    const rd_kafka_ConfigResource_t *resource = find_resource(event, name);
    return resource == NULL || rd_kafka_ConfigResource_error(resource) ? NULL : resource;
}

const char *
configs_refusal(rd_kafka_event_t *event, const char *name)
{
    const rd_kafka_ConfigResource_t *resource = find_resource(event, name);
    if (event == NULL)
        return "no answer in time";
    if (resource == NULL)
        return rd_kafka_event_error_string(event);
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resource);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        return "DESCRIBE_CONFIGS is not allowed";
    return rd_kafka_ConfigResource_error_string(resource);
}

/* 0: it has said nothing that is understood. */
static int
read_version(const rd_kafka_ConfigResource_t *broker, char *text, size_t size)
{
    char *end;
    const char *version = configs_value(broker, "inter.broker.protocol.version");
    snprintf(text, size, "%s", version ? version : "");
    if (version == NULL)
        return CONFIGS_VERSION_4;
    long major = strtol(version, &end, 10), minor = *end == '.' ? strtol(end + 1, NULL, 10) : -1;
    return major >= 0 && major < 100 && minor >= 0 && minor < 100 ? (int)(major * 100 + minor) : 0;
}

/* One broker's answer, which names it. */
static void
take_version(struct configs_versions *versions, rd_kafka_event_t *event)
{
    char text[sizeof versions->text];
    size_t count = 0;
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **brokers =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    const char *id = count == 1 ? rd_kafka_ConfigResource_name(brokers[0]) : "";
    const rd_kafka_ConfigResource_t *broker = configs_find(event, id);
    int version = broker != NULL ? read_version(broker, text, sizeof text) : 0;
    if (version == 0)
        snprintf(versions->untold, sizeof versions->untold, "%s",
                 broker != NULL ? text : configs_refusal(event, id));
    else if (versions->lowest == 0 || version < versions->lowest) {
        versions->lowest = version;
        memcpy(versions->text, text, sizeof text);
    }
}

/* The others are given as long again as the first one took, and a second. */
#define LATER_US (INT64_C(1000) * 1000)

struct configs_versions
configs_ask_versions(rd_kafka_t *rk, const rd_kafka_metadata_t *metadata, int timeout_ms)
{
    struct configs_versions versions = {0};
    int64_t from_us = clock_monotonic_us(), until_us = from_us + timeout_ms * INT64_C(1000);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(rk);
    int waiting = metadata->broker_cnt;
    for (int i = 0; i < metadata->broker_cnt; i++) {
        char id[16];
        const char *name = id;
        snprintf(id, sizeof id, "%d", (int)metadata->brokers[i].id);
        ask(rk, RD_KAFKA_RESOURCE_BROKER, &name, 1, timeout_ms, answers); /* each is asked about itself */
    }
    for (int64_t now_us = from_us; waiting > 0 && now_us < until_us; now_us = clock_monotonic_us()) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, (int)((until_us - now_us) / 1000) + 1);
        if (event == NULL)
            continue;
        int64_t later_us = 2 * clock_monotonic_us() - from_us + LATER_US;
        if (waiting-- == metadata->broker_cnt && later_us < until_us)
            until_us = later_us;
        take_version(&versions, event);
        rd_kafka_event_destroy(event);
    }
    if (waiting == metadata->broker_cnt)
        snprintf(versions.untold, sizeof versions.untold, "no answer in time");
    rd_kafka_queue_destroy(answers);
    return versions;
}
