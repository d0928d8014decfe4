/* stage.h: what a campaign runs on: a Postgres with a synchronous standby, three brokers, the fault proxy before all of them, and two
 * processes of one relay behind it; all of its own, so that everything can be killed. Shared by the files of tests/chaos. */
#ifndef OUTBOXD_TESTS_CHAOS_STAGE_H
#define OUTBOXD_TESTS_CHAOS_STAGE_H

#include "support/crashpoint.h"
#include "support/fproxy.h"
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"

#include <stdint.h>

#define STAGE_RELAYS 2
#define STAGE_TOPICS 2
#define STAGE_STANDBY "second" /* whichever server stands by */

/* A process of the relay. */
struct member {
    struct daemon *daemon;
    struct crashpoint *crashpoint;
    bool down;  /* on purpose, until who took it down starts it again */
    bool armed; /* started by a rule of crashpoint.so, which may end it */
    int hits;   /* of crashpoint.so before that rule */
};

struct stage {
    struct postgres *postgres, *standby; /* the two change places in a failover */
    struct broker *broker;
    struct fproxy *proxy;
    const char *database;
    const char *topics[STAGE_TOPICS + 1]; /* of the present round */
    struct member members[STAGE_RELAYS];
    bool exact;                       /* delivery: exactly-once, in the present round */
    uint64_t died;                    /* processes that ended by themselves, or not with 0 when asked to */
    long peak_rss_kib;                /* of any process */
    int64_t takeover_us, failover_us; /* the longest ones */
    int64_t started_us;
    void (*progress)(const struct stage *stage); /* called at each turn; NULL: nobody looks */
};

/* Everything is up when this returns, but no topic is there, and no process of the relay runs. */
void stage_open(struct stage *stage, unsigned seed);
void stage_close(struct stage *stage);

/* Seconds since the start, for the lines that are printed. */
double stage_seconds(const struct stage *stage);

/* Says something on stderr, with the time. */
void stage_say(const struct stage *stage, const char *format, ...) PRINTF_LIKE(2, 3);

/* One pause of some milliseconds; looks after the relays: one that has ended by itself is counted, shown and started again. False when
 * the moment (clock_monotonic_us) has passed. */
bool stage_turn(struct stage *stage, int64_t until_us);
void stage_wait(struct stage *stage, int ms);

/* Starts both processes, with the delivery that the stage says. */
void stage_start_relays(struct stage *stage);
/* Asks both to stop: they must exit with 0. */
void stage_stop_relays(struct stage *stage);

/* Who says that it leads; or STAGE_RELAYS. It asks no process that is down, nor `except`. */
int stage_leader(const struct stage *stage, int except);

/* kill -9; what the process needed of memory is remembered. */
void member_kill(struct stage *stage, struct member *member);
/* SIGTERM: another code than 0 is counted as a failure. */
void member_stop(struct stage *stage, struct member *member);
/* Starts it again when it is down. */
void member_again(struct member *member);
/* Starts it again by these rules of crashpoint.so. */
void member_arm(struct member *member, const char *rules);

/* How often its rule has struck. */
long member_hits(const struct member *member);

/* An administrator's session on the primary, which waits for no standby. The caller finishes it. */
PGconn *stage_admin(struct stage *stage);

#endif
