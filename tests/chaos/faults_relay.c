/* faults_relay.c: what happens to the processes of the relay: killed, asked to stop, put to sleep, starved, given new secrets, and ended,
 * stopped or failed at a call of librdkafka or libpq. */
#include "chaos/faults.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* The process that says it leads, else any: a fault does not wait for a leader. */
static struct member *
leader(struct stage *stage, struct strike *strike)
{
    int leader = stage_leader(stage, STAGE_RELAYS);
    strike->at = leader < STAGE_RELAYS ? leader : (int)(strike->pick % STAGE_RELAYS);
    const struct member *other = &stage->members[(strike->at + 1) % STAGE_RELAYS];
    strike->led = leader < STAGE_RELAYS && !other->down && daemon_metric(other->daemon, "outbox_leader") == 0;
    snprintf(strike->victim, sizeof strike->victim, "process %d%s", strike->at + 1,
             leader < STAGE_RELAYS ? "" : ", which did not lead");
    return &stage->members[strike->at];
}

static struct member *
anyone(struct stage *stage, struct strike *strike)
{
    strike->at = (int)(strike->pick % STAGE_RELAYS);
    snprintf(strike->victim, sizeof strike->victim, "process %d", strike->at + 1);
    return &stage->members[strike->at];
}

static void
start_victim(struct stage *stage, struct strike *strike)
{
    member_again(&stage->members[strike->at]);
}

static void
start_both(struct stage *stage, struct strike *strike)
{
    (void)strike;
    for (int i = 0; i < STAGE_RELAYS; i++)
        member_again(&stage->members[i]);
}

static void
kill_leader(struct stage *stage, struct strike *strike)
{
    member_kill(stage, leader(stage, strike));
}

static void
kill_both(struct stage *stage, struct strike *strike)
{
    (void)strike;
    for (int i = 0; i < STAGE_RELAYS; i++)
        member_kill(stage, &stage->members[i]);
}

static void
stop_leader(struct stage *stage, struct strike *strike)
{
    member_stop(stage, leader(stage, strike));
}

/* As an upgrade does. */
static void
restart_each(struct stage *stage, struct strike *strike)
{
    for (int i = 0; i < STAGE_RELAYS; i++) {
        member_stop(stage, &stage->members[i]);
        member_again(&stage->members[i]);
        stage_wait(stage, strike->length_ms / STAGE_RELAYS);
    }
}

static void
sleep_of_leader(struct stage *stage, struct strike *strike)
{
    daemon_pause(leader(stage, strike)->daemon);
}

static void
sleep_of_anyone(struct stage *stage, struct strike *strike)
{
    daemon_pause(anyone(stage, strike)->daemon);
}

static void
wake_victim(struct stage *stage, struct strike *strike)
{
    daemon_continue(stage->members[strike->at].daemon);
}

/* A twentieth of the processor's time, in pieces of a turn. */
static void
starve(struct stage *stage, struct strike *strike)
{
    const struct member *victim = &stage->members[strike->at];
    if (victim->down)
        return;
    daemon_continue(victim->daemon);
    int64_t until_us = wait_deadline_us(3);
    while (wait_turn(until_us))
        ;
    daemon_pause(victim->daemon);
}

static void
hang_up_both(struct stage *stage, struct strike *strike)
{
    (void)strike;
    for (int i = 0; i < STAGE_RELAYS; i++)
        if (!stage->members[i].down)
            kill(daemon_pid(stage->members[i].daemon), SIGHUP);
}

/* ---- calls ---- */

/* Both begin again by the rule: whoever leads meets it, and then whoever takes over. */
static void
arm_both(struct stage *stage, struct strike *strike)
{
    kill_both(stage, strike);
    for (int i = 0; i < STAGE_RELAYS; i++)
        member_arm(&stage->members[i], strike->words);
}

static void
count_hits(struct stage *stage, struct strike *strike)
{
    strike->hits = 0;
    for (int i = 0; i < STAGE_RELAYS; i++)
        strike->hits += member_hits(&stage->members[i]);
}

/* A rule that has fired fires no more; one that has not would do so in another fault. */
static void
disarm_both(struct stage *stage, struct strike *strike)
{
    count_hits(stage, strike);
    for (int i = 0; i < STAGE_RELAYS; i++) {
        struct member *member = &stage->members[i];
        if (member_hits(member) > 0) {
            daemon_continue(member->daemon);
            continue;
        }
        member_kill(stage, member);
        member_again(member);
    }
}

static const struct fault faults[] = {
    /* name, weight, shortest and longest in ms, words, inject, during, heal, takeover */
    {"kill -9 of the leader", 8, 200, 4000, NULL, kill_leader, NULL, start_victim, true},
    {"kill -9 of both processes", 3, 100, 2000, NULL, kill_both, NULL, start_both, false},
    {"SIGTERM of the leader", 5, 0, 1000, NULL, stop_leader, NULL, start_victim, true},
    {"both restarted, one after the other", 2, 500, 3000, NULL, restart_each, NULL, NULL, false},
    {"SIGSTOP of the leader, beyond its lease", 5, 1500, 6000, NULL, sleep_of_leader, NULL, wake_victim,
     true},
    {"SIGSTOP of a process", 2, 50, 1500, NULL, sleep_of_anyone, NULL, wake_victim, false},
    {"a twentieth of the processor for the leader", 2, 2000, 6000, NULL, sleep_of_leader, starve, wake_victim,
     false},
    {"SIGHUP", 1, 0, 1000, NULL, hang_up_both, hang_up_both, NULL, false},
    {"ended or stopped at a call", 6, 4000, 9000,
     "{rd_kafka_new:{1..2}|rd_kafka_producev:{1..3000}|rd_kafka_queue_poll:{1..600}|PQconnectPoll:{1..6}|"
     "PQsendQuery:{1..20}|PQsendQueryPrepared:{1..400}|PQgetResult:{1..900}|PQgetCopyData:{1..3000}|"
     "rd_kafka_init_transactions:1|rd_kafka_consume:{1..3}|rd_kafka_begin_transaction:{1..60}|"
     "rd_kafka_commit_transaction:{1..60}}:{before|after}:{kill|kill|stop}",
     arm_both, count_hits, disarm_both, false},
    {"a call that takes long", 2, 4000, 9000,
     "{rd_kafka_producev:{1..3000}|rd_kafka_queue_poll:{1..600}|PQsendQueryPrepared:{1..400}|"
     "PQgetCopyData:{1..3000}|rd_kafka_commit_transaction:{1..60}}:{before|after}:delay={100..3000}",
     arm_both, count_hits, disarm_both, false},
    {"a call that fails", 3, 4000, 9000,
     "{rd_kafka_producev:{1..3000}:before:error=-195|PQconnectPoll:{1..6}:{before|after}:error|"
     "PQsendQueryPrepared:{1..400}:{before|after}:error|PQgetCopyData:{1..3000}:before:error|"
     "rd_kafka_init_transactions:1:{before|after}:error=-185|"
     "rd_kafka_begin_transaction:{1..60}:{before|after}:error=-185|"
     "rd_kafka_commit_transaction:{1..60}:{before|after}:error=-185}",
     arm_both, count_hits, disarm_both, false},
};

const struct fault_list faults_relay = {"relay", faults, sizeof faults / sizeof *faults};
