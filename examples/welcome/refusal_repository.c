/* refusal_repository.c: see refusal_repository.h. */
#include "refusal_repository.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *
print_number(char text[24], int64_t number)
{
    snprintf(text, 24, "%" PRId64, number);
    return text;
}

bool
refusal_count(struct outbox_unit *unit, const struct refusal *refusal, const struct refusal_bounds *bounds,
              bool *given_up, struct outbox_error *error)
{
    char event_id[24], user_id[24], patience[24], copies[24];
    const char *values[] = {refusal->source,
                            print_number(event_id, refusal->event_id),
                            refusal->user_id > 0 ? print_number(user_id, refusal->user_id) : NULL,
                            refusal->reason,
                            refusal->kind == REFUSAL_IN_DOUBT ? "1" : "0",
                            refusal->kind == REFUSAL_FOR_GOOD ? "true" : "false",
                            print_number(patience, bounds->patience_s),
                            print_number(copies, bounds->copies)};
    PGresult *result;
    if (!outbox_query(
            unit,
            "insert into mail_refused as r"
            " (source, event_id, user_id, reason, handed_over, given_up_at) values"
            " ($1, $2, $3, $4, $5::integer, case when $6 or $5::integer >= $8::integer then now() end)"
            " on conflict (source, event_id) do update set reason = $4, tries = r.tries + 1,"
            " handed_over = r.handed_over + $5::integer, given_up_at = case when"
            "   $6 or r.given_up_at is not null or r.handed_over + $5::integer >= $8::integer"
            "   or now() - r.first_at > make_interval(secs => $7) then now() end"
            " returning given_up_at is not null",
            8, values, &result, error))
        return false;
    *given_up = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return true;
}

bool
refusal_forget(struct outbox_unit *unit, const char *source, int64_t event_id, struct outbox_error *error)
{
    char id[24];
    const char *values[] = {source, print_number(id, event_id)};
    return outbox_query(unit, "delete from mail_refused where source = $1 and event_id = $2", 2, values, NULL,
                        error);
}

bool
refusal_lock_next(struct outbox_unit *unit, const char *pattern, struct refused_mail *mail, bool *found,
                  struct outbox_error *error)
{
    char id[24];
    const char *values[] = {pattern, mail->source, print_number(id, mail->event_id)};
    PGresult *result;
    if (!outbox_query(unit,
                      "select source, event_id, user_id from mail_refused"
                      " where given_up_at is not null and user_id is not null and reason like $1"
                      " and (source, event_id) > ($2, $3::bigint)"
                      " order by source, event_id limit 1 for update skip locked",
                      3, values, &result, error))
        return false;
    *found = PQntuples(result) == 1;
    if (*found) {
        snprintf(mail->source, sizeof mail->source, "%s", PQgetvalue(result, 0, 0));
        mail->event_id = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        mail->user_id = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
    }
    PQclear(result);
    return true;
}
