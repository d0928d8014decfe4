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
#define STAGE_PARTITIONS 8
#define STAGE_PAYLOAD_BYTES 200
#define STAGE_KEY_BYTES 16

/* ---- the outbox ---- */

struct outbox {
    struct postgres *postgres;
    const char *database;
    PGconn *admin;
};

/* A fresh server whose outbox holds `events` committed events of STAGE_DRAIN_TOPIC, nothing published. */
void outbox_open(struct outbox *outbox, int64_t events);
void outbox_close(struct outbox *outbox);

/* Nothing was ever published: the next relay starts at the first event. No relay may be running. */
void outbox_rewind(struct outbox *outbox);

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

/* Throws away what a real broker holds of STAGE_DRAIN_TOPIC, so that its disk does not fill; the mock keeps little. */
void venue_clear(struct venue *venue);

/* Sum of the end offsets of the partitions of a topic: one ListOffsets request. */
int64_t venue_end(rd_kafka_t *client, const char *topic);

/* A quiet client of the broker; `type` and `properties` (name, value .. NULL; may be NULL) as wished. */
rd_kafka_t *venue_client(const struct venue *venue, rd_kafka_type_t type, const char *const *properties,
                         void (*on_report)(rd_kafka_t *, const rd_kafka_message_t *, void *));

#endif
