/* consumer.h: the records of one topic, as a member of a consumer group, one at a time. Knows librdkafka, and of the outbox only the
 * headers `id` and `source`. */
#ifndef EXAMPLE_WELCOME_CONSUMER_H
#define EXAMPLE_WELCOME_CONSUMER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CONSUMER_ABSENT_S =
        300, /* max.poll.interval.ms: who does not call consumer_next for so long is taken for dead */
    CONSUMER_AGAIN_S = 10, /* what consumer_again may take */
};

struct consumer {
    rd_kafka_t *client;
};

struct consumer_options {
    const char *brokers, *group, *topic;
    const char *const
        *properties; /* further ones of librdkafka, NAME=VALUE; not those that consumer.c needs */
    int property_count;
};

/* One record. Valid until consumer_done or consumer_again. */
struct received {
    rd_kafka_message_t *message;
    int64_t id;       /* the header `id`; 0 when the headers are not those of an outbox */
    char source[101]; /* the header `source`, a name of [A-Za-z0-9._-] */
};

/* Returns at once, whether the brokers are there or not; what goes wrong with them later, librdkafka says on stderr and goes on. False:
 * a property is wrong; `why` says which. */
bool consumer_open(struct consumer *consumer, const struct consumer_options *options, char why[512]);

/* The next record, or false when none came within timeout_ms. To be called at least every CONSUMER_ABSENT_S, or
 * the group gives the partitions to others, in the middle of a mail perhaps. */
bool consumer_next(struct consumer *consumer, int timeout_ms, struct received *received);

/* The record is worked on and need not come again. Does not wait: a commit that is lost brings the record again. */
void consumer_done(struct consumer *consumer, struct received *received);

/* The record is to come again, before the later ones of its partition. False: that is not to be had here any more, for librdkafka or the group
 * are in its way; a consumer that is closed and opened begins at what is done, so there it does. */
bool consumer_again(struct consumer *consumer, struct received *received);

void consumer_close(struct consumer *consumer); /* also of one that could not be opened */

#endif
