/* producer.h: hands events to Kafka in order and reports what became of each. Hides the life of librdkafka
 * instances: any failed report ends the instance, and the next one starts from what was not acknowledged.
 *
 *   NONE --producer_start--> READY --failed report, fatal error, watchdog, producer_end--> ENDING --all
 * reports in--> NONE
 *
 * Exactly once, an instance is STARTING first: it fences the older ones and reads the position. Then what is handed over belongs to a
 * transaction, until producer_commit(); an instance that ends takes what was not committed with it.
 *
 * Never blocks. Not thread-safe: the relay's thread only. */
#ifndef OUTBOXD_KAFKA_PRODUCER_H
#define OUTBOXD_KAFKA_PRODUCER_H

#include "base/error.h"
#include "config/settings.h"
#include "event/event.h"
#include "kafka/position.h"

struct producer;

enum producer_state { PRODUCER_NONE, PRODUCER_STARTING, PRODUCER_READY, PRODUCER_ENDING };

/* One call an event, from inside producer_turn() only. The event is no longer referenced by librdkafka. The
 * callee only records: it may not call the producer. */
typedef void producer_report(void *context, struct event *event, const struct outcome *outcome);

/* Counters for the metrics, from librdkafka's own statistics (statistics.interval.ms) and from here. */
struct producer_statistics {
    uint64_t instances;      /* how many were made */
    uint64_t reports_failed; /* reports other than acknowledged and purged */
    int64_t queue_messages;  /* librdkafka: waiting or in flight */
    int64_t queue_bytes;
    uint64_t transmitted_bytes; /* librdkafka: this instance, to all brokers */
    uint64_t transmit_errors, transmit_retries;
    double broker_rtt_p99_seconds; /* slowest broker */
    int brokers_up;

    /* from its connections, as they are now (reports.c); moments are CLOCK_MONOTONIC and the clock on the wall */
    bool reached;          /* a broker was connected once, in the life of the producer */
    int64_t away_since_us; /* Kafka does not answer since then; 0: it does, as far as is known */
    int64_t away_since_wall_us;
    char away_why[400]; /* what was said last about a connection: "host:port: Connection refused" */

    /* from what it answers (reports.c) */
    int64_t refusing_since_us; /* Kafka takes nothing from anybody since then, as it says; 0: it does */
    int64_t refusing_since_wall_us;
    char refusing_why[400]; /* the last of them: "NAME: what is wrong; what helps" */
    bool unended; /* what it takes no producer for is a transaction of the last one, which it cannot end */
};

/* Checks every property with librdkafka and refuses those that would break a promise; all errors are reported
 * at once by kafka/properties.h before. No connection is made. `settings` must outlive the producer. */
MUST_CHECK bool producer_new(struct producer **producer, const struct settings *settings,
                             producer_report *report, void *context, struct error *error);

/* Ends what is left: purges, and waits up to 2 s (usually a few milliseconds) until librdkafka points into no page any
 * more; what was out is reported OUTCOME_UNSENT. The handle itself is destroyed in the background. NULL is allowed. */
void producer_free(struct producer *producer);

/* Readable (poll(2) POLLIN) when producer_turn() has something to do. Valid for the producer's life. */
int producer_fd(const struct producer *producer);

enum producer_state producer_state(const struct producer *producer);

/* Makes an instance: state NONE -> READY, or STARTING when it is `exact`. `batch_events`: so many events a batch at most, to find out
 * which one of a batch was refused; 0: as many as fit. */
MUST_CHECK bool producer_start(struct producer *producer, size_t batch_events, bool exact,
                               struct error *error);

/* READY and exact: what the position topic said when this instance began; the producer's. */
const struct position_found *producer_found(const struct producer *producer);

/* READY and exact, and everything was reported: commits what was handed over, with `position` as the last record. Nothing may be
 * handed over until producer_commits() has grown, or the instance is ending; then only the next one's producer_found() tells
 * whether it was committed. */
void producer_commit(struct producer *producer, const char *position, int64_t now_us);
uint64_t producer_commits(const struct producer *producer);
/* An instance of another shape is to follow, and waits for what was handed over to be committed. */
bool producer_wants_commit(const struct producer *producer);

/* Why the last instance ended, or is ending. */
const struct outcome *producer_failure(const struct producer *producer);

/* Ends the instance (READY -> ENDING): what has not left yet is purged; what a broker has is waited for as long as acknowledgements
 * may come, two seconds at most, and purged then. Every event without one is reported OUTCOME_UNSENT. `why` is logged. */
void producer_end(struct producer *producer, int64_t now_us, const char *why);

/* Secrets in the settings have changed. SASL credentials are handed to the present instance, whose next connections use them;
 * `anew`: another instance takes over once nothing is out. Later ones use them in any case. */
void producer_renew(struct producer *producer, bool anew);

/* Serves reports and answers that are ready, drives ENDING, runs the watchdog (a topic without any acknowledgement for
 * 120 s while something of it is out and a broker answers: its events come back as OUTCOME_TOPIC). Returns when it
 * wants to be called again at the latest (microseconds, CLOCK_NEVER when idle). */
int64_t producer_turn(struct producer *producer, int64_t now_us);

enum producer_sent {
    PRODUCER_SENT,    /* the event is out; a report will come */
    PRODUCER_FULL,    /* librdkafka's queue is full: turn, then again */
    PRODUCER_ASKING,  /* first event of its topic, a batch.size that no longer suits, another event opens this
                         one's partition (opening.h), or with those that are out it would be more than its topic
                         takes in a batch: turn, then again */
    PRODUCER_REFUSED, /* known without sending: `why` says the event's or the topic's fault; the instance goes
                         on */
    PRODUCER_FAILED,  /* the instance is ending; `why` says why */
};

/* State READY only. The event and its page must stay in place until its report. */
enum producer_sent producer_send(struct producer *producer, struct event *event, struct outcome *why);

/* Forgets what is known about a topic, so that the next send asks the broker again (after a topic's fault).
 */
void producer_forget_topic(struct producer *producer, const struct topic *topic);

/* What brokers say of a topic, before anything is sent to it: whether they know it and let us see it, and, when *why names that, whether its
 * partitions still have no leader or too few replicas in sync; not whether it may be written. Asks them when nothing is known, one question for
 * all topics that are looked at; then turn, and look again. LOOK_REFUSED: *why says what is in the way. */
enum producer_look { LOOK_ASKING, LOOK_FINE, LOOK_REFUSED };
enum producer_look producer_look(struct producer *producer, const struct topic *topic, struct outcome *why);

/* State READY. `event` is out and has been since before `since_us`, longer than it should: asks the brokers about its topic, every
 * two seconds while this is called, and says what stands in its way as far as they have answered since then (OUTCOME_TOPIC: too
 * few replicas in sync, no leader). False: nothing that is known. The event stays out, librdkafka goes on trying. */
bool producer_obstacle(struct producer *producer, const struct event *event, int64_t now_us, int64_t since_us,
                       struct outcome *obstacle);

/* Events handed over and not reported yet. */
size_t producer_out(const struct producer *producer);

const struct producer_statistics *producer_statistics(const struct producer *producer);

#endif
