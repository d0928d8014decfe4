/* consumer.h: reads all events of one topic from its beginning, all partitions, as any Kafka consumer could.
 * Called by tail.c, which prints them, and check.c, which compares them with the database. */
#ifndef DEMO_CONSUMER_H
#define DEMO_CONSUMER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consumer {
    rd_kafka_t *client;
};

/* One event; the pointers live until received_free. */
struct received {
    rd_kafka_message_t *message; /* partition, offset, key and payload with their lengths */
    int64_t id;                  /* the header `id`; -1 when there is none or it is no number */
    const char *source;          /* the header `source`, "" when there is none */
    size_t source_size;
};

/* Waits up to 10 s for the topic. Says what is wrong on stderr. */
bool consumer_open(struct consumer *consumer, const char *brokers, const char *topic);

/* The next event, or false when none came within timeout_ms. Errors that pass (a broker is away) go to
 * stderr. */
bool consumer_next(struct consumer *consumer, int timeout_ms, struct received *event);

void received_free(struct received *event);
void consumer_close(struct consumer *consumer);

#endif
