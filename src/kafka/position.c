/* position.c: what a relay that delivers exactly once is called in Kafka, and what is said when that is refused. */
#include "kafka/position.h"

#include "event/topic.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

void
position_topic(const struct settings *settings, char name[POSITION_TOPIC_SIZE])
{
    snprintf(name, POSITION_TOPIC_SIZE, TOPIC_RESERVED_PREFIX "%s-%s", settings->source, settings->relay);
}

void
position_transactional_id(const struct settings *settings, char id[POSITION_TOPIC_SIZE])
{
    snprintf(id, POSITION_TOPIC_SIZE, "outboxd-%s-%s", settings->source, settings->relay);
}

void
position_explain(const char *topic, struct outcome *why)
{
    char known[sizeof why->message];
    bool denied = why->code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    if (why->kind != OUTCOME_TOPIC)
        return;
    snprintf(known, sizeof known, "%s",
             denied ? "allow READ, WRITE and DESCRIBE on it to the relay's principal" : why->message);
    snprintf(why->message, sizeof why->message, "topic %.120s: %.120s", topic, known);
}

void
position_explain_id(const struct settings *settings, struct outcome *why)
{
    char id[POSITION_TOPIC_SIZE];
    if (why->code != RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        return;
    position_transactional_id(settings, id);
    snprintf(why->message, sizeof why->message,
             "allow WRITE and DESCRIBE on the transactional id %.170s to the relay's principal", id);
}

bool
position_explain_unseen(const char *topic, const struct position_found *found,
                        char what[POSITION_UNSEEN_SIZE], const char **cure)
{
    char policy[POSITION_UNSEEN_SIZE / 2] = "", version[POSITION_UNSEEN_SIZE / 2] = "";
    bool no_policy = found->policy_untold[0] != '\0', no_version = found->version_untold[0] != '\0';
    if (no_policy)
        snprintf(policy, sizeof policy, "that topic %s has cleanup.policy=compact (%s)", topic,
                 found->policy_untold);
    if (no_version)
        snprintf(version, sizeof version, "that every broker is of 3.7 or later (%s)", found->version_untold);
    snprintf(what, POSITION_UNSEEN_SIZE, "%s%s%s", policy, no_policy && no_version ? ", and " : "", version);
    *cure = !no_version ? "see that it is so; DESCRIBE_CONFIGS on the topic lets the relay see it"
            : !no_policy
                ? "see that it is so; DESCRIBE_CONFIGS on the cluster lets the relay see it"
                : "see that it is so; DESCRIBE_CONFIGS on the topic and on the cluster lets the relay see it";
    return no_policy || no_version;
}
