/* relay_setup.h: the scene of the stories in relay_bytes, relay_limits, relay_refused, relay_stuck and relay_doors: a
 * database with the outbox, topics of its own, one relay on the real binary; and the judgement at the end. */
#ifndef OUTBOXD_TESTS_E2E_RELAY_SETUP_H
#define OUTBOXD_TESTS_E2E_RELAY_SETUP_H

#include "support/checker.h"
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"
#include "support/wait.h"

#include <criterion/criterion.h>

#define SETUP_TOPICS 8

struct setup {
    struct postgres *postgres;
    struct broker *broker;
    const char *database;
    PGconn *admin; /* superuser */
    PGconn *app;   /* the writer role */
    const char *topics[SETUP_TOPICS + 1];
    size_t topic_count;
    struct daemon *relay; /* NULL until setup_run or setup_start */
    const char *source;   /* what the header `source` says */
    char position[300];   /* the position topic, after setup_exact */
};

/* On the suite's servers, or on those of the test, which the setup then owns. */
struct setup setup_begin(void);
struct setup setup_begin_on(struct postgres *postgres, struct broker *broker);

/* On a database that exists and is migrated. */
struct setup setup_begin_in(struct postgres *postgres, struct broker *broker, const char *database);

/* A topic that is judged at the end; `configs` as in broker_create_topic. */
const char *setup_topic(struct setup *setup, const char *name, int partitions, const char *const *configs);
/* The name only: the topic is not made. */
const char *setup_missing_topic(struct setup *setup, const char *name);

/* The relay is to deliver exactly once, under a source of its own: on a broker that is shared, position topic and transactional.id go
 * by it. Returns overrides for that, which live as long as `setup`; `create`: makes the position topic. */
const char *const *setup_exact(struct setup *setup, bool create);
/* The same source, and at least once. */
const char *const *setup_inexact(struct setup *setup);

/* These overrides (NULL: none) and one more; they live until the next call. */
const char *const *setup_and(const char *const *overrides, const char *one);

/* Starts the relay with overrides (relay.h; may be NULL); setup_run waits until it is ready. */
void setup_start(struct setup *setup, const char *const *overrides);
void setup_run(struct setup *setup, const char *const *overrides);

/* Starts the relay, which must end by itself with this exit code and name `cause` and `cure` (NULL: none) in its log. */
void setup_expect_refusal(struct setup *setup, const char *const *overrides, int exit_code, const char *cause,
                          const char *cure);
/* The same of a relay that runs. */
void setup_expect_end(struct setup *setup, int exit_code, const char *cause, const char *cure);

/* `outboxd check` with the relay's configuration, and with this flag or NULL: how it ends, and two things that it prints. */
void setup_expect_check(const struct setup *setup, const char *flag, int exit_code, const char *text,
                        const char *cure);

/* `outboxd rebase --yes`, with one more option or NULL (and the relay's configuration with --position), as the administrator; it must print `out`. */
void setup_rebase(struct setup *setup, const char *option, const char *out);

/* From now on the relay's rows say that nothing more is confirmed. */
void setup_hold_confirmations(struct setup *setup);
/* Then the relay is killed with -9: Kafka has more than the journal knows. */
void setup_kill_unconfirmed(struct setup *setup);

/* True when the journal says that every committed event is confirmed. */
bool setup_confirmed(struct setup *setup);
/* Waits for that. */
void setup_wait_confirmed(struct setup *setup, int timeout_ms);
/* How many records all topics hold now. */
int64_t setup_count(const struct setup *setup);

/* Compares the topics with outbox.event, but for the events that are in a table of the outbox: dead_letter or discarded. */
struct verdict setup_compare(struct setup *setup, const char *aside);
/* The same but for what was discarded: nothing lost, phantom, reordered or changed. Returns the verdict, for its duplicates. */
struct verdict setup_judge(struct setup *setup);
/* Waits until all is confirmed; then every event must be there exactly once. */
void setup_expect_all_once(struct setup *setup, int timeout_ms);

/* The relay, which delivers exactly once with this override, is killed with -9 amid many transactions, a few times; the next process goes on,
 * and every event must be there once. */
#define SETUP_SMALL_TRANSACTIONS "transaction/events=20"
void setup_expect_all_once_over_kills(struct setup *setup, const char *topic);

/* I6: RSS <= 64 MiB + memory + 3 x the largest event, at every moment of the relay's life so far. */
void setup_expect_memory(const struct setup *setup, long memory_kib, long largest_event_kib);

/* Ends the relay, which must stop cleanly when it still runs. */
void setup_end(struct setup *setup);

/* A pool of random bytes and test_bytes(size, n), for payloads that neither Postgres nor Kafka can compress. Admin only. */
void setup_make_bytes(struct setup *setup);

#endif
