/* position_reader.c: reads the position topic. Called by transaction.c in a thread of its own, after init_transactions() has fenced the
 * older instances and ended their transactions.
 *
 *        low                          window              high (of uncommitted records too)
 *         |---- compacted, older -----|aborted|c|committed|c|        c: the record that ends a transaction
 *                                     ^ from                ^ the end is reached here, not before             */
#include "kafka/position_reader.h"

#include "base/clock.h"
#include "kafka/classify.h"
#include "kafka/configs.h"
#include "kafka/properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records at the end that are looked at first: thousands are a millisecond, and aborted ones may stand in between. */
enum { WINDOW = 1000, WIDER = 8 };
enum { SLICE_MS = 200 };
/* For a question and its answer, and a connection that is made for it: brokers may be seconds away. */
static const int64_t ANSWER_US = INT64_C(10) * 1000 * 1000;
/* An end that does not come within this time is held up by somebody. */
static const int64_t PATIENCE_US = INT64_C(10) * 1000 * 1000;

struct reader {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    const char *name;
    int64_t deadline_us;
    const rd_kafka_metadata_t *metadata; /* NULL: not asked yet */
    int64_t low;
    struct position_found *found;
    struct outcome *why;
};

rd_kafka_conf_t *
position_reader_conf(const struct settings *settings, struct error *error)
{
    static const char *const properties[][2] = {{"isolation.level", "read_committed"},
                                                {"enable.partition.eof", "true"},
                                                {"check.crcs", "true"},
                                                {"fetch.wait.max.ms", "10"},
                                                {"auto.offset.reset", "error"}};
    rd_kafka_conf_t *conf = properties_client(settings, error);
    for (size_t i = 0; conf != NULL && i < sizeof properties / sizeof *properties; i++)
        CHECK(rd_kafka_conf_set(conf, properties[i][0], properties[i][1], NULL, 0) == RD_KAFKA_CONF_OK);
    return conf;
}

/* ---- is it what it has to be? ---- */

static bool
fail(struct reader *reader, rd_kafka_resp_err_t code)
{
    classify(code, reader->why);
    position_explain(reader->name, reader->why);
    return false;
}

static bool
is_late(const struct reader *reader)
{
    return clock_monotonic_us() >= reader->deadline_us;
}

/* How long the next answer is waited for. */
static int
answer_ms(const struct reader *reader)
{
    int64_t left_us = reader->deadline_us - clock_monotonic_us();
    int left_ms = (int)((left_us < ANSWER_US ? left_us : ANSWER_US) / 1000);
    return left_ms > SLICE_MS ? left_ms : SLICE_MS;
}

/* An error that time may mend; waits a moment. */
static bool
may_pass(const struct reader *reader, rd_kafka_resp_err_t code)
{
    struct outcome outcome;
    classify(code, &outcome);
    bool passes = code != RD_KAFKA_RESP_ERR_NO_ERROR && outcome.kind == OUTCOME_BROKER && !is_late(reader);
    if (passes)
        rd_kafka_poll(reader->rk, SLICE_MS);
    return passes;
}

/* One partition; a missing topic and a missing permission show here. */
static bool
judge_metadata(struct reader *reader)
{
    rd_kafka_resp_err_t code;
    do
        code = rd_kafka_metadata(reader->rk, 0, reader->topic, &reader->metadata, answer_ms(reader));
    while (may_pass(reader, code));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(reader, code);
    const rd_kafka_metadata_t *metadata = reader->metadata;
    rd_kafka_resp_err_t topic_code =
        metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    int partitions = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    if (topic_code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(reader, topic_code);
    if (partitions == 1)
        return true;
    classify_own(reader->why, OUTCOME_TOPIC, "POSITION_TOPIC",
                 "topic %.120s has %d partitions, it must have one: delete it while nothing was published "
                 "exactly once, then outboxd check --create",
                 reader->name, partitions);
    return false;
}

/* Compacted, and nothing else: a policy that deletes would delete the position of an outbox that is quiet for long. A cluster that
 * does not tell is believed, and that is found. */
static bool
judge_policy(struct reader *reader)
{
    rd_kafka_queue_t *answers = rd_kafka_queue_new(reader->rk);
    char policy[64] = "compact", *untold = reader->found->policy_untold;
    int patience_ms = answer_ms(reader);
    configs_ask(reader->rk, &reader->name, 1, patience_ms, answers);
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, patience_ms + SLICE_MS);
    const rd_kafka_ConfigResource_t *configs = configs_find(event, reader->name);
    const char *value = configs != NULL ? configs_value(configs, "cleanup.policy") : NULL;
    if (value != NULL)
        snprintf(policy, sizeof policy, "%s", value);
    else
        snprintf(untold, sizeof reader->found->policy_untold, "%s", configs_refusal(event, reader->name));
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(answers);
    if (strcmp(policy, "compact") == 0)
        return true;
    classify_own(reader->why, OUTCOME_TOPIC, "POSITION_TOPIC",
                 "topic %.120s has cleanup.policy=%s, it must be compact: kafka-configs.sh --alter "
                 "--entity-type topics --add-config cleanup.policy=compact",
                 reader->name, policy);
    return false;
}

