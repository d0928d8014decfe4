/* records.c: the list of records that consumer.c fills, checker.c judges and unit tests write by hand
 * (consumer.h). */
#include "support/consumer.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct bytes
bytes_copy(const void *data, size_t size)
{
    if (data == NULL)
        return (struct bytes){0};
    struct bytes copy = {.data = must_alloc(size + 1), .size = size};
    memcpy(copy.data, data, size);
    copy.data[size] = '\0';
    return copy;
}

bool
bytes_equal(struct bytes a, struct bytes b)
{
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

struct record *
records_add(struct records *records)
{
    if (records->count == records->capacity) {
        records->capacity = records->capacity ? records->capacity * 2 : 256;
        records->list = must_realloc(records->list, records->capacity, sizeof *records->list);
    }
    struct record *record = &records->list[records->count++];
    *record = (struct record){0};
    return record;
}

void
records_add_shape(struct records *records, const char *topic, int32_t partitions)
{
    records->shapes = must_realloc(records->shapes, records->shape_count + 1, sizeof *records->shapes);
    records->shapes[records->shape_count++] =
        (struct topic_shape){.topic = must_strdup(topic), .partitions = partitions};
}

int32_t
records_partitions(const struct records *records, const char *topic)
{
    for (size_t i = 0; i < records->shape_count; i++)
        if (strcmp(records->shapes[i].topic, topic) == 0)
            return records->shapes[i].partitions;
    return 0;
}

void
record_add_header(struct record *record, const char *name, const void *value, size_t size)
{
    record->headers = must_realloc(record->headers, record->header_count + 1, sizeof *record->headers);
    record->headers[record->header_count++] =
        (struct record_header){.name = must_strdup(name), .value = bytes_copy(value, size)};
}

const struct record_header *
record_header(const struct record *record, const char *name)
{
    for (size_t i = record->header_count; i-- > 0;)
        if (strcmp(record->headers[i].name, name) == 0)
            return &record->headers[i];
    return NULL;
}

void
records_free(struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        struct record *record = &records->list[i];
        for (size_t h = 0; h < record->header_count; h++) {
            free(record->headers[h].name);
            free(record->headers[h].value.data);
        }
        free(record->headers);
        free(record->topic);
        free(record->key.data);
        free(record->value.data);
    }
    for (size_t i = 0; i < records->shape_count; i++)
        free(records->shapes[i].topic);
    free(records->shapes);
    free(records->list);
    *records = (struct records){0};
}
