/* kafka_sender.h: the smallest relay that can drive a producer: a list of events, sent in order within a window, in the
 * sequence that the relay uses. A failed report ends the instance; the next one sends what was not acknowledged, in smaller batches
 * up to the last suspect, and an event refused alone is parked. */
#ifndef OUTBOXD_TESTS_E2E_KAFKA_SENDER_H
#define OUTBOXD_TESTS_E2E_KAFKA_SENDER_H

#include "event/page.h"
#include "kafka/producer.h"
#include "support/consumer.h"
#include "support/kafka.h"

enum { SENDER_PROPERTIES = 4 };

struct sender {
    struct producer *producer;
    struct settings settings;
    struct property properties[SENDER_PROPERTIES];
    struct topic_table *topics;
    struct page *page;

    size_t next;  /* index of the next event to look at */
    size_t limit; /* events from this index on are not sent yet; 0: no limit */
    size_t done;  /* acknowledged or parked */
    bool *parked;
    size_t batch_events; /* the limit of the present instance; 0: none */
    size_t suspect;      /* index after the last event refused in a batch */
    size_t refused;      /* in batches of the present instance */
    size_t reports, event_faults, topic_faults, unsent;
    struct outcome last; /* the last outcome that was not good */
    int64_t retry_us;    /* after a topic's fault */
};

/* `broker`: NULL when `name` is bootstrap.servers. `name`, `value`: one more property, or NULL. */
struct sender *sender_new(const struct broker *broker, const char *name, const char *value);
void sender_free(struct sender *sender);

/* The next event: id = its index + 1, created now; bytes are copied, NULL stays NULL. All before the first sender_run(). */
struct event *sender_add(struct sender *sender, const char *topic, const void *key, size_t key_size,
                         const void *payload, size_t payload_size, const char *headers);
/* Event i of n: key "k<i % keys>", payload "<i>" padded with blanks to `size`. */
void sender_add_numbered(struct sender *sender, const char *topic, size_t count, size_t keys, size_t size);

/* One turn of the loop; waits for up to 20 ms when there is nothing to do. */
void sender_turn(struct sender *sender);

/* Turns until every event is acknowledged or parked; fails the test at the deadline. */
void sender_run(struct sender *sender, int timeout_ms);

/* Fails the test unless Kafka holds every event of the topic that is not parked, the first copies of a key in order, and
 * none twice unless `duplicates`. Wants events of sender_add_numbered(). */
void sender_check(const struct sender *sender, const struct broker *broker, const char *topic,
                  bool duplicates);

/* Denies one operation on a topic, still allows all others, and returns when the broker acts on it. */
void sender_deny(struct broker *broker, const char *topic, const char *operation);
/* Takes the denial back. */
void sender_allow(struct broker *broker, const char *topic);

#endif
