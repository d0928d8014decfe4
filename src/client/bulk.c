/* bulk.c: outbox_emit_many: many events by one COPY in Postgres' binary format, so that bytes travel as they are:
 *
 *     "PGCOPY\n\377\r\n\0" | int32 flags 0 | int32 extension 0
 *     int16 4 | int32 size, topic | int32 size or -1, key | size or -1, payload | size or -1, 0x01 and the headers' JSON   each
 *     int16 -1
 *
 * Source: the Postgres manual, COPY, "Binary Format"; 0x01 is the version of jsonb's send format. */
#include "client/client.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* Small fields are gathered to this size, so that not every one becomes a message; larger ones are sent as they are. */
#define ROOM ((size_t)64 << 10)

struct gather {
    struct outbox_unit *unit;
    struct outbox_error *error;
    size_t used;
    char bytes[ROOM];
};

static bool
flush(struct gather *gather)
{
    size_t size = gather->used;
    gather->used = 0;
    return size == 0 || wire_copy(gather->unit, gather->bytes, size, gather->error);
}

static bool
put(struct gather *gather, const void *data, size_t size)
{
    if (size > ROOM - gather->used && !flush(gather))
        return false;
    if (size > ROOM)
        return wire_copy(gather->unit, data, size, gather->error);
    if (size > 0)
        memcpy(gather->bytes + gather->used, data, size);
    gather->used += size;
    return true;
}

static bool
put_int16(struct gather *gather, int16_t value)
{
    uint16_t wire = htons((uint16_t)value);
    return put(gather, &wire, sizeof wire);
}

static bool
put_int32(struct gather *gather, int32_t value)
{
    uint32_t wire = htonl((uint32_t)value);
    return put(gather, &wire, sizeof wire);
}

static bool
put_bytes(struct gather *gather, struct outbox_bytes bytes)
{
    if (bytes.data == NULL)
        return put_int32(gather, -1);
    return put_int32(gather, (int32_t)bytes.size) && put(gather, bytes.data, bytes.size);
}

static bool
put_headers(struct gather *gather, const char *json)
{
    if (json == NULL)
        return put_int32(gather, -1);
    size_t size = strlen(json);
    return put_int32(gather, (int32_t)size + 1) && put(gather, "\1", 1) && put(gather, json, size);
}

static bool
put_event(struct gather *gather, const struct outbox_event *event)
{
    char *headers = NULL;
    bool done = encode_check(event, gather->error) && encode_headers(event, &headers, gather->error) &&
                put_int16(gather, 4) && put_bytes(gather, outbox_text(event->topic)) &&
                put_bytes(gather, event->key) && put_bytes(gather, event->payload) &&
                put_headers(gather, headers);
    free(headers);
    return done;
}

static bool
put_all(struct gather *gather, const struct outbox_event *events, size_t count)
{
    static const char signature[19] = "PGCOPY\n\377\r\n\0"; /* the rest: flags and extension, both 0 */
    if (!put(gather, signature, sizeof signature))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!put_event(gather, &events[i]))
            return failure_prefix(gather->error, "event %zu: ", i);
    return put_int16(gather, -1) && flush(gather);
}

/* The server counts lines from 1: "COPY event, line 3, column topic", in the language of its messages. */
static void
name_event(const PGresult *result, struct outbox_error *error)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *comma = context != NULL && strncmp(context, "COPY ", 5) == 0 ? strchr(context, ',') : NULL;
    const char *digits = comma != NULL ? strpbrk(comma, "0123456789") : NULL;
    long line = digits != NULL ? strtol(digits, NULL, 10) : 0;
    if (line > 0)
        failure_prefix(error, "event %ld: ", line - 1);
}

/* Ends the COPY, well or badly. A cause of our own is worth more than the server's answer to it. */
static bool
finish(struct outbox_unit *unit, bool sent, struct outbox_error *error)
{
    struct outbox_error ignored;
    PGresult *result;
    if (!wire_copy_end(unit, sent ? NULL : "liboutbox: the events are not complete", &result,
                       sent ? error : &ignored))
        return false;
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (sent && !done) {
        wire_fail(unit, result, error);
        name_event(result, error);
    }
    PQclear(result);
    return sent && done;
}

bool
outbox_emit_many(struct outbox_unit *unit, const struct outbox_event *events, size_t count,
                 struct outbox_error *error)
{
    struct outbox_error scratch;
    error = failure_none(error, &scratch);
    if (!unit_usable(unit, error))
        return false;
    if (events == NULL && count > 0)
        return failure_missing(error, "events");
    if (count == 0)
        return true;
    struct gather *gather = malloc(sizeof *gather);
    if (gather == NULL)
        return failure_set(error, OUTBOX_ERROR_MEMORY, "no memory for a COPY");
    gather->unit = unit;
    gather->error = error;
    gather->used = 0;
    struct statement statement = {
        .sql = "copy outbox.event (topic, key, payload, headers) from stdin (format binary)"};
    bool done =
        wire_must(unit, &statement, NULL, error) && finish(unit, put_all(gather, events, count), error);
    free(gather);
    return done;
}
