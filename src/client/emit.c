/* emit.c: outbox_emit: one event, by the function that the schema gives to every language. The answer carries the
 * transaction's id too, which costs nothing here and a round trip later. */
#include "client/client.h"

#include <stdlib.h>

enum {
    OID_BYTEA = 17,
    OID_TEXT = 25,
    OID_JSONB = 3802
}; /* fixed since Postgres has these types (pg_type.dat) */

static bool
send_event(struct outbox_unit *unit, const struct outbox_event *event, const char *headers, int64_t *id,
           struct outbox_error *error)
{
    static const Oid types[] = {OID_TEXT, OID_BYTEA, OID_BYTEA, OID_JSONB};
    static const int formats[] = {0, 1, 1, 0};
    const char *values[] = {event->topic, event->key.data, event->payload.data, headers};
    int lengths[] = {0, (int)event->key.size, (int)event->payload.size, 0};
    struct statement statement = {
        .sql = "select outbox.emit_bytes($1, $2, $3, $4), pg_catalog.pg_current_xact_id()",
        .count = 4,
        .types = types,
        .values = values,
        .lengths = lengths,
        .formats = formats};
    PGresult *result;
    if (!wire_must(unit, &statement, &result, error))
        return false;
    if (id != NULL)
        *id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    unit->xid = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    PQclear(result);
    return true;
}

bool
outbox_emit(struct outbox_unit *unit, const struct outbox_event *event, int64_t *id,
            struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    char *headers = NULL;
    bool done = encode_check(event, error) && unit_usable(unit, error) &&
                encode_headers(event, &headers, error) && send_event(unit, event, headers, id, error);
    free(headers);
    return done;
}
