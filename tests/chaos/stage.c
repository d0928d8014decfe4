/* stage.c: the servers and processes of a campaign: how they come, how they go, and who looks after them (stage.h). Disturbs nothing by
 * itself. */
#include "chaos/stage.h"

#include "base/clock.h"
#include "support/load.h"
#include "support/postgres_standby.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ring goes round in six minutes; what is confirmed stays for two. */
#define SLOT_WIDTH_US (INT64_C(30) * 1000000)
#define POSITION_TOPIC "outboxd-position-" DAEMON_SOURCE "-" DAEMON_RELAY
#define TURNS 10 /* between two looks after the relays */

/* A standby that was away catches up at once, however much was written. */
static const char postgres_settings[] =
    "wal_keep_size = '4GB'\nwal_retrieve_retry_interval = '200ms'\ncheckpoint_timeout = '30min'";

/* Whatever is acknowledged is on two brokers of three, transactions included; leaders go back to the brokers that they came from, so
 * that they move without a fault, too. */
static const char broker_settings[] = "transaction.state.log.replication.factor=3\n"
                                      "transaction.state.log.min.isr=2\n"
                                      "min.insync.replicas=2\n"
                                      "replica.lag.time.max.ms=3000\n"
                                      "leader.imbalance.check.interval.seconds=15\n"
                                      "leader.imbalance.per.broker.percentage=0\n";

double
stage_seconds(const struct stage *stage)
{
    return (double)(clock_monotonic_us() - stage->started_us) / 1e6;
}

void
stage_say(const struct stage *stage, const char *format, ...)
{
    va_list arguments;
    flockfile(stderr);
    fprintf(stderr, "chaos: %7.1f s  ", stage_seconds(stage));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
}

PGconn *
stage_admin(struct stage *stage)
{
    PGconn *admin = postgres_open(stage->postgres, stage->database, POSTGRES_ADMIN);
    postgres_exec(admin, "set synchronous_commit = local");
    return admin;
}

/* ---- the processes of the relay ---- */

static void
remember_memory(struct stage *stage, const struct member *member)
{
    long rss_kib = daemon_peak_rss_kib(member->daemon);
    stage->peak_rss_kib = rss_kib > stage->peak_rss_kib ? rss_kib : stage->peak_rss_kib;
}

void
member_kill(struct stage *stage, struct member *member)
{
    if (member->down)
        return;
    remember_memory(stage, member);
    member->down = true;
    daemon_kill(member->daemon);
}

void
member_stop(struct stage *stage, struct member *member)
{
    remember_memory(stage, member);
    member->down = true;
    int exit_code = daemon_terminate(member->daemon);
    if (exit_code == 0 || (member->armed && exit_code == 128 + SIGKILL))
        return;
    stage->died++;
    stage_say(stage, "a relay that was asked to stop ended with %d", exit_code);
}

void
member_again(struct member *member)
{
    if (!member->down)
        return;
    daemon_again(member->daemon);
    member->down = member->armed = false;
}

void
member_arm(struct member *member, const char *rules)
{
    member->hits = crashpoint_hits(member->crashpoint, "action=");
    crashpoint_set(member->crashpoint, rules);
    member_again(member);
    crashpoint_unset();
    member->armed = true;
}

long
member_hits(const struct member *member)
{
    return crashpoint_hits(member->crashpoint, "action=") - member->hits;
}

static void
look_after(struct stage *stage, struct member *member)
{
    if (member->down)
        return;
    remember_memory(stage, member);
    if (daemon_running(member->daemon))
        return;
    int exit_code = daemon_wait_exit(member->daemon, 1000);
    member->down = true;
    if (!member->armed || exit_code != 128 + SIGKILL) {
        stage->died++;
        char *log = daemon_log(member->daemon);
        stage_say(stage, "a relay ended by itself with %d; its log:\n%s", exit_code, log);
        free(log);
    }
    member_again(member);
}

