/* support_kafka.c: the test brokers themselves, by a plain librdkafka producer and the tests' own reader: what was
 * acknowledged survives kill -9, an aborted transaction is not read, ACLs deny, configs hold. */
#include "support/consumer.h"
#include "support/kafka.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

TestSuite(support_kafka, .timeout = 240);

static rd_kafka_t *
producer_open(const char *bootstrap, const char *transactional_id)
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    cr_assert_eq(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why), RD_KAFKA_CONF_OK);
    cr_assert_eq(rd_kafka_conf_set(conf, "topic.metadata.propagation.max.ms", "2000", why, sizeof why),
                 RD_KAFKA_CONF_OK);
    if (transactional_id != NULL) {
        cr_assert_eq(rd_kafka_conf_set(conf, "transactional.id", transactional_id, why, sizeof why),
                     RD_KAFKA_CONF_OK);
        cr_assert_eq(rd_kafka_conf_set(conf, "transaction.timeout.ms", "5000", why, sizeof why),
                     RD_KAFKA_CONF_OK); /* who reads what is committed waits for its end */
    }
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    cr_assert_not_null(producer, "%s", why);
    return producer;
}

/* Sends one record and waits for its report. */
struct sending {
    bool reported;
    rd_kafka_resp_err_t code;
};

static void
take_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *context)
{
    (void)producer, (void)context;
    struct sending *sending = message->_private;
    sending->reported = true;
    sending->code = message->err;
}

static rd_kafka_t *
reporting_producer_open(const char *bootstrap)
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(conf, take_report);
    cr_assert_eq(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why), RD_KAFKA_CONF_OK);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    cr_assert_not_null(producer, "%s", why);
    return producer;
}

static rd_kafka_resp_err_t
send_one(const char *bootstrap, const char *topic, const char *value, size_t size)
{
    rd_kafka_t *producer = reporting_producer_open(bootstrap);
    struct sending sending = {0};
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE((void *)(uintptr_t)value, size),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(&sending), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        wait_for((rd_kafka_poll(producer, 10), sending.reported), 60000);
        code = sending.code;
    }
    rd_kafka_destroy(producer);
    return code;
}

static size_t
count_records(const char *bootstrap, const char *topic, bool committed)
{
    struct records records = {0};
    consumer_read_all(&records, bootstrap, (const char *[]){topic, NULL}, committed);
    size_t count = records.count;
    records_free(&records);
    return count;
}

Test(support_kafka, keeps_what_was_acknowledged_over_kill_9_and_stop)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "kept", 1, NULL);
    cr_assert_eq(send_one(broker_bootstrap(broker), topic, "one", 3), RD_KAFKA_RESP_ERR_NO_ERROR);
    broker_kill(broker);
    broker_up(broker);
    cr_assert_eq(send_one(broker_bootstrap(broker), topic, "two", 3), RD_KAFKA_RESP_ERR_NO_ERROR);
    broker_stop(broker);
    broker_up(broker);
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(broker), (const char *[]){topic, NULL}, true);
    cr_assert_eq(records.count, 2);
    cr_assert_str_eq(records.list[0].value.data, "one");
    cr_assert_str_eq(records.list[1].value.data, "two");
    records_free(&records);
    broker_free(broker);
}

Test(support_kafka, reads_every_combination_of_absent_and_empty_with_headers_and_timestamp)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "shapes", 3, NULL);
    rd_kafka_t *producer = producer_open(broker_bootstrap(broker), NULL);
    static const char *const choices[] = {NULL, "", "x"};
    for (size_t i = 0; i < 9; i++) {
        const char *key = choices[i % 3], *value = choices[i / 3];
        cr_assert_eq(rd_kafka_producev(
                         producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)(i % 3)),
                         RD_KAFKA_V_KEY(key, key ? strlen(key) : 0),
                         RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value ? strlen(value) : 0),
                         RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(1000 + (int64_t)i),
                         RD_KAFKA_V_HEADER("a", "1", 1), RD_KAFKA_V_HEADER("none", NULL, 0),
                         RD_KAFKA_V_HEADER("empty", "", 0), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    cr_assert_eq(rd_kafka_flush(producer, 30000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(broker), (const char *[]){topic, NULL}, true);
    cr_assert_eq(records.count, 9);
    cr_assert_eq(consumer_count(broker_bootstrap(broker), topic), 9);
    for (size_t i = 0; i < records.count; i++) {
        const struct record *record = &records.list[i];
        const char *key = choices[(record->timestamp_ms - 1000) % 3],
                   *value = choices[(record->timestamp_ms - 1000) / 3];
        cr_expect(bytes_equal(record->key, (struct bytes){(char *)(uintptr_t)key, key ? strlen(key) : 0}));
        cr_expect(
            bytes_equal(record->value, (struct bytes){(char *)(uintptr_t)value, value ? strlen(value) : 0}));
        cr_expect_eq(record->header_count, 3);
        cr_expect_null(record_header(record, "none")->value.data);
        cr_expect_not_null(record_header(record, "empty")->value.data);
    }
    records_free(&records);
    broker_free(broker);
}

