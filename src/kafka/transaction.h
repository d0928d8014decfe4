/* transaction.h: the transactions of one instance of an exactly-once producer. The calls of librdkafka that end one block, so they
 * are errands; anything but a success ends the instance, for then only a new one that reads the position again knows the truth.
 *
 *   STARTING --fenced the older ones, read the position--> OPEN <--> COMMITTING        any of them --> FAILED
 *
 * Not thread-safe: the relay's thread only. */
#ifndef OUTBOXD_KAFKA_TRANSACTION_H
#define OUTBOXD_KAFKA_TRANSACTION_H

#include "event/event.h"
#include "kafka/handle.h"
#include "kafka/position.h"

struct transaction;

enum transaction_state { TRANSACTION_STARTING, TRANSACTION_OPEN, TRANSACTION_COMMITTING, TRANSACTION_FAILED };

/* Begins to start: fences every older instance of the same transactional.id and ends its transaction, then reads the position, then
 * begins a transaction. `wake_fd` becomes readable when transaction_turn() has something to do. */
MUST_CHECK bool transaction_new(struct transaction **transaction, const struct settings *settings,
                                struct handle *handle, int wake_fd, struct error *error);

/* Lets go; a call that hangs keeps the handle until it comes back. NULL is allowed. */
void transaction_free(struct transaction *transaction);

/* Takes what came back. A call that does not come back in time has FAILED: librdkafka's own time-outs go by the clock on the wall. */
enum transaction_state transaction_turn(struct transaction *transaction, int64_t now_us);

enum transaction_state transaction_state(const struct transaction *transaction);

/* What was found when it started; valid from OPEN on, the transaction's. */
const struct position_found *transaction_found(const struct transaction *transaction);

/* FAILED: why. */
const struct outcome *transaction_failure(const struct transaction *transaction);

/* OPEN -> COMMITTING: writes the position as the last record of the transaction and commits. Every report of the others must be in, and
 * good. Then a new one is begun. False: the record was not taken, and the transaction is FAILED. */
MUST_CHECK bool transaction_commit_position(struct transaction *transaction, const char *position);

#endif
