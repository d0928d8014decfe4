/* classify.c: the table of errors. Called for each failed report and each failed call; decides nothing beyond
 * the kind. */
#include "kafka/classify.h"

#include <stdarg.h>
#include <stdio.h>

struct meaning {
    rd_kafka_resp_err_t code;
    enum outcome_kind kind;
    const char *cure; /* what a person can do; NULL: librdkafka's own text says it all */
};

static const struct meaning meanings[] = {
    {RD_KAFKA_RESP_ERR_NO_ERROR, OUTCOME_ACKNOWLEDGED, NULL},

    /* The broker looked at the record and will never take it. A whole batch fails with the error of one
     * record, so only an event refused alone is guilty. */
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, OUTCOME_EVENT, "raise max.message.bytes of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, OUTCOME_EVENT, "raise max.message.bytes of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, OUTCOME_EVENT, "a compacted topic takes no event without a key"},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, OUTCOME_EVENT,
     "created_at is outside message.timestamp.before.max.ms / after.max.ms of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG, OUTCOME_EVENT, "the broker found the record malformed"},

    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, OUTCOME_TOPIC, "create the topic: outboxd check --create"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, OUTCOME_TOPIC, "create the topic: outboxd check --create"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, OUTCOME_TOPIC,
     "the topic was deleted, or made anew with fewer partitions: where it is gone, create it with as many as "
     "before: outboxd check --create"},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, OUTCOME_TOPIC, "Kafka does not allow this topic name"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, OUTCOME_TOPIC,
     "allow DESCRIBE and WRITE on the topic to the relay's principal"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, OUTCOME_TOPIC, "fewer replicas in sync than min.insync.replicas"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, OUTCOME_TOPIC,
     "fewer replicas in sync than min.insync.replicas"},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, OUTCOME_TOPIC, NULL},
    {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, OUTCOME_TOPIC, NULL},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, OUTCOME_TOPIC, "a policy of the broker forbids it"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, OUTCOME_TOPIC,
     "remove message.format.version from the topic: headers need format 2"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, OUTCOME_TOPIC, "change kafka.compression.type"},

    /* What exactly-once delivery needs, and people must give. */
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, OUTCOME_TOPIC,
     "allow WRITE and DESCRIBE on its transactional id to the relay's principal"},
    {RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, OUTCOME_TOPIC,
     "set transaction.max.timeout.ms of the brokers to 30 s or more"},

    {RD_KAFKA_RESP_ERR__FENCED, OUTCOME_FENCED, NULL},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, OUTCOME_FENCED, NULL},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, OUTCOME_FENCED, NULL},

    /* The instance went away under the event: nobody's fault, it is sent again. */
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, OUTCOME_UNSENT, NULL},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, OUTCOME_UNSENT, NULL},
    {RD_KAFKA_RESP_ERR__DESTROY, OUTCOME_UNSENT, NULL},
    {RD_KAFKA_RESP_ERR__FATAL, OUTCOME_UNSENT, NULL},
    {RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, OUTCOME_UNSENT, NULL},

    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, OUTCOME_BROKER,
     "allow the relay's principal WRITE on its topics (before Kafka 2.8 also IDEMPOTENT_WRITE on the "
     "cluster)"},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, OUTCOME_BROKER, "check kafka.sasl.* and the broker's users"},
    {RD_KAFKA_RESP_ERR__SSL, OUTCOME_BROKER, "check kafka.ssl.* and the broker's certificate"},
    {RD_KAFKA_RESP_ERR__RESOLVE, OUTCOME_BROKER, "check kafka.bootstrap.servers and the name service"},
};

static const struct meaning *
find(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return NULL;
}

bool
classify_cures(rd_kafka_resp_err_t code)
{
    const struct meaning *meaning = find(code);
    return meaning != NULL && meaning->cure != NULL;
}

void
classify(rd_kafka_resp_err_t code, struct outcome *outcome)
{
    const struct meaning *meaning = find(code);
    outcome->kind = meaning ? meaning->kind : OUTCOME_BROKER;
    outcome->code = (int)code;
    snprintf(outcome->name, sizeof outcome->name, "%s", rd_kafka_err2name(code));
    snprintf(outcome->message, sizeof outcome->message, "%s%s%s", rd_kafka_err2str(code),
             meaning && meaning->cure ? "; " : "", meaning && meaning->cure ? meaning->cure : "");
}

void
classify_own(struct outcome *outcome, enum outcome_kind kind, const char *name, const char *format, ...)
{
    va_list arguments;
    outcome->kind = kind;
    outcome->code = 0;
    snprintf(outcome->name, sizeof outcome->name, "%s", name);
    va_start(arguments, format);
    vsnprintf(outcome->message, sizeof outcome->message, format, arguments);
    va_end(arguments);
}
