/* job_repository.c: see job_repository.h.
 *
 *     due_at     T          infinity           T + 60 s | infinity
 *     claim      0             1                   1
 *     until     null        now + lease          null
 *              waiting --> claimed ----------> finished         and when its worker dies: claimed again, with claim 2
 *
 * The claim takes the wish away (due_at becomes infinity), so who wants the contract again meanwhile is not forgotten. */
#include "job_repository.h"

#include <stdio.h>
#include <stdlib.h>

bool
job_claim(struct outbox_unit *unit, int64_t lease_ms, struct job *job, bool *found,
          struct outbox_error *error)
{
    char lease[24];
    snprintf(lease, sizeof lease, "%lld", (long long)lease_ms);
    const char *values[] = {lease};
    PGresult *result;
    if (!outbox_query(unit,
                      "update contract_job set claim = claim + 1, due_at = 'infinity',"
                      "  claimed_until = now() + $1::bigint * interval '1 ms'"
                      " where contract_id = (select contract_id from contract_job"
                      "   where coalesce(claimed_until, due_at) <= now()"
                      "    and not exists (select 1 from contract_pause where until > now())"
                      "   order by coalesce(claimed_until, due_at) limit 1 for update skip locked)"
                      " returning contract_id, claim, failures",
                      1, values, &result, error))
        return false;
    *found = PQntuples(result) == 1;
    if (*found) {
        snprintf(job->contract_id, sizeof job->contract_id, "%s", PQgetvalue(result, 0, 0));
        snprintf(job->claim, sizeof job->claim, "%s", PQgetvalue(result, 0, 1));
        job->failures = (int)strtol(PQgetvalue(result, 0, 2), NULL, 10);
    }
    PQclear(result);
    return true;
}

bool
job_finish(struct outbox_unit *unit, const struct job *job, const struct result *result, bool failed,
           int64_t again_ms, struct outbox_error *error)
{
    char again[24];
    snprintf(again, sizeof again, "%lld", (long long)again_ms);
    const char *values[] = {job->contract_id,
                            job->claim,
                            outcome_name(result->outcome),
                            *result->why != '\0' ? result->why : NULL,
                            again_ms >= 0 ? again : NULL,
                            failed ? "1" : "0"};
    PGresult *rows;
    if (!outbox_query(unit,
                      "update contract_job set claimed_until = null, outcome = $3, last_error = $4,"
                      "  finished_at = now(), due_at = least(due_at, now() + $5::bigint * interval '1 ms'),"
                      "  failures = case when $3 in ('stored', 'unchanged') then 0"
                      "    else failures + $6::integer end"
                      " where contract_id = $1 and claim = $2 and claimed_until is not null returning 1",
                      6, values, &rows, error))
        return false;
    bool ours = PQntuples(rows) == 1;
    PQclear(rows);
    return ours ||
           outbox_fail(error, "another worker has claimed %s since; what it stores counts", job->contract_id);
}

bool
job_pause_all(struct outbox_unit *unit, int64_t pause_ms, struct outbox_error *error)
{
    char pause[24];
    snprintf(pause, sizeof pause, "%lld", (long long)pause_ms);
    const char *values[] = {pause};
    return outbox_query(
        unit,
        "insert into contract_pause (until) values (now() + $1::bigint * interval '1 ms')"
        " on conflict (one) do update set until = greatest(contract_pause.until, excluded.until)",
        1, values, NULL, error);
}

bool
job_release(struct outbox_unit *unit, const struct job *job, struct outbox_error *error)
{
    const char *values[] = {job->contract_id, job->claim};
    return outbox_query(unit,
                        "update contract_job set claimed_until = null, due_at = now()"
                        " where contract_id = $1 and claim = $2 and claimed_until is not null",
                        2, values, NULL, error);
}
