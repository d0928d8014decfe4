/* relay_beside.h: work beside the stream for the stories of relay_story.h (story_options.copies): events that are refused, retried, given
 * up and copied, a topic that is paused and catches up, replays, all of it drawn from the story's seed; and the judgement of what the
 * story's own judge does not look at.
 *
 *   story_begin -> beside_begin -> beside_turn, as often as wanted -> beside_settle -> story_finish -> story_judge, beside_judge */
#ifndef OUTBOXD_TESTS_E2E_RELAY_BESIDE_H
#define OUTBOXD_TESTS_E2E_RELAY_BESIDE_H

#include "e2e/relay_story.h"

struct beside {
    struct story *story;
    PGconn *admin;
    const char *refusing, *paused; /* the story's two topics */
    bool denies;                   /* the broker has ACLs (BROKER_WITH_ACLS) */
    bool takes_less, denied;       /* what the topics are like now: asking Kafka takes its time */
    unsigned random;
    int pauses, denials;
};

/* What people asked for, and what came of it in Kafka. */
struct beside_verdict {
    int64_t retries, in_vain, discards; /* requests that are done: carried out; refused again */
    int64_t copies, copies_lost, copies_twice;
    int64_t uncopied; /* dead letters for which none was asked for, or several were made */
    int64_t replays, replayed, replayed_lost, replayed_twice; /* requests; records */
    int64_t strange; /* records of replays and copies that nobody asked for */
};

void beside_begin(struct beside *beside, struct story *story, bool denies);

/* One thing that somebody does; returns after some milliseconds. */
void beside_turn(struct beside *beside);

/* Emits an event that its topic refuses, as long as no turn has let it take more: it becomes a dead letter, or waits behind one. */
void beside_refuse(struct beside *beside);

/* Emits one that Kafka can never take; beside_settle discards it. */
void beside_refuse_for_good(struct beside *beside);

/* So many ids, up to the newest confirmed one, are to be replayed at this rate. */
void beside_replay(struct beside *beside, int64_t ids, int rate);

/* Everything is healed, resumed, retried, and what nobody will ever take is given up; returns when nothing waits any more. */
void beside_settle(struct beside *beside);

/* Of everything that Kafka holds. Expects what a relay promises of it: no copy of a dead letter and no event of a replay is missing, and exactly
 * once none is there twice. */
struct beside_verdict beside_judge(struct beside *beside);

void beside_end(struct beside *beside);

#endif
