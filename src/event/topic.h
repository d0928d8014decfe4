/* topic.h: the topics seen by this process, each once, so that an event carries a pointer instead of a name.
 * Only the relay's thread touches them; a topic lives as long as its table. */
#ifndef OUTBOXD_EVENT_TOPIC_H
#define OUTBOXD_EVENT_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pause;

struct topic {
    char *name;          /* a legal Kafka name: the table's CHECK saw to it */
    uint32_t index;      /* 0, 1, 2 .. in order of appearance: other rooms keep arrays by it */
    bool selected;       /* matches one of this relay's patterns: false = its events are passed over */
    struct pause *pause; /* the relay's, while the stream passes its events over; NULL: it is not paused */
    uint64_t published;  /* events acknowledged by Kafka since the start of the process */
    uint64_t published_bytes; /* their keys and payloads */
    uint64_t passed_over;     /* events of a topic that is not selected */
};

/* Kafka's names have 249 characters at most; and a NUL. */
#define TOPIC_NAME_SIZE 250

/* Whoever may insert events can name topics without end. Of those that are not selected, so many are kept apart; the events
 * of all others are counted together, under a name that no topic can have. */
#define TOPICS_PASSED_OVER 1000
#define TOPIC_OTHERS "(others)"

/* Relays that deliver exactly once keep their positions in topics of such names (kafka/position.h). No event may go there, or whoever
 * writes to an outbox could tell a relay where it is. */
#define TOPIC_RESERVED_PREFIX "outboxd-position-"
bool topic_is_reserved(const char *name);

struct topic_table;

/* `patterns` are shell patterns (fnmatch(3)), copied. */
struct topic_table *topic_table_new(char *const *patterns, size_t pattern_count);
void topic_table_free(struct topic_table *table);

/* The topic of that name, made when it is new; or TOPIC_OTHERS. `name` is shorter than TOPIC_NAME_SIZE, holds no NUL and need not end
 * in one. Never NULL. Remembers the last answer: runs of one topic cost a memcmp. */
struct topic *topic_intern(struct topic_table *table, const char *name, size_t size);

/* The same, but never TOPIC_OTHERS: for topics that somebody has named on purpose. */
struct topic *topic_intern_always(struct topic_table *table, const char *name, size_t size);

size_t topic_count(const struct topic_table *table);

/* index < topic_count(). */
struct topic *topic_at(const struct topic_table *table, size_t index);

#endif
