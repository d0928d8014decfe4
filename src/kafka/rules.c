/* rules.c: the table of properties that are not the user's to choose. Whatever is not listed is passed to
 * librdkafka, which checks it. Called by properties.c; knows no librdkafka. */
#include "kafka/rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum rule_kind {
    RULE_FIXED,    /* one value keeps the promise: ours, which may also be written down */
    RULE_AT_MOST,  /* a number up to `value` */
    RULE_NOT,      /* any value but `value` */
    RULE_REFUSED,  /* may not be set at all */
    RULE_CONSUMER, /* belongs to consumers */
    RULE_OTHER,    /* belongs to topics or to Java clients: librdkafka does not know it */
    RULE_POINTER,  /* is set by programs, not by files */
    RULE_DEAD,     /* librdkafka itself ignores it */
};

struct rule {
    const char *name;
    enum rule_kind kind;
    const char *value; /* FIXED: ours; AT_MOST: the bound; NOT: the one */
    const char *also;  /* FIXED: another spelling of ours */
    const char *why;
};

#define FIXED(name, value, also, why)                                                                        \
    {                                                                                                        \
        name, RULE_FIXED, value, also, why                                                                   \
    }
#define REFUSED(name, why)                                                                                   \
    {                                                                                                        \
        name, RULE_REFUSED, NULL, NULL, why                                                                  \
    }
#define OTHER(name, why)                                                                                     \
    {                                                                                                        \
        name, RULE_OTHER, NULL, NULL, why                                                                    \
    }
#define CONSUMER(name)                                                                                       \
    {                                                                                                        \
        name, RULE_CONSUMER, NULL, NULL, "is a property of consumers: outboxd only produces"                 \
    }
#define POINTER(name)                                                                                        \
    {                                                                                                        \
        name, RULE_POINTER, NULL, NULL, "cannot be set in a file"                                            \
    }
#define DEAD(name)                                                                                           \
    {                                                                                                        \
        name, RULE_DEAD, NULL, NULL, "has no effect any more: remove it"                                     \
    }

static const char acks_why[] = "must be all: an event counts as published when every in-sync replica has it";
static const char timeout_why[] =
    "must be 2147483647: an event that expired alone would leave a gap in the order of its key";
static const char retries_why[] =
    "must be 2147483647: giving up a retry would leave a gap in the order of its key";
static const char memory_why[] = "is not used: the setting `memory` bounds what is in flight";
static const char transaction_why[] = "is not used: outboxd decides about transactions";
static const char verify_why[] = "must stay on: without it anyone on the way can be the broker";
static const char topic_why[] = "is a property of topics, set on the broker with kafka-configs.sh";
static const char java_why[] = "is a property of Java clients, and not needed here: remove it";
static const char oauth_why[] = "is not served: outboxd renews no tokens; use SCRAM or PLAIN over TLS, or a "
                                "client certificate";
static const char old_broker_why[] =
    "is not supported: brokers that old have neither headers nor idempotence";

