/* stranger.c: somebody else's producer (stranger.h). */
#include "support/stranger.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <string.h>

#define ANSWER_MS 30000

static rd_kafka_t *
producer_open(const char *bootstrap, const char *transactional_id)
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    cr_assert_eq(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why), RD_KAFKA_CONF_OK,
                 "%s", why);
    if (transactional_id != NULL)
        cr_assert_eq(rd_kafka_conf_set(conf, "transactional.id", transactional_id, why, sizeof why),
                     RD_KAFKA_CONF_OK, "%s", why);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    cr_assert_not_null(producer, "%s", why);
    return producer;
}

static void
must(rd_kafka_error_t *error)
{
    if (error != NULL)
        test_fail("a stranger's transaction: %s", rd_kafka_error_string(error));
}

rd_kafka_t *
stranger_open(const char *bootstrap)
{
    return producer_open(bootstrap, NULL);
}

void
stranger_close(rd_kafka_t *stranger)
{
    rd_kafka_destroy(stranger);
}

rd_kafka_t *
stranger_begin(const char *bootstrap, const char *transactional_id)
{
    rd_kafka_t *stranger = producer_open(bootstrap, transactional_id);
    must(rd_kafka_init_transactions(stranger, ANSWER_MS));
    must(rd_kafka_begin_transaction(stranger));
    return stranger;
}

void
stranger_end(rd_kafka_t *stranger, bool commit)
{
    must(commit ? rd_kafka_commit_transaction(stranger, ANSWER_MS)
                : rd_kafka_abort_transaction(stranger, ANSWER_MS));
    rd_kafka_destroy(stranger);
}

void
stranger_write(rd_kafka_t *stranger, const char *topic, const char *id, const char *source, const char *value)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    if (id != NULL)
        rd_kafka_header_add(headers, "id", -1, id, -1);
    if (source != NULL)
        rd_kafka_header_add(headers, "source", -1, source, -1);
    cr_assert_eq(__extension__ rd_kafka_producev(stranger, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                                 RD_KAFKA_V_VALUE((void *)(uintptr_t)value, strlen(value)),
                                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                                 RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END),
                 RD_KAFKA_RESP_ERR_NO_ERROR);
    cr_assert_eq(rd_kafka_flush(stranger, ANSWER_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}
