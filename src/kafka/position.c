/* position.c: what a relay that delivers exactly once is called in Kafka. */
#include "kafka/position.h"

#include <stdio.h>
#include <string.h>

void
position_topic(const struct settings *settings, char name[POSITION_TOPIC_SIZE])
{
    snprintf(name, POSITION_TOPIC_SIZE, POSITION_TOPIC_PREFIX "%s-%s", settings->source, settings->relay);
}

bool
position_is_topic(const char *name)
{
    return strncmp(name, POSITION_TOPIC_PREFIX, strlen(POSITION_TOPIC_PREFIX)) == 0;
}

void
position_transactional_id(const struct settings *settings, char id[POSITION_TOPIC_SIZE])
{
    snprintf(id, POSITION_TOPIC_SIZE, "outboxd-%s-%s", settings->source, settings->relay);
}
