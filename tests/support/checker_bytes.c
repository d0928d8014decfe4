/* checker_bytes.c: is a record, byte for byte, what was inserted? Key, payload, headers in their order with
 * `id` and `source` behind, timestamp in milliseconds, partition as the Java client would choose. */
#include "support/checker_judge.h"

#include "support/scratch.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* MurmurHash2 by Austin Appleby with the seed of Kafka's Java client, little endian whatever the machine. */
static uint32_t
murmur2(const unsigned char *data, size_t size)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28c ^ (uint32_t)size;
    for (; size >= 4; data += 4, size -= 4) {
        uint32_t k = data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    if (size >= 3)
        h ^= (uint32_t)data[2] << 16;
    if (size >= 2)
        h ^= (uint32_t)data[1] << 8;
    if (size >= 1)
        h = (h ^ data[0]) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t
checker_partition(struct bytes key, int32_t partition_count)
{
    return (int32_t)((murmur2((const unsigned char *)key.data, key.size) & 0x7fffffff) %
                     (uint32_t)partition_count);
}

/* What the headers column stands for, as a record that has nothing but headers. */
static void
header_add(struct record *to, const char *name, const json_t *value)
{
    if (json_is_null(value))
        record_add_header(to, name, NULL, 0);
    else
        record_add_header(to, name, json_string_value(value), json_string_length(value));
}

static void
headers_expect(struct record *to, const struct expected_event *event, const char *source)
{
    json_error_t why;
    json_t *object = event->headers ? json_loads(event->headers, JSON_ALLOW_NUL, &why) : json_object();
    if (!json_is_object(object))
        test_fail("headers of event %" PRId64 ": not a JSON object", event->id);
    const char *name;
    json_t *value, *item;
    size_t index;
    json_object_foreach(object, name, value)
    {
        if (json_is_array(value)) {
            json_array_foreach(value, index, item) header_add(to, name, item);
        } else {
            header_add(to, name, value);
        }
    }
    char id[32];
    int id_size = snprintf(id, sizeof id, "%" PRId64, event->id);
    record_add_header(to, "id", id, (size_t)id_size);
    record_add_header(to, "source", source, strlen(source));
    json_decref(object);
}

static bool
headers_match(const struct record *record, const struct record *expected)
{
    size_t at = 0;
    for (size_t i = 0; i < record->header_count; i++) {
        const struct record_header *header = &record->headers[i];
        if (strcmp(header->name, "replay") == 0)
            continue; /* no event may carry it, so it is the relay's mark */
        if (at == expected->header_count || strcmp(header->name, expected->headers[at].name) != 0 ||
            !bytes_equal(header->value, expected->headers[at].value))
            return false;
        at++;
    }
    return at == expected->header_count;
}

static int64_t
floor_ms(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

struct record *
checker_record_of(struct records *records, const struct expected_event *event, const char *source,
                  int64_t offset)
{
    if (records_partitions(records, event->topic) == 0)
        records_add_shape(records, event->topic, 1);
    struct record *record = records_add(records);
    record->topic = must_strdup(event->topic);
    record->offset = offset;
    record->key = bytes_copy(event->key.data, event->key.size);
    record->value = bytes_copy(event->payload.data, event->payload.size);
    record->timestamp_ms = floor_ms(event->created_at_us);
    headers_expect(record, event, source);
    return record;
}

/* The first difference in a word, or NULL. */
static const char *
difference(const struct judgement *judgement, const struct record *record, const struct expected_event *event)
{
    int32_t partitions = records_partitions(judgement->records, record->topic);
    if (partitions <= 0)
        test_fail("checker: %s was not read: its number of partitions is unknown", record->topic);
    if (strcmp(record->topic, event->topic) != 0)
        return "topic";
    if (!bytes_equal(record->key, event->key))
        return "key";
    if (!bytes_equal(record->value, event->payload))
        return "payload";
    if (record->timestamp_ms != floor_ms(event->created_at_us))
        return "timestamp";
    if (event->key.data != NULL && record->partition != checker_partition(event->key, partitions))
        return "partition";
    struct records scrap = {0};
    headers_expect(records_add(&scrap), event, judgement->source);
    bool match = headers_match(record, &scrap.list[0]);
    records_free(&scrap);
    return match ? NULL : "headers";
}

void
judge_bytes(struct judgement *judgement)
{
    for (size_t i = 0; i < judgement->records->count; i++) {
        if (judgement->event_of[i] == NOBODY)
            continue;
        const struct record *record = &judgement->records->list[i];
        const struct expected_event *event = &judgement->events->list[judgement->event_of[i]];
        const char *what = difference(judgement, record, event);
        if (what == NULL)
            continue;
        judgement->verdict->changed++;
        verdict_note(judgement->verdict, "changed %s: %s/%d@%" PRId64 " id=%" PRId64, what, record->topic,
                     (int)record->partition, record->offset, event->id);
    }
}
