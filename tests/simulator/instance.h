/* instance.h: an instance of the producer and what it has on its way. It outlives the process that made it, as its requests do in a
 * real network. Shared by producer.c, lane.c and transaction.c. */
#ifndef OUTBOXD_TESTS_SIMULATOR_INSTANCE_H
#define OUTBOXD_TESTS_SIMULATOR_INSTANCE_H

#include "kafka/producer.h"
#include "simulator/cluster.h"

struct process;

/* An event that was handed over and is not reported. */
struct ticket {
    struct event *event; /* the relay's */
    struct row *row;
    int topic;
    int64_t replay;
    int64_t lead; /* the epoch of its process, when it was handed over */
    struct ticket *next;
    struct outcome outcome; /* when it is to be reported */
};

struct tickets {
    struct ticket *first, *last;
    size_t count;
};

struct batch;

/* The events for one partition: one request at a time, the others wait behind it. */
struct lane {
    struct instance *instance;
    int number;
    struct tickets waiting;
    struct batch *flying;
    bool leaving; /* a batch is about to be made */
};

struct instance {
    int serial;
    struct process *process;
    bool over;   /* nobody waits for its answers any more */
    bool ending; /* nothing new leaves */
    bool exact;
    int epoch; /* exact: 0: not known yet */
    size_t batch_events;
    size_t out;
    struct lane lanes[MODEL_LANES];
    struct tickets reports; /* ready for the relay */
    bool failed;
    struct outcome failure;

    /* exact */
    bool started; /* init and position are in */
    struct position_found found;
    bool committing, committed; /* the commit was asked for; it was answered well */
    const char *position;       /* of this commit */
};

void instance_wake(const struct instance *instance);
void instance_fail(struct instance *instance, enum outcome_kind kind, const char *name);

/* lane.c */
void lane_send(struct instance *instance, const struct ticket *ticket);
/* What waits is reported unsent; with `flying`, what is under way too, whatever becomes of it. */
void lane_purge(struct lane *lane, bool flying);

/* transaction.c */
void transaction_begin(struct instance *instance);
void transaction_end(struct instance *instance, const char *position);

/* How long a request is on its way to a broker, or back. */
int64_t kafka_latency_us(void);
#endif
