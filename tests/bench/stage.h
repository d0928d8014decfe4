/* stage.h: what a benchmark stands on: a private Postgres with a committed backlog, and brokers: librdkafka's mock or a
 * real Kafka. Failures end the run (tests/support). */
#ifndef OUTBOXD_TESTS_BENCH_STAGE_H
#define OUTBOXD_TESTS_BENCH_STAGE_H

#include "support/postgres.h"

#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <sys/types.h>

#define STAGE_DRAIN_TOPIC "drain"
#define STAGE_LATENCY_TOPIC "latency"
#define STAGE_POSITION_TOPIC                                                                                 \
    "outboxd-position-test-main" /* of the relay as tests/support/relay.h configures it */
#define STAGE_PARTITIONS 8
#define STAGE_PAYLOAD_BYTES 200
#define STAGE_KEY_BYTES 16
#define STAGE_EVENTS_A_TRANSACTION 1000 /* of a backlog */

/* What the environment says, unless it is empty. */
const char *stage_option(const char *name, const char *otherwise);

/* A line on standard error with the seconds since the first of them. */
__attribute__((format(printf, 1, 2))) void stage_progress(const char *format, ...);

/* ---- the outbox ---- */

struct outbox {
    struct postgres *postgres;
    bool beside; /* the server is another outbox's */
    const char *database;
    PGconn *admin;
};

/* A fresh server whose outbox holds `events` committed events of STAGE_DRAIN_TOPIC, nothing published. */
void outbox_open(struct outbox *outbox, int64_t events);
void outbox_close(struct outbox *outbox);

/* Another database with an empty outbox on the same server; close it before that one. */
void outbox_open_beside(struct outbox *outbox, const struct outbox *first);

/* Commits more of them, `at_once` in a transaction. */
void outbox_fill(struct outbox *outbox, int64_t events, int64_t at_once);

/* Nothing was ever published: the next relay starts at the first event. No relay may be running. */
void outbox_rewind(struct outbox *outbox);

/* Of an outbox that has had no relay: the first one starts behind what is there. */
void outbox_start_now(struct outbox *outbox);

const char *outbox_conninfo(const struct outbox *outbox, const char *user); /* lives as long as the outbox */

/* The server process that serves the relay; 0: none. */
pid_t outbox_relay_backend(const struct outbox *outbox);

/* ---- brokers ---- */

struct venue;

/* "mock" or "kafka", with both topics. */
struct venue *venue_open(const char *kind);
void venue_close(struct venue *venue);
const char *venue_kind(const struct venue *venue);
const char *venue_bootstrap(const struct venue *venue);

/* Throws away what a real broker holds of STAGE_DRAIN_TOPIC, so that its disk does not fill, and the position: the history of an outbox that
 * is rewound is another one. The mock keeps little. */
void venue_clear(struct venue *venue);

/* Sum of the end offsets of the partitions of a topic: one ListOffsets request. */
int64_t venue_end(rd_kafka_t *client, const char *topic);

/* A quiet client of the broker; `type` and `properties` (name, value .. NULL; may be NULL) as wished. */
rd_kafka_t *venue_client(const struct venue *venue, rd_kafka_type_t type, const char *const *properties,
                         void (*on_report)(rd_kafka_t *, const rd_kafka_message_t *, void *));

#endif