bool
stage_turn(struct stage *stage, int64_t until_us)
{
    bool more = true;
    for (int i = 0; i < TURNS && more; i++)
        more = wait_turn(until_us);
    for (int i = 0; i < STAGE_RELAYS; i++)
        look_after(stage, &stage->members[i]);
    if (stage->progress != NULL)
        stage->progress(stage);
    return more;
}

void
stage_wait(struct stage *stage, int ms)
{
    int64_t until_us = clock_monotonic_us() + INT64_C(1000) * ms;
    while (stage_turn(stage, until_us))
        ;
}

int
stage_leader(const struct stage *stage, int except)
{
    int at = 0;
    while (at < STAGE_RELAYS && (at == except || stage->members[at].down ||
                                 daemon_metric(stage->members[at].daemon, "outbox_leader") != 1))
        at++;
    return at;
}

static void
make_member(struct stage *stage, struct member *member)
{
    static const char *const overrides[] = {
        "lease=1s", "memory=16MiB", "retention=2m", "delivery=at-least-once", "dead_letter/policy=stop",
        NULL};
    const struct daemon_options options = {
        .conninfo = fproxy_conninfo(stage->proxy, stage->database, POSTGRES_RELAY),
        .bootstrap = fproxy_bootstrap(stage->proxy),
        .overrides = overrides,
    };
    member->crashpoint = crashpoint_new();
    member->daemon = daemon_start(&options);
    daemon_kill(member->daemon);
    member->down = true;
}

static void
choose_delivery(const struct stage *stage, const struct member *member)
{
    static const char *const deliveries[] = {"delivery: at-least-once", "delivery: exactly-once"};
    const char *path = daemon_config_path(member->daemon);
    char *text = scratch_read_file(path);
    if (strstr(text, deliveries[stage->exact]) == NULL)
        scratch_replace_in_file(path, deliveries[!stage->exact], deliveries[stage->exact]);
    free(text);
}

void
stage_start_relays(struct stage *stage)
{
    for (int i = 0; i < STAGE_RELAYS; i++) {
        choose_delivery(stage, &stage->members[i]);
        member_again(&stage->members[i]);
    }
    for (int i = 0; i < STAGE_RELAYS; i++)
        daemon_wait_ready(stage->members[i].daemon);
}

void
stage_stop_relays(struct stage *stage)
{
    for (int i = 0; i < STAGE_RELAYS; i++)
        member_stop(stage, &stage->members[i]);
}

/* ---- the servers ---- */

static void
open_postgres(struct stage *stage)
{
    stage->postgres = postgres_start(postgres_settings);
    stage->database = postgres_create_ring(stage->postgres, SLOT_WIDTH_US);
    PGconn *admin = stage_admin(stage);
    load_prepare(admin);
    PQfinish(admin);
    stage->standby = postgres_start_standby(stage->postgres, STAGE_STANDBY);
    postgres_wait_for_standby(stage->postgres, STAGE_STANDBY);
}

void
stage_open(struct stage *stage, unsigned seed)
{
    stage->started_us = clock_monotonic_us();
    open_postgres(stage);
    stage->proxy = fproxy_new(BROKER_NODES);
    stage->broker = broker_start_cluster(
        BROKER_NODES,
        &(struct broker_options){.properties = broker_settings, .proxied = fproxy_kafka_ports(stage->proxy)});
    fproxy_add_postgres(stage->proxy, stage->standby);
    fproxy_start(stage->proxy, stage->broker, stage->postgres, seed);
    broker_create_topic(stage->broker, POSITION_TOPIC, 1,
                        (const char *[]){"cleanup.policy", "compact", NULL});
    for (int i = 0; i < STAGE_RELAYS; i++)
        make_member(stage, &stage->members[i]);
}

void
stage_close(struct stage *stage)
{
    for (int i = 0; i < STAGE_RELAYS; i++) {
        daemon_free(stage->members[i].daemon);
        crashpoint_free(stage->members[i].crashpoint);
    }
    fproxy_free(stage->proxy);
    broker_free(stage->broker);
    postgres_free(stage->standby);
    postgres_free(stage->postgres);
}