static const struct rule rules[] = {
    FIXED("enable.idempotence", "true", NULL,
          "must be true: without it a retry may change the order of a key"),
    FIXED("enable.gapless.guarantee", "true", NULL,
          "must be true: without it events behind a refused batch are published before it is sent again"),
    FIXED("acks", "all", "-1", acks_why),
    FIXED("request.required.acks", "all", "-1", acks_why),
    FIXED("partitioner", "murmur2_random", NULL,
          "must be murmur2_random: keys go to the partitions that Java clients choose"),
    FIXED("message.timeout.ms", "2147483647", NULL, timeout_why),
    FIXED("delivery.timeout.ms", "2147483647", NULL, timeout_why),
    FIXED("retries", "2147483647", NULL, retries_why),
    FIXED("message.send.max.retries", "2147483647", NULL, retries_why),
    FIXED("allow.auto.create.topics", "false", NULL,
          "must be false: a mistyped topic must not come into being; use outboxd check --create"),
    FIXED("delivery.report.only.error", "false", NULL, "must be false: every event needs its report"),
    FIXED("queuing.strategy", "fifo", NULL, "must be fifo: lifo turns the order of a key round"),
    FIXED("queue.buffering.max.messages", "0", NULL, memory_why),
    FIXED("queue.buffering.max.kbytes", "2147483647", NULL, memory_why),
    FIXED("enable.ssl.certificate.verification", "true", NULL, verify_why),
    FIXED("ssl.endpoint.identification.algorithm", "https", NULL, verify_why),
    FIXED("api.version.request", "true", NULL, old_broker_why),
    FIXED("socket.max.fails", "1", NULL, "must be 1: after a lost answer a connection is out of step"),
    FIXED("log.queue", "false", NULL, "must be false: nobody reads that queue"),
    FIXED("log_level", "6", NULL,
          "must be 6: only librdkafka's log says which topic was refused; the setting log.level chooses what "
          "is shown"),
    {"max.in.flight", RULE_AT_MOST, "5", NULL,
     "must be at most 5: brokers recognise the repetition of 5 batches"},
    {"max.in.flight.requests.per.connection", RULE_AT_MOST, "5", NULL,
     "must be at most 5: brokers recognise the repetition of 5 batches"},
    {"linger.ms", RULE_AT_MOST, "1000", NULL, "must be at most 1000: every event would wait for it"},
    {"queue.buffering.max.ms", RULE_AT_MOST, "1000", NULL,
     "must be at most 1000: every event would wait for it"},

    {"sasl.mechanisms", RULE_NOT, "OAUTHBEARER", NULL, oauth_why},
    {"sasl.mechanism", RULE_NOT, "OAUTHBEARER", NULL, oauth_why},
    REFUSED("sasl.oauthbearer.config", oauth_why),
    REFUSED("sasl.oauthbearer.method", oauth_why),
    REFUSED("sasl.oauthbearer.client.id", oauth_why),
    REFUSED("sasl.oauthbearer.client.secret", oauth_why),
    REFUSED("sasl.oauthbearer.scope", oauth_why),
    REFUSED("sasl.oauthbearer.extensions", oauth_why),
    REFUSED("sasl.oauthbearer.token.endpoint.url", oauth_why),
    REFUSED("enable.sasl.oauthbearer.unsecure.jwt", oauth_why),
    REFUSED("message.max.bytes", "is not used: max.message.bytes of the topic decides what is too large"),
    REFUSED("transactional.id", transaction_why),
    REFUSED("transaction.timeout.ms", transaction_why),
    REFUSED("broker.version.fallback", old_broker_why),
    REFUSED("api.version.fallback.ms", old_broker_why),
    REFUSED("topic.blacklist", "would hide topics: use the setting `topics`"),
    REFUSED("plugin.library.paths", "is not allowed: a plugin could change or drop events"),
    REFUSED("internal.termination.signal", "is not allowed: signals are outboxd's own"),
    REFUSED("enabled_events", "is outboxd's own"),
    REFUSED("test.mock.num.brokers", "is not allowed: what the mock takes is lost with the process"),
    REFUSED("test.mock.broker.rtt", "is not allowed: what the mock takes is lost with the process"),

    POINTER("error_cb"),
    POINTER("throttle_cb"),
    POINTER("stats_cb"),
    POINTER("log_cb"),
    POINTER("background_event_cb"),
    POINTER("socket_cb"),
    POINTER("connect_cb"),
    POINTER("closesocket_cb"),
    POINTER("open_cb"),
    POINTER("resolve_cb"),
    POINTER("opaque"),
    POINTER("default_topic_conf"),
    POINTER("dr_cb"),
    POINTER("dr_msg_cb"),
    POINTER("partitioner_cb"),
    POINTER("msg_order_cmp"),
    POINTER("interceptors"),
    POINTER("oauthbearer_token_refresh_cb"),
    POINTER("ssl.certificate.verify_cb"),
    POINTER("ssl_key"),
    POINTER("ssl_certificate"),
    POINTER("ssl_ca"),
    POINTER("ssl_engine_callback_data"),

    DEAD("topic.metadata.refresh.fast.cnt"),
    DEAD("socket.blocking.max.ms"),
    DEAD("reconnect.backoff.jitter.ms"),
    DEAD("produce.offset.report"),

    OTHER("cleanup.policy", topic_why),
    OTHER("max.message.bytes", topic_why),
    OTHER("min.insync.replicas", topic_why),
    OTHER("replication.factor", topic_why),
    OTHER("retention.bytes", topic_why),
    OTHER("retention.ms", topic_why),
    OTHER("segment.bytes", topic_why),
    OTHER("unclean.leader.election.enable", topic_why),

    OTHER("buffer.memory", memory_why),
    OTHER("key.serializer", java_why),
    OTHER("value.serializer", java_why),
    OTHER("max.block.ms", java_why),
    OTHER("max.request.size", "is a property of Java clients: max.message.bytes of the topic decides"),
    OTHER("partitioner.class",
          "is a property of Java clients: keys go to the partitions that theirs chooses"),
    OTHER("sasl.jaas.config", "is a property of Java clients: use sasl.username and sasl.password_file"),
    OTHER("ssl.truststore.location", "is a property of Java clients: use ssl.ca.location"),
    OTHER("ssl.truststore.password", "is a property of Java clients: use ssl.ca.location"),

    CONSUMER("group.id"),
    CONSUMER("group.instance.id"),
    CONSUMER("group.protocol.type"),
    CONSUMER("partition.assignment.strategy"),
    CONSUMER("session.timeout.ms"),
    CONSUMER("heartbeat.interval.ms"),
    CONSUMER("coordinator.query.interval.ms"),
    CONSUMER("max.poll.interval.ms"),
    CONSUMER("enable.auto.commit"),
    CONSUMER("auto.commit.enable"),
    CONSUMER("auto.commit.interval.ms"),
    CONSUMER("enable.auto.offset.store"),
    CONSUMER("queued.min.messages"),
    CONSUMER("queued.max.messages.kbytes"),
    CONSUMER("fetch.wait.max.ms"),
    CONSUMER("fetch.message.max.bytes"),
    CONSUMER("max.partition.fetch.bytes"),
    CONSUMER("fetch.max.bytes"),
    CONSUMER("fetch.min.bytes"),
    CONSUMER("fetch.error.backoff.ms"),
    CONSUMER("offset.store.method"),
    CONSUMER("offset.store.path"),
    CONSUMER("offset.store.sync.interval.ms"),
    CONSUMER("auto.offset.reset"),
    CONSUMER("isolation.level"),
    CONSUMER("consume_cb"),
    CONSUMER("rebalance_cb"),
    CONSUMER("offset_commit_cb"),
    CONSUMER("enable.partition.eof"),
    CONSUMER("check.crcs"),
    CONSUMER("consume.callback.max.messages"),
};

