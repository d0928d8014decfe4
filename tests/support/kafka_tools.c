/* kafka_tools.c: what librdkafka cannot ask a broker for, and Kafka's own programs can (kafka.h). */
#include "support/kafka.h"

#include "base/error.h"
#include "support/kafka_broker.h"

#include <stdlib.h>

void
broker_limit_producers(struct broker *broker, int bytes_a_second)
{
    char *quota = must_format("producer_byte_rate=%d", bytes_a_second);
    broker_run_tool(broker, "kafka.admin.ConfigCommand",
                    (const char *const[]){"--bootstrap-server", broker->bootstrap, "--alter", "--entity-type",
                                          "clients", "--entity-default", "--add-config", quota, NULL});
    free(quota);
}

void
broker_deny_transactional_id(struct broker *broker, const char *id, const char *operation, bool deny)
{
    broker_run_tool(broker, "kafka.admin.AclCommand",
                    (const char *const[]){"--bootstrap-server", broker->bootstrap,
                                          deny ? "--add" : "--remove", "--deny-principal", "User:*",
                                          "--operation", operation, "--transactional-id", id,
                                          deny ? NULL : "--force", NULL});
}
