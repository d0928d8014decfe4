/* cluster.h: Kafka, as far as the relay and its consumers can tell: the log of each partition, the position topic, and the coordinator
 * of the relay's transactions, which knows one epoch and one open transaction. Everything here is instantaneous; how requests come to
 * it, late or twice or never, is lane.c's and transaction.c's. */
#ifndef OUTBOXD_TESTS_SIMULATOR_CLUSTER_H
#define OUTBOXD_TESTS_SIMULATOR_CLUSTER_H

#include "event/event.h"
#include "simulator/database.h"
#include "simulator/model.h"

struct instance;

struct copy;

struct kafka_transaction {
    int epoch;
    enum fate fate;
    struct copy **copies;
    size_t count, capacity;
    const char *position; /* the last one in it; NULL: none */
};

/* A record of a partition. */
struct copy {
    struct row *row;
    int topic;      /* its own, or that of copies */
    int64_t replay; /* number of the request; 0: it is no replay */
    const struct instance *by;
    int64_t lead;                          /* of its process, in which it was handed over */
    struct kafka_transaction *transaction; /* NULL: of none */
};

struct kafka_log {
    struct copy **copies;
    size_t count, capacity;
};

struct position {
    const char *text;
    struct kafka_transaction *transaction;
};

struct cluster {
    bool down;
    int instances; /* of producers, so far */
    struct kafka_log logs[MODEL_LANES];
    struct position **positions;
    size_t positions_count, positions_capacity;
    int epoch;                         /* of the transactional.id: whoever has an older one is fenced */
    struct kafka_transaction *ongoing; /* NULL: there is none */
    int64_t faulty_until_us[MODEL_TOPICS + 1]; /* the topic takes nothing */
    int64_t poison_id;                         /* an event that is refused .. */
    int64_t poison_until_us;                   /* .. until then */
};

extern struct cluster cluster;

void cluster_begin(void);

/* InitProducerId: ends what is open, fences what is older, gives an epoch. */
int cluster_init(void);
/* What a read-committed consumer finds last in the position topic; NULL: nothing. */
const char *cluster_position(void);

/* The transaction of that epoch, begun when there is none; NULL: fenced. */
struct kafka_transaction *cluster_join(int epoch);
void cluster_append(int lane, const struct copy *copy);
void cluster_append_position(const char *text, struct kafka_transaction *transaction);
/* EndTxn: it names the epoch, not the transaction. False: fenced. */
bool cluster_commit(int epoch);

bool cluster_refuses(const struct row *row); /* now, for its own sake */
/* The limit that has refused this event is lowered further: those of its key before it, which may have been taken, are refused when they are sent
 * again, until somebody mends them. */
void cluster_tighten(const struct row *dead);
/* What the topic says to a record; OUTCOME_ACKNOWLEDGED: it takes it. */
enum outcome_kind cluster_verdict(int topic, struct row *row);

bool cluster_shows(const struct copy *copy); /* to a read-committed consumer */
/* The event itself, neither replayed nor a copy of a dead letter. */
bool cluster_is_first_hand(const struct copy *copy);

#endif
