/* load.h: writers as ugly as applications get, on the real grants of the writer role: savepoints, rollbacks,
 * prepared and long transactions, killed backends, synchronous_commit=off, COPY, multi-row VALUES, INSERT ..
 * SELECT, emit() and emit_bytes(), NULL, empty and binary keys and payloads, a writer that emits before it
 * locks. What was committed is in load.ledger, written by a trigger in the same transactions. */
#ifndef OUTBOXD_TESTS_SUPPORT_LOAD_H
#define OUTBOXD_TESTS_SUPPORT_LOAD_H

#include "support/checker.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct load;

/* The strings must outlive the load. */
struct load_options {
    const char *admin;         /* conninfo of a superuser: kills backends, resolves prepared transactions */
    const char *writer;        /* conninfo of the writer role */
    const char *const *topics; /* NULL-terminated */
    int writers;               /* threads; 0: 8 */
    int keys;                  /* distinct keys, shared by all writers; 0: 200 */
    uint64_t seed;             /* 0: from the clock, printed */
    bool no_kills;             /* leave backends alone */
    bool no_prepared;          /* no two-phase commit */
    int pause_us;              /* between transactions of one writer, to slow the load; 0: none */
};

struct load_totals {
    uint64_t committed, rolled_back, failed, prepared, kills; /* transactions; failed: killed or refused */
    uint64_t emitted; /* events, also of transactions that did not commit */
};

/* Makes schema load (counters, ledger, the trigger on outbox.event) in a migrated database. Once, before
 * load_start. */
void load_prepare(PGconn *admin);

/* Starts the threads; survives restarts of the server (it reconnects). */
struct load *load_start(const struct load_options *options);

/* Events in transactions that the writers know to be committed; for waiting on progress. */
uint64_t load_committed_events(const struct load *load);

/* Stops and joins every writer, resolves what is prepared (one in five rolled back), frees `load`. */
struct load_totals load_stop(struct load *load);
void load_totals_print(const struct load_totals *totals, FILE *to);

/* A few thousand events in one transaction, so that their page is read by COPY. */
void load_commit_many(PGconn *connection, const char *topic);

/* The ledger: every committed event with both witnesses of its order, but for those that somebody has given up. */
void load_read_ledger(struct expected_events *events, PGconn *connection);

/* The control: a poller of `id > last` in a thread, which loses events by design. Its "records" are what a
 * relay built like that would have published; checker_judge must find the loss. */
struct control;
struct control *control_start(const char *conninfo, const char *source);
void control_stop(struct control *control, struct records *records);

#endif
