/* kafka_acls.c: who may do what with the brokers (kafka.h); a refused request ends the test with the broker's words. When a call is
 * back, the broker judges by what it has said. */
#include "support/kafka_admin.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <string.h>

static rd_kafka_AclOperation_t
acl_operation(const char *name)
{
    static const struct {
        const char *name;
        rd_kafka_AclOperation_t operation;
    } operations[] = {
        {"WRITE", RD_KAFKA_ACL_OPERATION_WRITE},
        {"DESCRIBE", RD_KAFKA_ACL_OPERATION_DESCRIBE},
        {"READ", RD_KAFKA_ACL_OPERATION_READ},
        {"CREATE", RD_KAFKA_ACL_OPERATION_CREATE},
        {"ALL", RD_KAFKA_ACL_OPERATION_ALL},
        {"IDEMPOTENT_WRITE", RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE},
        {"DESCRIBE_CONFIGS", RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS},
    };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(name, operations[i].name) == 0)
            return operations[i].operation;
    test_fail("%s: no such ACL operation", name);
}

/* Whether the broker has one like that. It answers from what it judges by, and hears of a change when the controller has made it. */
static bool
acl_is_known(const struct broker *broker, rd_kafka_AclBindingFilter_t *filter, const char *name)
{
    struct admin admin = admin_open(broker);
    size_t count;
    rd_kafka_DescribeAcls(admin.client, filter, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "look for an ACL of", name);
    rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
    admin_close(&admin, event);
    return count > 0;
}

static void
create_acl(struct broker *broker, rd_kafka_ResourceType_t type, const char *name, const char *operation,
           rd_kafka_AclPermissionType_t permission)
{
    struct admin admin = admin_open(broker);
    char why[512];
    rd_kafka_AclBinding_t *binding =
        rd_kafka_AclBinding_new(type, name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, "User:*", "*",
                                acl_operation(operation), permission, why, sizeof why);
    if (binding == NULL)
        test_fail("ACL of %s: %s", name, why);
    rd_kafka_CreateAcls(admin.client, &binding, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "create an ACL of", name);
    size_t count;
    const rd_kafka_acl_result_t **results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_acl_result_error(results[i]) != NULL)
            test_fail("ACL of %s: %s", name, rd_kafka_error_string(rd_kafka_acl_result_error(results[i])));
    admin_close(&admin, event);
    wait_for(acl_is_known(broker, binding, name), ADMIN_MS);
    rd_kafka_AclBinding_destroy(binding);
}

/* What is not denied is allowed by name: once a resource has an ACL, nothing of it is allowed by default. */
void
broker_deny(struct broker *broker, const char *topic, const char *operation)
{
    create_acl(broker, RD_KAFKA_RESOURCE_TOPIC, topic, "ALL", RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW);
    create_acl(broker, RD_KAFKA_RESOURCE_TOPIC, topic, operation, RD_KAFKA_ACL_PERMISSION_TYPE_DENY);
}

void
broker_deny_cluster(struct broker *broker, const char *operation)
{
    static const char cluster[] = "kafka-cluster";
    create_acl(broker, RD_KAFKA_RESOURCE_BROKER, cluster, "ALL", RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW);
    create_acl(broker, RD_KAFKA_RESOURCE_BROKER, cluster, operation, RD_KAFKA_ACL_PERMISSION_TYPE_DENY);
}

void
broker_refuse_producers(struct broker *broker)
{
    broker_deny_cluster(broker, "IDEMPOTENT_WRITE");
    create_acl(broker, RD_KAFKA_RESOURCE_TOPIC, "*", "ALL", RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW);
    create_acl(broker, RD_KAFKA_RESOURCE_TOPIC, "*", "WRITE", RD_KAFKA_ACL_PERMISSION_TYPE_DENY);
}

void
broker_allow(struct broker *broker, const char *topic)
{
    struct admin admin = admin_open(broker);
    char why[512];
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        RD_KAFKA_RESOURCE_TOPIC, topic, RD_KAFKA_RESOURCE_PATTERN_LITERAL, NULL, NULL,
        RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_DENY, why, sizeof why);
    if (filter == NULL)
        test_fail("allow %s: %s", topic, why);
    rd_kafka_DeleteAcls(admin.client, &filter, 1, admin.options, admin.queue);
    rd_kafka_event_t *event = admin_answer(&admin, "allow", topic);
    size_t count;
    const rd_kafka_DeleteAcls_result_response_t **responses =
        rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_DeleteAcls_result_response_error(responses[i]) != NULL)
            test_fail("allow %s: %s", topic,
                      rd_kafka_error_string(rd_kafka_DeleteAcls_result_response_error(responses[i])));
    admin_close(&admin, event);
    wait_for(!acl_is_known(broker, filter, topic), ADMIN_MS);
    rd_kafka_AclBinding_destroy(filter);
}
