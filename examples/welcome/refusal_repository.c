/* refusal_repository.c: see refusal_repository.h. */
#include "refusal_repository.h"

#include <inttypes.h>
#include <stdio.h>

struct numbers {
    char event_id[24], user_id[24];
};

static const char *
print_id(char text[24], int64_t id)
{
    snprintf(text, 24, "%" PRId64, id);
    return text;
}

bool
refusal_insert(struct outbox_unit *unit, const struct refusal *refusal, struct outbox_error *error)
{
    struct numbers numbers;
    const char *values[] = {refusal->source, print_id(numbers.event_id, refusal->event_id),
                            refusal->user_id != 0 ? print_id(numbers.user_id, refusal->user_id) : NULL,
                            refusal->reason};
    return outbox_query(unit,
                        "insert into mail_refused (source, event_id, user_id, reason, given_up_at)"
                        " values ($1, $2, $3, $4, now()) on conflict (source, event_id) do update"
                        " set reason = $4, tries = mail_refused.tries + 1, given_up_at = now()",
                        4, values, NULL, error);
}

bool
refusal_count(struct outbox_unit *unit, const struct refusal *refusal, int patience_s, bool *given_up,
              struct outbox_error *error)
{
    struct numbers numbers;
    char patience[24];
    const char *values[] = {refusal->source, print_id(numbers.event_id, refusal->event_id),
                            print_id(numbers.user_id, refusal->user_id), refusal->reason,
                            print_id(patience, patience_s)};
    PGresult *result;
    if (!outbox_query(unit,
                      "insert into mail_refused (source, event_id, user_id, reason) values ($1, $2, $3, $4)"
                      " on conflict (source, event_id) do update set reason = $4,"
                      " tries = mail_refused.tries + 1, given_up_at = case when"
                      "   now() - mail_refused.first_at > make_interval(secs => $5) then now() end"
                      " returning given_up_at is not null",
                      5, values, &result, error))
        return false;
    *given_up = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return true;
}

bool
refusal_forget(struct outbox_unit *unit, const char *source, int64_t event_id, struct outbox_error *error)
{
    char id[24];
    const char *values[] = {source, print_id(id, event_id)};
    return outbox_query(unit, "delete from mail_refused where source = $1 and event_id = $2", 2, values, NULL,
                        error);
}