/* One that does not tell is believed, too. */
static bool
judge_version(struct reader *reader)
{
    struct configs_versions versions = configs_ask_versions(reader->rk, reader->metadata, answer_ms(reader));
    memcpy(reader->found->version_untold, versions.untold, sizeof versions.untold);
    if (versions.lowest == 0 || versions.lowest >= POSITION_BROKER_LEAST)
        return true;
    classify_own(reader->why, OUTCOME_TOPIC, "BROKER_VERSION",
                 "delivery: exactly-once needs brokers from 3.7 on, these are %s: upgrade them, or deliver "
                 "at-least-once",
                 versions.text);
    return false;
}

/* ---- reading ---- */

static bool
find_ends(struct reader *reader, int64_t *high)
{
    rd_kafka_resp_err_t code;
    do
        code = rd_kafka_query_watermark_offsets(reader->rk, reader->name, 0, &reader->low, high,
                                                answer_ms(reader));
    while (may_pass(reader, code));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || fail(reader, code);
}

/* What others write there is nothing to us. */
static void
keep(struct reader *reader, const rd_kafka_message_t *message)
{
    bool ours = message->key_len == strlen(POSITION_KEY) && message->payload != NULL &&
                memcmp(message->key, POSITION_KEY, message->key_len) == 0;
    if (!ours)
        return;
    free(reader->found->text);
    reader->found->text = must_alloc(message->len + 1);
    if (message->len > 0)
        memcpy(reader->found->text, message->payload, message->len);
    reader->found->text[message->len] = '\0';
}

enum reading { READING, READ_TO_THE_END, READING_FAILED };

static enum reading
take(struct reader *reader, const rd_kafka_message_t *message)
{
    int64_t low, high;
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        keep(reader, message);
        return READING;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        /* "The end" is that of what is committed; the watermark of the same answer is that of everything. */
        rd_kafka_get_watermark_offsets(reader->rk, reader->name, 0, &low, &high);
        return message->offset >= high ? READ_TO_THE_END : READING;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return READING;
    default:
        (void)fail(reader, message->err);
        return READING_FAILED;
    }
}

/* From `from` to the end, whatever is there. */
static bool
read_from(struct reader *reader, int64_t from)
{
    enum reading reading = READING;
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    if (rd_kafka_consume_start(reader->topic, 0, from) != 0)
        return fail(reader, rd_kafka_last_error());
    while (reading == READING && clock_monotonic_us() < until_us && !is_late(reader)) {
        rd_kafka_message_t *message = rd_kafka_consume(reader->topic, 0, SLICE_MS);
        if (message == NULL)
            continue;
        reading = take(reader, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(reader->topic, 0);
    if (reading == READING)
        classify_own(reader->why, OUTCOME_BROKER, "POSITION_HIDDEN",
                     "the end of topic %.120s could not be read: Kafka is slow, or another transactional "
                     "producer writes to it",
                     reader->name);
    return reading == READ_TO_THE_END;
}

/* An abort leaves records that nobody sees, so an empty window is not yet an empty topic. */
static bool
read_tail(struct reader *reader)
{
    int64_t high = 0;
    if (!find_ends(reader, &high))
        return false;
    for (int64_t window = WINDOW;; window *= WIDER) {
        int64_t from = high - window < reader->low ? reader->low : high - window;
        if (!read_from(reader, from))
            return false;
        if (reader->found->text != NULL || from == reader->low)
            return true;
    }
}

static void
ask_cluster(struct reader *reader)
{
    char *cluster = rd_kafka_clusterid(reader->rk, answer_ms(reader));
    snprintf(reader->found->cluster, sizeof reader->found->cluster, "%s", cluster ? cluster : "");
    if (cluster != NULL)
        rd_kafka_mem_free(reader->rk, cluster);
}

bool
position_read(rd_kafka_conf_t *conf, const char *topic, int64_t deadline_us, struct position_found *found,
              struct outcome *why)
{
    char reason[200];
    struct reader reader = {.name = topic, .deadline_us = deadline_us, .found = found, .why = why};
    *found = (struct position_found){0};
    reader.rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (reader.rk == NULL) {
        rd_kafka_conf_destroy(conf);
        classify_own(why, OUTCOME_BROKER, "NO_READER", "%s", reason);
        return false;
    }
    reader.topic = rd_kafka_topic_new(reader.rk, topic, NULL);
    bool good =
        judge_metadata(&reader) && judge_policy(&reader) && judge_version(&reader) && read_tail(&reader);
    if (good)
        ask_cluster(&reader);
    if (reader.metadata != NULL)
        rd_kafka_metadata_destroy(reader.metadata);
    rd_kafka_topic_destroy(reader.topic);
    rd_kafka_destroy(reader.rk);
    if (!good) {
        free(found->text);
        found->text = NULL;
    }
    return good;
}
