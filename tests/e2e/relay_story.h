/* relay_story.h: what the end-to-end stories of the relay share: a database under the hostile load of load.h, topics, the
 * real daemon between them, and the judgement of everything that Kafka holds when the story is over.
 *
 *   story_begin -> story_start_load -> the disturbance, by the test itself -> story_finish -> story_judge -> story_end */
#ifndef OUTBOXD_TESTS_E2E_RELAY_STORY_H
#define OUTBOXD_TESTS_E2E_RELAY_STORY_H

#include "support/checker.h"
#include "support/fproxy.h"
#include "support/kafka.h"
#include "support/load.h"
#include "support/network.h"
#include "support/postgres_standby.h"
#include "support/relay.h"

#define STORY_TOPICS 2
#define STORY_PARTITIONS 3
/* Streams in which one disturbance may make a run of re-sent records. */
#define STORY_STREAMS ((size_t)STORY_TOPICS * STORY_PARTITIONS)
#define STORY_LEASE_MS 1000
/* Where another process waits, and a stall of the machine must not be a takeover. */
#define STORY_LONG_LEASE_MS ((int)(STORY_LEASE_MS * wait_patience()))
#define STORY_OVERRIDES 4

enum story_standby { STORY_ALONE, STORY_ASYNC, STORY_SYNC };

struct story_options {
    enum story_standby standby;    /* of a Postgres of its own; relay and load are told of both hosts */
    bool own_postgres, own_broker; /* for stories that stop or kill them; the suite's otherwise */
    const char *settings;          /* lines of postgresql.conf, of a Postgres of its own */
    int brokers;                   /* more than one: a cluster of its own; two replicas must have an event */
    const char *kafka;             /* a version of Kafka (broker_options), on a broker of its own */
    const char *properties;        /* lines of server.properties, of a broker of its own */
    const struct network *network; /* servers of its own, reached from there too */
    bool proxied;                  /* relays reach both servers, the broker their own, by story.proxy */
    uint32_t xids_left, epoch;     /* on a Postgres of its own: postgres_near_wraparound */
    int writers;                   /* 0: 8 */
    int keys;                      /* 0: 200 */
    int pause_us;                  /* between a writer's transactions */
    int lease_ms;                  /* 0: STORY_LEASE_MS */
    const char *const
        *overrides; /* further ones for each relay (relay.h), STORY_OVERRIDES at most, or NULL */
    bool exact;     /* delivery: exactly-once, under a source and with a position topic of its own */
    bool copies;    /* dead letters are copied to a topic of their own, story.copies */
};

struct story {
    struct postgres *postgres; /* the primary */
    struct postgres *standby;  /* NULL: none; after story_fail_over the old primary */
    struct broker *broker;
    struct fproxy *proxy; /* NULL unless proxied */
    const char *database;
    const char *topics[STORY_TOPICS + 1];
    const char *copies; /* NULL: none are made */
    struct daemon *relay;
    struct load_options load_options;
    struct load *load;
    unsigned seed;
    int lease_ms;
    const char *const *overrides;
    bool exact;
    const char *source; /* what the header `source` says */
};

/* Servers, a migrated database, topics, and the relay, which leads when this returns. `options` may be NULL. */
void story_begin(struct story *story, const struct story_options *options);

/* Another process of the same relay. The caller frees it. */
struct daemon *story_start_relay(struct story *story);

/* The same, which knows one server only, as one that was forgotten beside an old primary. */
struct daemon *story_start_relay_at(struct story *story, struct postgres *postgres);

/* The same on the other host of story_options.network. */
struct daemon *story_start_remote_relay(struct story *story, const struct network *network);

void story_start_load(struct story *story);

/* Returns when the load has committed so many events more. */
void story_await_events(struct story *story, uint64_t events);

/* Waits for a moment between the two, drawn from the story's seed. */
void story_await_moment(struct story *story, int from_ms, int to_ms);

int story_draw(struct story *story, int limit); /* 0 .. limit - 1 */

/* Returns when this process says that it leads. */
void story_await_lead(const struct daemon *relay);

/* Each time that a process takes the lead there is another one, also when it gives it back. */
int64_t story_newest_epoch(struct story *story);

/* Returns when it leads with a newer epoch than `epoch`: it was without Postgres in between. */
void story_await_epoch(const struct daemon *relay, double epoch);

/* The standby, which is up, takes writes from now on, and the two change places. */
void story_fail_over(struct story *story);

/* So many faults by a rule of the proxy (tests/fault/README.md), which is taken back then. */
void story_inflict(struct story *story, const char *rule, int faults);

/* The one request that a rule of the proxy holds goes on; it was held until now. */
void story_release(struct story *story);

/* Instances of the producer that the relay has made so far. */
double story_instances(const struct story *story);

/* A connection of the administrator; the caller finishes it. */
PGconn *story_admin(struct story *story);

/* Records that the story's topics hold, duplicates included. */
int64_t story_records(const struct story *story);

/* Returns when the journal says that everything committed before this call is confirmed; it asks Postgres, not the
 * daemon. */
void story_await_confirmed(struct story *story);

/* `relay` ends by itself with this exit code, and its log has the words of `cause` and `cure`. */
void story_expect_end(struct daemon *relay, int exit_code, const char *cause, const char *cure);

void story_stop_load(struct story *story);

/* Ends the load, awaits the confirmation of all that it committed, and stops `relay`: it must exit with 0. */
void story_finish(struct story *story, struct daemon *relay);

/* Compares all of Kafka with these events, or with all of the ledger. The verdict is printed, and must be clean (verdict_clean) in
 * story_judge. */
struct verdict story_compare(struct story *story, struct expected_events *events);
struct verdict story_judge(struct story *story);

/* Takes the story's servers and processes down. */
void story_end(struct story *story);

#endif
