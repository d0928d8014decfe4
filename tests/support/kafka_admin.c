/* kafka_admin.c: see kafka_admin.h. */
#include "support/kafka_admin.h"

#include "support/kafka_broker.h"
#include "support/scratch.h"

static void
log_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client, (void)level, (void)facility,
        (void)text; /* a broker that is down is the tests' daily bread */
}

rd_kafka_t *
broker_client_at(const char *bootstrap)
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    rd_kafka_conf_set(conf, "reconnect.backoff.ms", "20", NULL, 0);
    rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "100", NULL, 0);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why) != RD_KAFKA_CONF_OK)
        test_fail("%s: %s", bootstrap, why);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (client == NULL)
        test_fail("rd_kafka_new: %s", why);
    return client;
}

rd_kafka_t *
broker_client(const struct broker *broker)
{
    return broker_client_at(broker->bootstrap);
}

struct admin
admin_open(const struct broker *broker)
{
    struct admin admin = {.client = broker_client(broker)};
    admin.queue = rd_kafka_queue_new(admin.client);
    admin.options = rd_kafka_AdminOptions_new(admin.client, RD_KAFKA_ADMIN_OP_ANY);
    return admin;
}

rd_kafka_event_t *
admin_answer(const struct admin *admin, const char *what, const char *name)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, ADMIN_MS);
    if (event == NULL)
        test_fail("%s %s: no answer from Kafka", what, name);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("%s %s: %s", what, name, rd_kafka_event_error_string(event));
    return event;
}

void
admin_close(struct admin *admin, rd_kafka_event_t *event)
{
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(admin->options);
    rd_kafka_queue_destroy(admin->queue);
    rd_kafka_destroy(admin->client);
}
