/* position.h: the position topic of a relay: one partition, compacted, in which each transaction of an exactly-once relay leaves, as
 * its last record, how far it is. So position and events are committed together or not at all. */
#ifndef OUTBOXD_KAFKA_POSITION_H
#define OUTBOXD_KAFKA_POSITION_H

#include "config/settings.h"
#include "event/event.h"

#include <stdbool.h>
#include <stdint.h>

/* Room for a topic's name: "outboxd-position-" and two names of 100 bytes at most (schema/001_outbox.sql). */
#define POSITION_TOPIC_SIZE 256
/* Brokers before 3.7 may take a late end of one transaction for that of the next. */
#define POSITION_BROKER_LEAST 307

/* The key of all its records, so that compaction keeps the newest. */
#define POSITION_KEY "position"

/* outboxd-position-<source>-<relay> */
void position_topic(const struct settings *settings, char name[POSITION_TOPIC_SIZE]);
/* outboxd-<source>-<relay>: who fences whom. */
void position_transactional_id(const struct settings *settings, char id[POSITION_TOPIC_SIZE]);

/* This topic was refused: a fault of topics names it, and says what a position topic needs. */
void position_explain(const char *topic, struct outcome *why);
/* If it was the transactional id that was refused: names it, and what it needs. */
void position_explain_id(const struct settings *settings, struct outcome *why);

/* What was found. */
struct position_found {
    char *text;       /* of the newest committed record, NUL-terminated; NULL: there is none. To be freed */
    char cluster[64]; /* Kafka's name of the cluster; "": not told */

    /* why the policy of the topic, and the version of a broker, could not be judged; "": they could */
    char policy_untold[100], version_untold[100];
};

/* What was believed without having been seen, and what lets it be seen (static text), for people. False: all was seen. */
#define POSITION_UNSEEN_SIZE 1000
bool position_explain_unseen(const char *topic, const struct position_found *found,
                             char what[POSITION_UNSEEN_SIZE], const char **cure);

#endif
