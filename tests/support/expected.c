/* expected.c: what the database says was committed, read row by row into the list that checker.c judges
 * against. */
#include "support/checker.h"

#include "base/error.h"
#include "support/postgres.h"
#include "support/scratch.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Columns of expected_read(), in this order. */
enum column { ID, XID, COUNTER, SNAPSHOT, TOPIC, KEY, PAYLOAD, HEADERS, CREATED_AT, COLUMNS };

struct expected_event *
expected_add(struct expected_events *events)
{
    if (events->count == events->capacity) {
        events->capacity = events->capacity ? events->capacity * 2 : 256;
        events->list = must_realloc(events->list, events->capacity, sizeof *events->list);
    }
    struct expected_event *event = &events->list[events->count++];
    *event = (struct expected_event){0};
    return event;
}

void
expected_free(struct expected_events *events)
{
    for (size_t i = 0; i < events->count; i++) {
        struct expected_event *event = &events->list[i];
        free(event->snapshot);
        free(event->topic);
        free(event->key.data);
        free(event->payload.data);
        free(event->headers);
    }
    free(events->list);
    *events = (struct expected_events){0};
}

static int64_t
column_int(const PGresult *row, int column)
{
    uint64_t value;
    if (PQgetisnull(row, 0, column))
        return 0;
    if (PQgetlength(row, 0, column) != sizeof value)
        test_fail("expected_read: column %d is not a bigint", column);
    memcpy(&value, PQgetvalue(row, 0, column), sizeof value);
    return (int64_t)be64toh(value);
}

static struct bytes
column_bytes(const PGresult *row, int column)
{
    if (PQgetisnull(row, 0, column))
        return (struct bytes){0};
    return bytes_copy(PQgetvalue(row, 0, column), (size_t)PQgetlength(row, 0, column));
}

static void
expected_add_row(struct expected_events *events, const PGresult *row)
{
    if (PQnfields(row) != COLUMNS)
        test_fail("expected_read: %d columns, not %d", PQnfields(row), COLUMNS);
    struct expected_event *event = expected_add(events);
    struct bytes xid = column_bytes(row, XID);
    event->id = column_int(row, ID);
    event->xid = xid.data ? strtoull(xid.data, NULL, 10) : 0;
    event->counter = column_int(row, COUNTER);
    event->snapshot = column_bytes(row, SNAPSHOT).data;
    event->topic = column_bytes(row, TOPIC).data;
    event->key = column_bytes(row, KEY);
    event->payload = column_bytes(row, PAYLOAD);
    event->headers = column_bytes(row, HEADERS).data;
    event->created_at_us = column_int(row, CREATED_AT);
    free(xid.data);
}

void
expected_read(struct expected_events *events, PGconn *connection, const char *query)
{
    /* row by row: a ledger of a long run does not fit twice */
    if (!PQsendQueryParams(connection, query, 0, NULL, NULL, NULL, NULL, 1) ||
        !PQsetSingleRowMode(connection))
        test_fail("%s: %s", query, PQerrorMessage(connection));
    for (PGresult *result; (result = PQgetResult(connection)) != NULL; PQclear(result)) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_SINGLE_TUPLE)
            expected_add_row(events, result);
        else if (status != PGRES_TUPLES_OK)
            test_fail("%s: %s", query, PQresultErrorMessage(result));
    }
}

void
expected_read_outbox(struct expected_events *events, PGconn *connection)
{
    expected_read(events, connection,
                  "select id, xid::text, null::bigint, null::text, topic, key, payload, headers::text,"
                  " (extract(epoch from created_at) * 1000000)::bigint from outbox.event");
}

/* Visible in the snapshot that is confirmed, said by its negation: such look-ups use the index on xid. */
bool
expected_is_confirmed(PGconn *admin)
{
    return postgres_int(
               admin,
               "select count(*) from (select confirmed_seq from outbox.journal where relay = 'main'"
               "    order by seq desc limit 1) n"
               " join outbox.journal c on c.relay = 'main' and c.seq = n.confirmed_seq"
               " where not exists (select from outbox.event e where e.xid >= pg_snapshot_xmax(c.snapshot))"
               " and not exists (select from pg_snapshot_xip(c.snapshot) x(xid)"
               "    join outbox.event e on e.xid = x.xid)") == 1;
}

bool
expected_nothing_waits(PGconn *admin)
{
    (void)postgres_int(admin, "select count(outbox.dead_retry('main', event_id)) from outbox.dead_letter");
    return postgres_int(admin, "select (select count(*) from outbox.dead_letter) + (select count(*) from"
                               " outbox.held_event) + (select count(*) from outbox.paused_topic)") == 0;
}
