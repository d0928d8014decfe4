/* barred.c: see barred.h. Fed by brokerlog.c; asked by reports.c when an event comes back without a reason, and by transaction.c. */
#include "kafka/barred.h"

#include "event/topic.h"
#include "kafka/classify.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A topic that finds no place is found by the next instance, when one of these is healed. */
enum { BARRED_MOST = 64 };

static struct {
    pthread_mutex_t lock;
    struct barred {
        char topic[TOPIC_NAME_SIZE];
        rd_kafka_resp_err_t code;
    } list[BARRED_MOST];
    size_t count;
} barred = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The code that librdkafka describes so, when it is a topic's fault; partitions beside a refused one are told that they were
 * not tried. */
static rd_kafka_resp_err_t
topics_fault(const char *description)
{
    const struct rd_kafka_err_desc *all;
    size_t count;
    struct outcome outcome;
    rd_kafka_get_err_descs(&all, &count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].desc == NULL || strcmp(all[i].desc, description) != 0)
            continue;
        classify(all[i].code, &outcome);
        return outcome.kind == OUTCOME_TOPIC ? all[i].code : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static const struct barred *
find(const char *topic)
{
    for (size_t i = 0; i < barred.count; i++)
        if (strcmp(barred.list[i].topic, topic) == 0)
            return &barred.list[i];
    return NULL;
}

static void
note(const char *topic, rd_kafka_resp_err_t code)
{
    pthread_mutex_lock(&barred.lock);
    if (barred.count < BARRED_MOST && find(topic) == NULL) {
        struct barred *one = &barred.list[barred.count++];
        snprintf(one->topic, sizeof one->topic, "%s", topic);
        one->code = code;
    }
    pthread_mutex_unlock(&barred.lock);
}

/* `TxnCoordinator/1: Failed to add partition "TOPIC" [0] to transaction: Broker: Topic authorization failed` */
void
barred_hear(const char *text)
{
    char topic[TOPIC_NAME_SIZE];
    const char *said = strstr(text, "partition \""), *end = strstr(text, " to transaction: ");
    if (said == NULL || end == NULL || sscanf(said, "partition \"%249[a-zA-Z0-9._-]\"", topic) != 1)
        return;
    rd_kafka_resp_err_t code = topics_fault(end + strlen(" to transaction: "));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        note(topic, code);
}

bool
barred_find(const char *topic, struct outcome *why)
{
    pthread_mutex_lock(&barred.lock);
    const struct barred *one = find(topic);
    if (one != NULL)
        classify(one->code, why);
    pthread_mutex_unlock(&barred.lock);
    return one != NULL;
}

void
barred_forget(void)
{
    pthread_mutex_lock(&barred.lock);
    barred.count = 0;
    pthread_mutex_unlock(&barred.lock);
}
