/* rebase_kafka.h: what Kafka has, held against what this database has: events that consumers know and the database has lost (phantoms),
 * events that are published although the journal does not say so, and ids that would be given twice. What follows from it is
 * decided in schema/007_failover.sql. For `outboxd rebase`; blocks.
 *
 *   rebase_position_look -> rebase_since -> rebase_kafka_begin -> rebase_kafka_add .. -> rebase_kafka_judge
 *     -> rebase_position_plan -> rebase_each_phantom -> rebase_position_run or rebase_pass_ids */
#ifndef OUTBOXD_POSTGRES_REBASE_KAFKA_H
#define OUTBOXD_POSTGRES_REBASE_KAFKA_H

#include "event/published.h"
#include "postgres/journal.h"
#include "postgres/rebase.h"

/* What the journal of a relay says. */
struct rebase_position {
    bool known; /* there is such a relay, and it lives */
    bool exact; /* it delivered exactly once, as far as `kafka` is known to be there */
    struct journal_position confirmed, kafka;
    char
        seen[100]; /* the same as the database says it; by it rebase_position_run() sees that a relay works */
    char others[40]; /* likewise of the others that deliver exactly once */
};
MUST_CHECK bool rebase_position_look(struct rebase *rebase, const char *relay,
                                     struct rebase_position *position, struct error *error);

/* What a position says of the journal that it was written by: ticks, and the row that it relies on (relay/record.h). */
struct rebase_history {
    const struct journal_name *names;
    size_t count;
    struct journal_name aside; /* seq 0: not known */
};

/* The newest of its ticks that the relay's journal has, too; -1: none, or what was put aside since is lost. */
MUST_CHECK bool rebase_common(struct rebase *rebase, const char *relay, const struct rebase_history *history,
                              int64_t *seq, struct error *error);

/* A topic of events that are here, or were put aside. */
struct rebase_topic {
    char *name;
    int64_t since_ms; /* ten minutes before what the relay has put aside; 0: nothing */
};
/* relay: who decides; NULL: nobody, and what is put aside is no matter. The caller frees each name and the list. */
MUST_CHECK bool rebase_topics(struct rebase *rebase, const char *relay, struct rebase_topic **topics,
                              size_t *count, struct error *error);

/* Since when something may be in Kafka of which this database does not know, ten minutes early for what took long to commit: what is
 * not confirmed (`position`), or what was open at the last promotion, as far as the journal remembers; 0: no promotion. */
MUST_CHECK bool rebase_since(struct rebase *rebase, const char *relay, bool position, int64_t *since_ms,
                             struct error *error);

/* Records go into a temporary table of this session; the sink's context is the rebase. */
MUST_CHECK bool rebase_kafka_begin(struct rebase *rebase, struct error *error);
MUST_CHECK bool rebase_kafka_add(void *rebase, const struct published *record, struct error *error);

struct rebase_found {
    int64_t records;  /* that were added */
    int64_t events;   /* of this database, among them */
    int64_t phantoms; /* ids that consumers know as those of events which are not in this database */
    int64_t reused;   /* ids that it gave to other events */
    int64_t untold;   /* ids whose event is not here, and may have been emptied by the retention */
    int64_t highest;  /* the largest id */
    int64_t sequence; /* the largest id that this database has given out */
};
MUST_CHECK bool rebase_kafka_judge(struct rebase *rebase, struct rebase_found *found, struct error *error);

/* A record of a phantom, or of an id that was given again. */
struct rebase_phantom {
    int64_t id, offset;
    int32_t partition;
    const char *topic, *created_at; /* a time as ISO 8601 has it */
    bool reused;
};
typedef void rebase_phantom_sink(void *context, const struct rebase_phantom *phantom);
/* In the order of their ids, `most` records at most; 0: all. */
MUST_CHECK bool rebase_each_phantom(struct rebase *rebase, int64_t most, rebase_phantom_sink *sink,
                                    void *context, struct error *error);

struct rebase_positioned {
    int64_t unconfirmed; /* events that the journal does not confirm; of a plan only */
    int64_t passed_over; /* events that Kafka had although the journal did not know it */
    int64_t renumbered;  /* new events that had ids which consumers know */
    int64_t retried;     /* dead letters and held events that it had */
};

/* What rebase_position_run() would do. No lock is in the way of writers, and none in that of a relay unless Kafka has its retries. */
MUST_CHECK bool rebase_position_plan(struct rebase *rebase, const char *relay, struct journal_position common,
                                     int64_t known, struct rebase_positioned *plan, struct error *error);

/* Declares the journal right, but for what Kafka has: up to `common`, and what was added. The next leader that delivers exactly once
 * writes that to the position topic. Ids up to `known` are given to no new event. Waits as rebase_run(). */
MUST_CHECK bool rebase_position_run(struct rebase *rebase, const char *relay,
                                    const struct rebase_position *looked, struct journal_position common,
                                    int64_t known, admin_listener *waits, void *context,
                                    struct rebase_positioned *done, struct error *error);

/* So far the id sequence is moved unless somebody says that it is right: more would be the work of some hours of the busiest outbox, or a
 * header that is forged or broken. As in outbox.sequence_pass. */
#define REBASE_IDS_AT_ONCE INT64_C(10000000)

/* Moves the id sequence to `id` at least, however far that is; nobody waits. */
MUST_CHECK bool rebase_pass_ids(struct rebase *rebase, int64_t id, struct error *error);

#endif
