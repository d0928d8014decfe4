/* faults_postgres.c: what happens to Postgres: sessions end, the server ends, hangs, is replaced by its standby; locks, limits, and
 * transactions that are long, prepared or large. */
#include "chaos/faults.h"

#include "base/clock.h"
#include "support/postgres_standby.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Until a relay leads at the new primary; who does not by then is waited for at the end of the round. */
#define FAILOVER_MS 15000

/* ---- sessions ---- */

static void
end_sessions(struct stage *stage, struct strike *strike)
{
    (void)strike;
    PGconn *admin = stage_admin(stage);
    postgres_exec(admin, "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'",
                  POSTGRES_RELAY);
    PQfinish(admin);
}

static void
limit_sessions(struct stage *stage, struct strike *strike)
{
    PGconn *admin = stage_admin(stage);
    postgres_exec(admin, "alter role " POSTGRES_RELAY " connection limit %s", strike->words);
    PQfinish(admin);
    end_sessions(stage, strike);
}

static void
unlimit_sessions(struct stage *stage, struct strike *strike)
{
    (void)strike;
    PGconn *admin = stage_admin(stage);
    postgres_exec(admin, "alter role " POSTGRES_RELAY " connection limit -1");
    PQfinish(admin);
}

/* ---- the server ---- */

static void
stop_fast(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_stop_fast(stage->postgres);
}

static void
stop_immediate(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_stop_immediate(stage->postgres);
}

static void
kill_server(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_kill(stage->postgres);
}

static void
start_server(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_up(stage->postgres);
}

static void
hang(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_pause(stage->postgres);
}

static void
hang_no_more(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_continue(stage->postgres);
}

/* Whoever commits waits. */
static void
stop_standby(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_stop_immediate(stage->standby);
}

static void
start_standby(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_up(stage->standby);
    postgres_wait_for_standby(stage->postgres, STAGE_STANDBY);
}

/* ---- failover ---- */

static double
newest_epoch(const struct stage *stage)
{
    double newest = 0;
    for (int i = 0; i < STAGE_RELAYS; i++) {
        double epoch = stage->members[i].down ? 0 : daemon_metric(stage->members[i].daemon, "outbox_epoch");
        newest = epoch > newest ? epoch : newest;
    }
    return newest;
}

static bool
leads_anew(const struct stage *stage, double epoch)
{
    int leader = stage_leader(stage, STAGE_RELAYS);
    return leader < STAGE_RELAYS && daemon_metric(stage->members[leader].daemon, "outbox_epoch") > epoch;
}

static void
promote(struct stage *stage, struct strike *strike)
{
    struct postgres *promoted = stage->standby;
    double epoch = newest_epoch(stage);
    int64_t from_us = clock_monotonic_us(), end_us = wait_deadline_us(FAILOVER_MS);
    postgres_promote(promoted);
    stage->standby = stage->postgres;
    stage->postgres = promoted;
    if (!strike->alone)
        return;
    while (!leads_anew(stage, epoch) && stage_turn(stage, end_us))
        ;
    int64_t took_us = clock_monotonic_us() - from_us;
    stage->failover_us = took_us > stage->failover_us ? took_us : stage->failover_us;
    snprintf(strike->victim, sizeof strike->victim, "leads again %.1f s later", (double)took_us / 1e6);
}

static void
kill_and_promote(struct stage *stage, struct strike *strike)
{
    postgres_kill(stage->postgres);
    promote(stage, strike);
}

static void
stop_and_promote(struct stage *stage, struct strike *strike)
{
    postgres_stop_fast(stage->postgres);
    promote(stage, strike);
}

/* It comes up again, alone, for a moment: what it had flushed and its standby has not is visible there, and must not be published. */
static void
restart_and_promote(struct stage *stage, struct strike *strike)
{
    postgres_pause(stage->standby);
    stage_wait(stage, (int)(strike->pick % 1000));
    postgres_kill(stage->postgres);
    postgres_up(stage->postgres);
    stage_wait(stage, (int)(strike->pick % 3000));
    postgres_kill(stage->postgres);
    postgres_continue(stage->standby);
    promote(stage, strike);
}

