/* load_writer.h: what the files of the load share; tests include load.h. */
#ifndef OUTBOXD_TESTS_SUPPORT_LOAD_WRITER_H
#define OUTBOXD_TESTS_SUPPORT_LOAD_WRITER_H

#include "support/load.h"

#include <pthread.h>
#include <stdatomic.h>

/* Keys of the locking writers are 0 .. options.keys - 1; each long transaction has a key of its own from here
 * on. */
#define LOAD_KEYS_MAX 10000

struct load;

struct writer {
    struct load *load;
    pthread_t thread;
    int number;
    uint64_t random;
    PGconn *connection;       /* NULL: to be made */
    char topic[256];          /* of the event being emitted */
    uint64_t prepared_so_far; /* makes gids differ */
    uint64_t emitted_in_transaction;
    struct load_totals totals; /* read after the thread was joined */
};

struct load {
    struct load_options options;
    size_t topic_count;
    atomic_bool stop;
    atomic_uint_fast64_t committed_events;
    struct writer *writers;
    size_t writer_count;
    struct writer killer, long_writer;
};

/* xorshift64*: the load's own, so that a seed gives the same decisions everywhere. */
uint64_t writer_random(struct writer *writer);
/* Below `limit`. */
int writer_draw(struct writer *writer, int limit);
/* True `percent` times in a hundred. */
bool writer_chance(struct writer *writer, int percent);
/* Up to `limit_us`, less when the load is stopped. */
void writer_dawdle(struct writer *writer, int limit_us);

/* Runs SQL on the writer's connection: false when it failed for a reason that a hostile load brings about
 * itself (killed, server restarting, lock time-out, deadlock); anything else fails the test. *value (may be
 * NULL) gets the first column of the first row as an integer. */
bool writer_run(struct writer *writer, const char *sql, int64_t *value);

/* A connection, or false when the load was stopped before there was one. */
bool writer_connect(struct writer *writer);

/* load_emit.c: emits `rows` events of key number `key` in a random way; the ledger gets `counter` (0: none)
 * and a snapshot taken now. */
bool writer_emit(struct writer *writer, int key, int rows, int64_t counter);
/* Events without a key. */
bool writer_emit_keyless(struct writer *writer);

/* One transaction of a writer with its ending. */
void writer_transaction(struct writer *writer);
/* A transaction that stays open for seconds. */
void writer_long_transaction(struct writer *writer);

#endif
