/* faults.c: what a soak does to its stage: each fault is injected, lasts for a drawn time, and is healed before it returns, so that
 * the next one meets a system that is getting on again. Called by soak.c. */
#include "soak/stage.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>

int
stage_draw(struct stage *stage, int limit)
{
    /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = (stage->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (int)((z ^ (z >> 31)) % (uint64_t)limit);
}

double
stage_seconds(const struct stage *stage)
{
    return (double)(clock_monotonic_us() - stage->started_us) / 1e6;
}

/* A relay that has ended by itself is counted, shown and started again: the soak goes on to its verdict. */
static void
look_after(struct stage *stage, struct daemon *relay)
{
    if (daemon_running(relay))
        return;
    stage->died++;
    char *log = daemon_log(relay);
    fprintf(stderr, "soak: %7.1f s  a relay ended by itself with %d; its log:\n%s\n", stage_seconds(stage),
            daemon_wait_exit(relay, 1000), log);
    free(log);
    daemon_again(relay);
}

void
stage_rest(struct stage *stage, int from_ms, int to_ms)
{
    int64_t until_us =
        clock_monotonic_us() + INT64_C(1000) * (from_ms + stage_draw(stage, to_ms - from_ms + 1));
    while (wait_turn(until_us))
        ;
    for (int i = 0; i < STAGE_RELAYS; i++)
        look_after(stage, stage->relays[i]);
}

/* The process that says it leads, else any: a fault must not wait for a leader. */
static struct daemon *
leader(struct stage *stage)
{
    for (int i = 0; i < STAGE_RELAYS; i++)
        if (daemon_metric(stage->relays[i], "outbox_leader") == 1)
            return stage->relays[i];
    return stage->relays[stage_draw(stage, STAGE_RELAYS)];
}

static void
pause_ms(int ms)
{
    int64_t until_us = clock_monotonic_us() + INT64_C(1000) * ms;
    while (wait_turn(until_us))
        ;
}

/* ---- the relay ---- */

static void
kill_leader(struct stage *stage, int length_ms)
{
    struct daemon *relay = leader(stage);
    daemon_kill(relay);
    pause_ms(length_ms);
    daemon_again(relay);
}

static void
kill_both(struct stage *stage, int length_ms)
{
    for (int i = 0; i < STAGE_RELAYS; i++)
        daemon_kill(stage->relays[i]);
    pause_ms(length_ms / 2);
    for (int i = 0; i < STAGE_RELAYS; i++)
        daemon_again(stage->relays[i]);
}

static void
stop_leader(struct stage *stage, int length_ms)
{
    struct daemon *relay = leader(stage);
    int exit_code = daemon_terminate(relay);
    if (exit_code != 0) {
        stage->died++;
        fprintf(stderr, "soak: %7.1f s  a relay asked to stop ended with %d\n", stage_seconds(stage),
                exit_code);
    }
    pause_ms(length_ms / 4);
    daemon_again(relay);
}

static void
sleep_of_leader(struct stage *stage, int length_ms)
{
    struct daemon *relay = leader(stage);
    daemon_pause(relay);
    pause_ms(length_ms);
    daemon_continue(relay);
}

static void
sleep_of_any(struct stage *stage, int length_ms)
{
    struct daemon *relay = stage->relays[stage_draw(stage, STAGE_RELAYS)];
    daemon_pause(relay);
    pause_ms(length_ms);
    daemon_continue(relay);
}

static void
lose_backends(struct stage *stage, int length_ms)
{
    PGconn *admin = postgres_open(stage->postgres, "postgres", POSTGRES_ADMIN);
    for (int i = 0; i < 1 + length_ms / 500; i++) {
        postgres_exec(admin, "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'",
                      POSTGRES_RELAY);
        pause_ms(200);
    }
    PQfinish(admin);
}

/* ---- Postgres ---- */

static void
restart_postgres(struct stage *stage, int length_ms)
{
    postgres_stop_fast(stage->postgres);
    pause_ms(length_ms);
    postgres_up(stage->postgres);
}

static void
crash_postgres(struct stage *stage, int length_ms)
{
    postgres_kill(stage->postgres);
    pause_ms(length_ms / 2);
    postgres_up(stage->postgres);
}

static void
sleep_of_postgres(struct stage *stage, int length_ms)
{
    postgres_pause(stage->postgres);
    pause_ms(length_ms);
    postgres_continue(stage->postgres);
}

/* ---- Kafka ---- */

static void
crash_broker(struct stage *stage, int length_ms)
{
    broker_kill(stage->broker);
    pause_ms(length_ms);
    broker_up(stage->broker);
}

static void
restart_broker(struct stage *stage, int length_ms)
{
    broker_stop(stage->broker);
    pause_ms(length_ms);
    broker_up(stage->broker);
}

/* Longer than socket.timeout.ms at times: requests time out, and are answered all the same. */
static void
sleep_of_broker(struct stage *stage, int length_ms)
{
    broker_pause(stage->broker);
    pause_ms(4 * length_ms);
    broker_continue(stage->broker);
}

/* ---- two at once ---- */

static void
lose_everything(struct stage *stage, int length_ms)
{
    broker_kill(stage->broker);
    postgres_kill(stage->postgres);
    daemon_kill(leader(stage));
    pause_ms(length_ms);
    postgres_up(stage->postgres);
    broker_up(stage->broker);
    for (int i = 0; i < STAGE_RELAYS; i++)
        if (!daemon_running(stage->relays[i]))
            daemon_again(stage->relays[i]);
}

static void
kill_leader_without_broker(struct stage *stage, int length_ms)
{
    broker_kill(stage->broker);
    pause_ms(length_ms / 2);
    kill_leader(stage, length_ms / 2);
    broker_up(stage->broker);
}

static const struct fault {
    const char *name;
    void (*inject)(struct stage *stage, int length_ms);
    int weight;
} faults[] = {
    {"kill -9 of the leader", kill_leader, 4},
    {"kill -9 of both processes", kill_both, 2},
    {"SIGTERM of the leader", stop_leader, 3},
    {"SIGSTOP of the leader", sleep_of_leader, 3},
    {"SIGSTOP of any process", sleep_of_any, 1},
    {"backends terminated", lose_backends, 3},
    {"Postgres restarted", restart_postgres, 2},
    {"Postgres kill -9", crash_postgres, 2},
    {"Postgres SIGSTOP", sleep_of_postgres, 1},
    {"broker kill -9", crash_broker, 2},
    {"broker restarted", restart_broker, 1},
    {"broker SIGSTOP", sleep_of_broker, 2},
    {"broker and leader killed", kill_leader_without_broker, 1},
    {"broker, Postgres and leader killed", lose_everything, 1},
};

void
stage_disturb(struct stage *stage)
{
    int weights = 0, at = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        weights += faults[i].weight;
    int drawn = stage_draw(stage, weights), length_ms = 200 + stage_draw(stage, 3800);
    while (drawn >= faults[at].weight)
        drawn -= faults[at++].weight;
    double from_s = stage_seconds(stage);
    faults[at].inject(stage, length_ms);
    stage->faults++;
    printf("soak: %7.1f s  %s, %.1f s\n", from_s, faults[at].name, stage_seconds(stage) - from_s);
    fflush(stdout);
}