enum { RULE_COUNT = sizeof rules / sizeof *rules };

static bool
value_allowed(const struct rule *rule, const char *value)
{
    char *end;
    switch (rule->kind) {
    case RULE_FIXED:
        return strcasecmp(value, rule->value) == 0 ||
               (rule->also != NULL && strcasecmp(value, rule->also) == 0);
    case RULE_AT_MOST:
        /* Not a number: librdkafka says so. */
        return strtod(value, &end) <= strtod(rule->value, NULL);
    case RULE_NOT:
        return strcasecmp(value, rule->value) != 0;
    case RULE_REFUSED:
    case RULE_CONSUMER:
    case RULE_OTHER:
    case RULE_POINTER:
    case RULE_DEAD:
        break;
    }
    return false;
}

static const struct rule *
find(const char *name)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

const char *
rules_refusal(const struct property *property)
{
    const struct rule *rule = find(property->name);
    return rule == NULL || value_allowed(rule, property->value) ? NULL : rule->why;
}

bool
rules_is_fixed(const char *name)
{
    const struct rule *rule = find(name);
    return rule != NULL && rule->kind == RULE_FIXED;
}

void
rules_each_fixed(void (*set)(void *context, const char *name, const char *value), void *context)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (rules[i].kind == RULE_FIXED)
            set(context, rules[i].name, rules[i].value);
}
