/* handle.h: a librdkafka handle with several users: the producer, and questions asked beside it. The last one to let go destroys
 * it, in a thread of its own, since a broker thread may be held in the resolver and nobody waits for that. It counts the produce
 * requests that a broker has and has not answered. */
#ifndef OUTBOXD_KAFKA_HANDLE_H
#define OUTBOXD_KAFKA_HANDLE_H

#include "base/error.h"
#include "kafka/brokers.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

struct handle {
    rd_kafka_t *rk;
    struct brokers *brokers; /* watched by librdkafka's threads, as long as it lives */
    atomic_int users;
    atomic_int in_flight; /* produce requests, by librdkafka's threads */
    atomic_bool lost;     /* a connection went with requests in flight: `in_flight` is too high */
    atomic_int ends;      /* requests that end a transaction, sent since handle_count_ends() */
};

/* What is on its way to a broker. */
enum handle_traffic { HANDLE_IDLE, HANDLE_BUSY, HANDLE_UNKNOWN };

/* A producer with one user. Takes `conf` in any case. */
MUST_CHECK bool handle_open(struct handle **handle, rd_kafka_conf_t *conf, struct error *error);

/* One more user; returns `handle`. */
struct handle *handle_use(struct handle *handle);

/* One less. Never blocks. */
void handle_release(struct handle *handle);

/* Does a broker owe an answer to a produce request? */
enum handle_traffic handle_traffic(const struct handle *handle);

/* Every message was reported, so nothing is on its way: the count is known again. */
void handle_settled(struct handle *handle);

/* Counts the requests to end a transaction that are sent from now on. */
void handle_count_ends(struct handle *handle);
int handle_ends(const struct handle *handle);

/* Starts a thread that nobody waits for, without signals, like librdkafka's own: signals belong to the relay's thread. */
bool handle_thread(void *(*work)(void *argument), void *argument);

#endif
