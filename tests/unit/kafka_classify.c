/* kafka_classify.c: what errors mean. The table decides between waiting for ever and writing a dead letter. */
#include "kafka/classify.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    rd_kafka_resp_err_t code;
    enum outcome_kind kind;
} expected[] = {
    {RD_KAFKA_RESP_ERR_NO_ERROR, OUTCOME_ACKNOWLEDGED},

    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, OUTCOME_EVENT},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, OUTCOME_EVENT},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, OUTCOME_EVENT},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, OUTCOME_EVENT},
    {RD_KAFKA_RESP_ERR_INVALID_MSG, OUTCOME_EVENT},

    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, OUTCOME_TOPIC},

    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, OUTCOME_TOPIC},
    {RD_KAFKA_RESP_ERR__FENCED, OUTCOME_FENCED},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, OUTCOME_FENCED},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, OUTCOME_FENCED},

    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, OUTCOME_UNSENT},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, OUTCOME_UNSENT},
    {RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, OUTCOME_UNSENT},

    {RD_KAFKA_RESP_ERR__TRANSPORT, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR__SSL, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, OUTCOME_BROKER},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, OUTCOME_BROKER},
};

static enum outcome_kind
kind_of(rd_kafka_resp_err_t code)
{
    struct outcome outcome;
    classify(code, &outcome);
    return outcome.kind;
}

Test(kafka_classify, an_outage_is_never_an_events_fault)
{
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect_eq(kind_of(expected[i].code), expected[i].kind, "%s", rd_kafka_err2name(expected[i].code));
}

Test(kafka_classify, only_five_errors_of_librdkafka_can_make_a_dead_letter)
{
    const struct rd_kafka_err_desc *descriptions;
    size_t count, dead = 0;
    rd_kafka_get_err_descs(&descriptions, &count);
    for (size_t i = 0; i < count; i++)
        if (descriptions[i].name != NULL)
            dead += kind_of(descriptions[i].code) == OUTCOME_EVENT;
    cr_assert_gt(count, 100);
    cr_assert_eq(dead, 5);
}

Test(kafka_classify, an_error_that_nobody_knows_is_patience)
{
    struct outcome outcome;
    classify((rd_kafka_resp_err_t)31000, &outcome);
    cr_assert_eq(outcome.kind, OUTCOME_BROKER);
    cr_assert_eq(outcome.code, 31000);
}

Test(kafka_classify, an_outcome_names_the_error_and_what_helps)
{
    struct outcome outcome;
    classify(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, &outcome);
    cr_assert_str_eq(outcome.name, "TOPIC_AUTHORIZATION_FAILED");
    cr_assert_eq(outcome.code, 29);
    cr_assert_not_null(strstr(outcome.message, "WRITE"), "%s", outcome.message);
}