/* The old primary hangs, and goes on beside the new one. */
static void
hang_and_promote(struct stage *stage, struct strike *strike)
{
    postgres_pause(stage->postgres);
    promote(stage, strike);
    postgres_continue(stage->standby);
}

static void
rebuild(struct stage *stage, struct strike *strike)
{
    (void)strike;
    postgres_rebuild_standby(stage->standby, stage->postgres, STAGE_STANDBY);
    postgres_wait_for_standby(stage->postgres, STAGE_STANDBY);
}

static void
kill_and_rebuild(struct stage *stage, struct strike *strike)
{
    postgres_kill(stage->standby);
    rebuild(stage, strike);
}

/* ---- locks and transactions ---- */

static void
open_session(struct stage *stage, struct strike *strike)
{
    strike->session = stage_admin(stage);
    postgres_exec(strike->session, "begin");
}

static void
lock_registry(struct stage *stage, struct strike *strike)
{
    open_session(stage, strike);
    postgres_exec(strike->session, "lock table outbox.relay in access exclusive mode");
}

static void
end_transaction(struct stage *stage, struct strike *strike)
{
    (void)stage;
    postgres_exec(strike->session, "commit");
    PQfinish(strike->session);
}

static void
emit_rows(const struct stage *stage, struct strike *strike, const char *rows)
{
    postgres_exec(strike->session,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 50),"
                  " convert_to('payload-' || g, 'UTF8') from generate_series(1, %s) g order by g",
                  stage->topics[strike->pick % STAGE_TOPICS], rows);
}

static void
open_transaction(struct stage *stage, struct strike *strike)
{
    open_session(stage, strike);
    emit_rows(stage, strike, "20");
}

static void
prepare_transaction(struct stage *stage, struct strike *strike)
{
    open_session(stage, strike);
    emit_rows(stage, strike, "20");
    postgres_exec(strike->session, "prepare transaction 'chaos'");
}

static void
end_prepared(struct stage *stage, struct strike *strike)
{
    (void)stage;
    postgres_exec(strike->session, "%s prepared 'chaos'", strike->words);
    PQfinish(strike->session);
}

static void
commit_many(struct stage *stage, struct strike *strike)
{
    open_session(stage, strike);
    emit_rows(stage, strike, strike->words);
    end_transaction(stage, strike);
}

static const struct fault faults[] = {
    /* name, weight, shortest and longest in ms, words, inject, during, heal, takeover */
    {"the relay's sessions terminated", 4, 0, 2000, NULL, end_sessions, end_sessions, NULL, false},
    {"too few connections allowed", 1, 1000, 6000, "{0..1}", limit_sessions, NULL, unlimit_sessions, false},
    {"stopped fast", 2, 0, 4000, NULL, stop_fast, NULL, start_server, false},
    {"stopped immediately", 2, 0, 4000, NULL, stop_immediate, NULL, start_server, false},
    {"kill -9", 3, 0, 4000, NULL, kill_server, NULL, start_server, false},
    {"hangs", 3, 300, 9000, NULL, hang, NULL, hang_no_more, false},
    {"the standby is away", 2, 500, 6000, NULL, stop_standby, NULL, start_standby, false},
    {"failover: primary killed", 3, 0, 4000, NULL, kill_and_promote, NULL, rebuild, false},
    {"failover: primary stopped", 1, 0, 4000, NULL, stop_and_promote, NULL, rebuild, false},
    {"failover: primary killed, alone for a moment, killed again", 2, 0, 4000, NULL, restart_and_promote,
     NULL, rebuild, false},
    {"failover: primary hangs, then there are two", 2, 1000, 6000, NULL, hang_and_promote, NULL,
     kill_and_rebuild, false},
    {"a lock on the registry", 2, 1000, 10000, NULL, lock_registry, NULL, end_transaction, false},
    {"a transaction stays open", 2, 5000, 20000, NULL, open_transaction, NULL, end_transaction, false},
    {"a transaction stays prepared", 1, 3000, 12000, "{commit|commit|rollback}", prepare_transaction, NULL,
     end_prepared, false},
    {"a large transaction", 2, 0, 2000, "{20..150}000", commit_many, NULL, NULL, false},
};

const struct fault_list faults_postgres = {"Postgres", faults, sizeof faults / sizeof *faults};