Test(support_kafka, reads_committed_records_only_and_passes_over_aborted_and_open_ones)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "transactions", 1, NULL);
    rd_kafka_t *producer = producer_open(broker_bootstrap(broker), topic);
    cr_assert_null(rd_kafka_init_transactions(producer, 60000));
    for (int i = 0; i < 3; i++) {
        cr_assert_null(rd_kafka_begin_transaction(producer));
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE("v", 1),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        cr_assert_eq(rd_kafka_flush(producer, 30000), RD_KAFKA_RESP_ERR_NO_ERROR);
        if (i < 2)
            cr_assert_null(i == 0 ? rd_kafka_commit_transaction(producer, 30000)
                                  : rd_kafka_abort_transaction(producer, 30000));
    }
    cr_expect_eq(count_records(broker_bootstrap(broker), topic, true), 1);
    cr_expect_eq(count_records(broker_bootstrap(broker), topic, false), 3);
    rd_kafka_destroy(producer);
    broker_free(broker);
}

Test(support_kafka, gives_nothing_for_a_topic_that_does_not_exist)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "missing");
    cr_assert_eq(broker_partition_count(broker, topic), 0);
    cr_assert_eq(count_records(broker_bootstrap(broker), topic, true), 0);
    broker_free(broker);
}

Test(support_kafka, deletes_topics)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "gone", 5, NULL);
    cr_assert_eq(broker_partition_count(broker, topic), 5);
    broker_delete_topic(broker, topic);
    cr_assert_eq(broker_partition_count(broker, topic), 0);
    broker_free(broker);
}

Test(support_kafka, sets_configs_at_creation_and_later)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "small");
    static char text[2000];
    memset(text, 'x', sizeof text);
    broker_create_topic(broker, topic, 1, (const char *[]){"max.message.bytes", "1000", NULL});
    cr_assert_eq(send_one(broker_bootstrap(broker), topic, text, sizeof text),
                 RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    broker_configure_topic(broker, topic, "max.message.bytes", "10000");
    cr_assert_eq(send_one(broker_bootstrap(broker), topic, text, sizeof text), RD_KAFKA_RESP_ERR_NO_ERROR);
    broker_free(broker);
}

Test(support_kafka, denies_and_allows_by_acl)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    const char *topic = broker_new_topic(broker, "denied", 1, NULL);
    broker_deny(broker, topic, "WRITE");
    wait_for(send_one(broker_bootstrap(broker), topic, "x", 1) ==
                 RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
             20000);
    broker_allow(broker, topic);
    wait_for(send_one(broker_bootstrap(broker), topic, "x", 1) == RD_KAFKA_RESP_ERR_NO_ERROR, 20000);
    broker_free(broker);
}

Test(support_kafka, does_not_acknowledge_while_it_is_paused)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "paused", 1, NULL);
    rd_kafka_t *producer = producer_open(broker_bootstrap(broker), NULL);
    broker_pause(broker);
    cr_assert_eq(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE("v", 1),
                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                 RD_KAFKA_RESP_ERR_NO_ERROR);
    cr_assert_eq(rd_kafka_flush(producer, 500), RD_KAFKA_RESP_ERR__TIMED_OUT);
    broker_continue(broker);
    cr_assert_eq(rd_kafka_flush(producer, 60000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
    broker_free(broker);
}
