/* outage.c: Kafka as a whole does not answer: says so in words, and sees to it that the database knows, so that `outboxd status`
 * can tell why nothing is published. Called by relay.c each turn, by leading.c and observe.c; whether Kafka answers is known
 * to the producer. */
#include "base/fields.h"
#include "relay/inside.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A broker that restarts is no news for the database; a person who asks is told within seconds. */
#define LASTS_US (INT64_C(3) * 1000000)
/* Of several brokers each has its reason; the database gets another one so often at most. */
#define RETELL_US (INT64_C(30) * 1000000)

#define SINCE_SIZE 40

static bool
lasts(const struct relay *relay)
{
    const struct producer_statistics *kafka = producer_statistics(relay->producer);
    return kafka->away_since_us != 0 && relay->now_us - kafka->away_since_us >= LASTS_US;
}

void
outage_turn(struct relay *relay)
{
    const char *why = producer_statistics(relay->producer)->away_why;
    bool lasting = lasts(relay);
    bool news = lasting && relay->now_us - relay->outage_told_us >= RETELL_US &&
                strcmp(relay->outage_told_why, why) != 0;
    if (lasting != relay->outage_told || news)
        relay->trouble_told = false;
}

/* As the log writes moments. */
static const char *
since_when(const struct producer_statistics *kafka, char text[SINCE_SIZE])
{
    struct tm utc;
    time_t seconds = (time_t)(kafka->away_since_wall_us / 1000000);
    gmtime_r(&seconds, &utc);
    strftime(text, SINCE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

void
outage_text(const struct relay *relay, char *text, size_t size)
{
    const struct producer_statistics *kafka = producer_statistics(relay->producer);
    char since[SINCE_SIZE];
    text[0] = '\0';
    if (kafka->away_since_us != 0)
        snprintf(text, size, "Kafka does not answer since %s: %.400s", since_when(kafka, since),
                 kafka->away_why);
}

char *
outage_tell(struct relay *relay)
{
    const struct producer_statistics *kafka = producer_statistics(relay->producer);
    char since[SINCE_SIZE];
    relay->outage_told = lasts(relay);
    if (!relay->outage_told)
        return NULL;
    snprintf(relay->outage_told_why, sizeof relay->outage_told_why, "%s", kafka->away_why);
    relay->outage_told_us = relay->now_us;
    json_t *object = json_object();
    fields_set_text(object, "error", "KAFKA_AWAY");
    fields_set_text(object, "message", kafka->away_why);
    fields_set_text(object, "since", since_when(kafka, since));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}
