/* outage.c: Kafka as a whole does not answer, or answers and takes nothing: says so in words, and sees to it that the database
 * knows, so that `outboxd status` can tell why nothing is published. Called by relay.c each turn, by leading.c and observe.c; the
 * producer knows what Kafka does. */
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

struct outage {
    const char *error; /* for the database; NULL: there is none */
    const char *says;
    const char *why;
    int64_t since_us, since_wall_us;
};

bool
outage_is_explained(const struct relay *relay)
{
    return producer_statistics(relay->producer)->unended && verdict_trouble(&relay->verdict) != NULL;
}

/* Whoever is not there refuses nothing. */
static struct outage
find_outage(const struct relay *relay)
{
    const struct producer_statistics *kafka = producer_statistics(relay->producer);
    if (kafka->away_since_us != 0)
        return (struct outage){"KAFKA_AWAY", "Kafka does not answer", kafka->away_why, kafka->away_since_us,
                               kafka->away_since_wall_us};
    if (kafka->refusing_since_us != 0 && !outage_is_explained(relay))
        return (struct outage){"KAFKA_REFUSES", "Kafka refuses everything", kafka->refusing_why,
                               kafka->refusing_since_us, kafka->refusing_since_wall_us};
    return (struct outage){0};
}

/* The same for the database. */
static struct outage
find_lasting(const struct relay *relay)
{
    struct outage outage = find_outage(relay);
    if (outage.error != NULL && relay->now_us - outage.since_us < LASTS_US)
        outage.error = NULL;
    return outage;
}

void
outage_turn(struct relay *relay)
{
    struct outage outage = find_lasting(relay);
    bool news = outage.error != NULL && relay->now_us - relay->outage_told_us >= RETELL_US &&
                strcmp(relay->outage_told_why, outage.why) != 0;
    if (outage.error != relay->outage_told || news)
        relay->trouble_told = false;
}

/* As the log writes moments. */
static const char *
since_when(const struct outage *outage, char text[SINCE_SIZE])
{
    struct tm utc;
    time_t seconds = (time_t)(outage->since_wall_us / 1000000);
    gmtime_r(&seconds, &utc);
    strftime(text, SINCE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

void
outage_text(const struct relay *relay, char *text, size_t size)
{
    struct outage outage = find_outage(relay);
    char since[SINCE_SIZE];
    text[0] = '\0';
    if (outage.error != NULL)
        snprintf(text, size, "%s since %s: %.400s", outage.says, since_when(&outage, since), outage.why);
}

struct json_t *
outage_tell(struct relay *relay)
{
    struct outage outage = find_lasting(relay);
    char since[SINCE_SIZE];
    relay->outage_told = outage.error;
    if (outage.error == NULL)
        return NULL;
    snprintf(relay->outage_told_why, sizeof relay->outage_told_why, "%s", outage.why);
    relay->outage_told_us = relay->now_us;
    json_t *object = json_object();
    fields_set_text(object, "error", outage.error);
    fields_set_text(object, "message", outage.why);
    fields_set_text(object, "since", since_when(&outage, since));
    return object;
}
