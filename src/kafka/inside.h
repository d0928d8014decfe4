/* inside.h: the producer from within, for producer.c (its life), send.c (what goes through it) and producer_exact.c (its
 * transactions). */
#ifndef OUTBOXD_KAFKA_INSIDE_H
#define OUTBOXD_KAFKA_INSIDE_H

#include "kafka/instance.h"
#include "kafka/producer.h"
#include "kafka/reports.h"
#include "kafka/topics.h"
#include "kafka/transaction.h"

struct producer {
    const struct settings *settings;
    size_t source_size;
    bool compressed;
    bool counts_brokers; /* statistics are on */
    int wake_fd;

    enum producer_state state;
    struct instance instance;
    struct transaction *transaction; /* of an instance that delivers exactly once */
    size_t uncommitted;              /* records handed over since its last commit */
    uint64_t commits;                /* by all instances */
    bool unseen_told;                /* what of Kafka cannot be judged */
    struct topics *topics;
    struct reports reports;

    bool reshape; /* READY: an event needs another batch.size or message.max.bytes; waiting for out == 0 */
    int64_t message_bytes; /* message.max.bytes of the next instance: the largest that was needed so far */
    int64_t watchdog_us;   /* READY: when it looks next */
    int64_t begun_us;      /* READY: since when */
    int64_t ahead_us; /* READY: the clock on the wall against the monotonic one, when it was looked at last */
    bool set_back;    /* READY: it was set back since this instance began */
    int64_t end_us;   /* ENDING: since when */
    int64_t report_us; /* ENDING: when the last report came */
    int64_t purge_us;  /* ENDING: when what is left is purged at the latest */
    bool purged;       /* ENDING: it was; only the reports of that are to come */
};

/* So that the relay's poll() returns and the next turn comes at once. */
void producer_wake(const struct producer *producer);

/* The one place where the state changes; `why` is logged. */
void producer_set_state(struct producer *producer, enum producer_state to, const char *why);

/* Before the reports of a turn. */
void producer_turn_transaction(struct producer *producer, int64_t now_us);

#endif
