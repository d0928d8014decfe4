/* encode.c: what emit.c and bulk.c need of an event before it is sent: is it complete, and its headers as JSON. The limits
 * themselves are the table's constraints; they are not repeated here. */
#include "client/client.h"

#include <jansson.h>

/* libpq counts in int, and the table takes less anyway. */
#define BYTES_MAX ((size_t)16 << 20)

static bool
check_bytes(const char *what, const struct outbox_bytes *bytes, struct outbox_error *error)
{
    if (bytes->data == NULL && bytes->size > 0)
        return failure_set(error, OUTBOX_ERROR_USAGE, "event.%s has a size and no data", what);
    return bytes->size <= BYTES_MAX ||
           failure_set(error, OUTBOX_ERROR_USAGE, "event.%s has %zu bytes, and 16 MiB are the limit", what,
                       bytes->size);
}

bool
encode_check(const struct outbox_event *event, struct outbox_error *error)
{
    if (event == NULL || event->topic == NULL)
        return failure_missing(error, event == NULL ? "event" : "event.topic");
    if (event->headers == NULL && event->header_count > 0)
        return failure_set(error, OUTBOX_ERROR_USAGE, "event.headers is NULL, and header_count is not 0");
    for (size_t i = 0; i < sizeof event->reserved / sizeof event->reserved[0]; i++)
        if (event->reserved[i] != NULL)
            return failure_set(error, OUTBOX_ERROR_USAGE, "event.reserved is not zero");
    return check_bytes("key", &event->key, error) && check_bytes("payload", &event->payload, error);
}

/* The first value of a name stands alone; with the second they become an array. */
static int
add_header(json_t *object, const char *name, json_t *value)
{
    json_t *present = json_object_get(object, name);
    if (present == NULL)
        return json_object_set_new(object, name, value);
    if (json_is_array(present))
        return json_array_append_new(present, value);
    json_t *both = json_array();
    if (both == NULL || json_array_append(both, present) != 0 || json_array_append_new(both, value) != 0) {
        json_decref(both);
        return -1;
    }
    return json_object_set_new(object, name, both);
}

static bool
fill_headers(json_t *object, const struct outbox_event *event, struct outbox_error *error)
{
    for (size_t i = 0; i < event->header_count; i++) {
        const struct outbox_header *header = &event->headers[i];
        if (header->name == NULL)
            return failure_set(error, OUTBOX_ERROR_USAGE, "header %zu has no name", i);
        json_t *value = header->value != NULL ? json_string(header->value) : json_null();
        if (value == NULL || add_header(object, header->name, value) != 0)
            return failure_set(error, OUTBOX_ERROR_USAGE, "header %zu is not UTF-8", i);
    }
    return true;
}

bool
encode_headers(const struct outbox_event *event, char **json, struct outbox_error *error)
{
    *json = NULL;
    if (event->header_count == 0)
        return true;
    json_t *object = json_object();
    if (object == NULL)
        return failure_set(error, OUTBOX_ERROR_MEMORY, "no memory for headers");
    bool done = fill_headers(object, event, error);
    if (done) {
        *json = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
        done = *json != NULL || failure_set(error, OUTBOX_ERROR_MEMORY, "no memory for headers");
    }
    json_decref(object);
    return done;
}
