/* topics.h: what is known about each topic in use: that it exists and may be written, and what its
 * configuration demands of a record. Asked before the first event of a topic and again every few minutes; an
 * instance of the producer is attached while it lives.
 *
 *   IDLE --topics_want--> ASKING --metadata and configuration--> KNOWN
 *    ^                       |                                    |
 *    |                       +--missing, not authorised--> FAULTY |        (attach: KNOWN -> ASKING, all in
 * one request)
 *    +-------------------topics_forget-----------------------+----+
 */
#ifndef OUTBOXD_KAFKA_TOPICS_H
#define OUTBOXD_KAFKA_TOPICS_H

#include "event/event.h"
#include "kafka/handle.h"
#include "kafka/message.h"
#include "kafka/opening.h"
#include "kafka/partitions.h"

#include <librdkafka/rdkafka.h>

struct topics;

enum topic_state { TOPIC_IDLE, TOPIC_ASKING, TOPIC_KNOWN, TOPIC_FAULTY };

struct topic_facts {
    const struct topic *topic;
    bool reserved; /* for the position of a relay */
    enum topic_state state;
    rd_kafka_topic_t *handle; /* of the instance attached; not NULL when KNOWN */
    struct message_limits limits;
    int64_t
        batch_bytes_learned; /* lowered when a full batch is refused and max.message.bytes may not be read */
    struct opening opening;  /* its partitions, when KNOWN */
    struct outcome fault;    /* FAULTY: why */
    bool asked;              /* part of the request under way */
    struct partitions partitions; /* what brokers said of them */
    int64_t min_in_sync;          /* min.insync.replicas; 1 when it may not be read */
    bool watched;                 /* topics_obstacle() wants to know how its partitions are */
    int64_t asked_us;             /* when it was asked about last */
    int64_t learned_us;           /* when that was answered */

    /* the producer's book-keeping, for its watchdog */
    size_t out;          /* events handed over and not reported */
    int64_t out_bytes;   /* of those, and of all that were handed over since there were none */
    int64_t progress_us; /* the last acknowledgement, or when the first event went out */
    bool stalled;        /* topics_stalled() found this one */
};

struct topics *topics_new(void);
void topics_free(struct topics *topics);

/* The record of a topic, made when it is new; stays valid. */
struct topic_facts *topics_facts(struct topics *topics, const struct topic *topic);
/* The same for a topic that has a record. */
struct topic_facts *topics_at(const struct topics *topics, size_t index);

/* A new instance of the producer: every topic that was known is asked about again, together. `wake_fd`
 * becomes readable when an answer is in. */
void topics_attach(struct topics *topics, struct handle *user, int wake_fd);
/* Gives back all that belongs to the instance; answers still out are dropped. */
void topics_detach(struct topics *topics);

/* IDLE -> ASKING. */
void topics_want(struct topics *topics, struct topic_facts *facts);
void topics_forget(struct topics *topics, struct topic_facts *facts);

/* A full batch was refused for its size. */
void topics_batch_refused(struct topic_facts *facts, int64_t batch_bytes);

/* Takes an answer, asks the next question; never blocks. Returns when it wants to be called again at the latest. */
int64_t topics_turn(struct topics *topics, int64_t now_us);

/* librdkafka does not come back from a question (30 s): no topic is asked about any more until there is another instance. */
bool topics_hang(const struct topics *topics, int64_t now_us);

/* Marks the topics that have something out and had no acknowledgement for `patience_us`; true when there are
 * any. The clock of a topic stands still while no broker is `answering`. */
bool topics_stalled(struct topics *topics, int64_t now_us, int64_t patience_us, bool answering);

/* An event of this topic has been out since before `since_us`: asks about it, again and again while this is called, and says what
 * stands in the way of the event as far as brokers have said since then. False: nothing that is known. */
bool topics_obstacle(struct topics *topics, struct topic_facts *facts, const struct event *event,
                     int64_t now_us, int64_t since_us, struct outcome *obstacle);

/* How large a batch may be for the sake of every topic in use; INT64_MAX when nothing limits it. */
int64_t topics_batch_bytes(const struct topics *topics);
/* The same for the sake of this one: what it takes; INT64_MAX where that is so little (below 16 KiB) that batches of others do not
 * become smaller for it. */
int64_t topic_batch_bytes(const struct topic_facts *facts);

/* May an event be handed over whose batch, alone, has so many bytes? Batches hold up to `batch_bytes`; false: with what is out
 * it could get into one that is larger than the topic takes, and waits until that is reported. */
bool topic_has_room(const struct topic_facts *facts, int64_t bytes, int64_t batch_bytes);
/* It was handed over. */
void topic_sent(struct topic_facts *facts, int64_t bytes);

#endif
