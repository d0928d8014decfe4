/* checker.h: judges the promises P1, P2 and P3: compares everything in Kafka with everything that the
 * database says was committed. It shares no code with the product (own murmur2, own header reading, own idea
 * of order).
 *
 *   expected events (ledger, or outbox.event)   records (consumer.h)
 *              \                                   /
 *               checker_judge() --> verdict: lost phantom duplicate reordered changed
 */
#ifndef OUTBOXD_TESTS_SUPPORT_CHECKER_H
#define OUTBOXD_TESTS_SUPPORT_CHECKER_H

#include "support/consumer.h"

#include <libpq-fe.h>
#include <stdio.h>

/* One committed event. Order is judged by two independent witnesses, each optional:
 *   counter   of a writer that locked the key's row and then emitted: must ascend within (topic, key)
 *   snapshot  taken by the writer just before it inserted: whatever xid is visible in it had committed
 * before, so its events of the same (topic, key) must come first (P2 word for word). */
struct expected_event {
    int64_t id;
    uint64_t xid;    /* events of one xid: in the order of their ids. 0: unknown */
    int64_t counter; /* 0: not of a locking writer */
    char *snapshot;  /* Postgres's xmin:xmax:xip,.. ; NULL: unknown */
    char *topic;
    struct bytes key, payload;
    char *headers; /* JSON text or NULL */
    int64_t created_at_us;
};

struct expected_events {
    struct expected_event *list; /* checker_judge sorts it by id */
    size_t count, capacity;
};

/* What is in outbox.event now (no witnesses but the xid). */
void expected_read_outbox(struct expected_events *events, PGconn *connection);

/* Any query giving id bigint, xid text, counter bigint, snapshot text, topic text, key bytea, payload bytea,
 * headers text, created_at_us bigint; load.h's ledger is read this way. */
void expected_read(struct expected_events *events, PGconn *connection, const char *query);
/* The journal of relay main says that every committed event is confirmed. */
bool expected_is_confirmed(PGconn *admin);
/* Nothing of it waits in a table. Asks for what was refused to be tried again; paused topics catch up by themselves. */
bool expected_nothing_waits(PGconn *admin);
struct expected_event *expected_add(struct expected_events *events); /* zeroed */
void expected_free(struct expected_events *events);

struct verdict {
    size_t expected, records;
    size_t lost;       /* committed, in no record */
    size_t phantom;    /* a record without a committed event */
    size_t duplicates; /* copies beyond the first */
    size_t
        duplicate_runs; /* over all partitions, of records with a key: in a re-sent run the copies follow each
                              other as the first ones did */
    size_t reordered;   /* first copies that stand before one which had to come first */
    size_t changed;     /* key, payload, headers, timestamp, partition, id or source not as inserted */
    size_t replayed;    /* records with the header `replay`: counted here and judged for their bytes only */
    char examples[4096]; /* the first findings in words */
};

/* `source` is the expected value of the header `source`. */
struct verdict checker_judge(struct expected_events *events, const struct records *records,
                             const char *source);

/* Nothing lost, phantom, reordered or changed. Duplicates are the caller's to judge: 0 in exactly-once or
 * when nothing was disturbed; runs <= disturbances x partitions otherwise. */
bool verdict_clean(const struct verdict *verdict);
void verdict_print(const struct verdict *verdict, FILE *to);

/* Reads topics (NULL-terminated) and judges; prints the verdict to stderr unless it is clean. */
struct verdict checker_compare(struct expected_events *events, const char *bootstrap,
                               const char *const *topics, const char *source);

/* The Java client's partition of a key (murmur2, sign bit cleared, modulo). */
int32_t checker_partition(struct bytes key, int32_t partition_count);

#endif
