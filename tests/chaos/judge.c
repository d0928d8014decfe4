/* judge.c: judges a round by the checker of all tests (support/checker.h), and keeps what a failed one leaves (judge.h). */
#include "chaos/judge.h"

#include "support/evidence.h"
#include "support/load.h"
#include "support/wait.h"

/* Kafka's own time-outs, the longest lease that a thin link asks for, and a backlog of half a minute fit in. */
#define CONFIRM_MS 120000

static bool
all_confirmed(void *context)
{
    struct stage *stage = context;
    stage_wait(stage, 100);
    PGconn *admin = stage_admin(stage);
    bool confirmed = expected_nothing_waits(admin) && expected_is_confirmed(admin);
    PQfinish(admin);
    return confirmed;
}

bool
judge_await_confirmed(struct stage *stage)
{
    bool confirmed = wait_until(all_confirmed, stage, CONFIRM_MS);
    if (!confirmed)
        stage_say(stage, "not everything is confirmed %d s after the last fault", CONFIRM_MS / 1000);
    return confirmed;
}

bool
judge_good(const struct stage *stage, const struct verdict *verdict)
{
    return verdict_clean(verdict) && (!stage->exact || verdict->duplicates == 0);
}

struct verdict
judge_round(struct stage *stage, const char *evidence)
{
    struct expected_events events = {0};
    struct records records = {0};
    PGconn *admin = stage_admin(stage);
    load_read_ledger(&events, admin);
    consumer_read_all(&records, broker_bootstrap(stage->broker), stage->topics, true);
    struct verdict verdict = checker_judge(&events, &records, DAEMON_SOURCE);
    if (!judge_good(stage, &verdict)) {
        verdict_print(&verdict, stderr);
        evidence_keep(evidence, &events, &records, admin);
    }
    records_free(&records);
    expected_free(&events);
    PQfinish(admin);
    return verdict;
}

void
judge_forget(struct stage *stage)
{
    PGconn *admin = stage_admin(stage);
    postgres_exec(admin, "truncate load.ledger; update load.counter set n = 0 where n > 0");
    PQfinish(admin);
    for (int i = 0; stage->topics[i] != NULL; i++)
        broker_delete_topic(stage->broker, stage->topics[i]);
}
