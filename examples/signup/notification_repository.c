/* notification_repository.c: see notification_repository.h. */
#include "notification_repository.h"

bool
notification_insert(struct outbox_unit *unit, const char *account_id, const char *user_id,
                    struct outbox_error *error)
{
    const char *values[] = {account_id, user_id};
    /* an insert would wait behind whoever rebuilds or alters the table, and the sign-up with it */
    return outbox_query(unit, "lock table notification in row exclusive mode nowait", 0, NULL, NULL, error) &&
           outbox_query(unit,
                        "insert into notification (account_id, user_id, text)"
                        " values ($1, $2, 'Somebody new is in your account.')",
                        2, values, NULL, error);
}
