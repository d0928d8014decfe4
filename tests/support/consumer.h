/* consumer.h: reads everything that is in some topics, as a plain consumer would: from the beginning, all
 * partitions, up to the high watermarks seen after the last record was asked for. */
#ifndef OUTBOXD_TESTS_SUPPORT_CONSUMER_H
#define OUTBOXD_TESTS_SUPPORT_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that may be absent: data is NULL for "none"; an empty value has data and size 0. */
struct bytes {
    char *data; /* a NUL stands behind the last byte, for printing */
    size_t size;
};

struct bytes bytes_copy(const void *data, size_t size); /* data NULL: none */
bool bytes_equal(struct bytes a, struct bytes b);

struct record_header {
    char *name;
    struct bytes value;
};

struct record {
    char *topic;
    int32_t partition;
    int64_t offset;
    struct bytes key, value;
    struct record_header *headers;
    size_t header_count;
    int64_t timestamp_ms;
};

struct topic_shape {
    char *topic;
    int32_t partitions;
};

/* In offset order within each partition. */
struct records {
    struct record *list;
    size_t count, capacity;
    struct topic_shape *shapes; /* of every topic that was read */
    size_t shape_count;
};

/* `topics` is NULL-terminated. committed: isolation.level read_committed, otherwise read_uncommitted. A topic
 * that does not exist gives nothing. */
void consumer_read_all(struct records *records, const char *bootstrap, const char *const *topics,
                       bool committed);
/* How many that are. */
size_t consumer_count_all(const char *bootstrap, const char *const *topics, bool committed);

/* How many records the topic holds now by its watermarks (cheap; for waiting). */
int64_t consumer_count(const char *bootstrap, const char *topic);

/* A new zeroed record at the end of the list; valid until the next one is added. */
struct record *records_add(struct records *records);
void records_add_shape(struct records *records, const char *topic, int32_t partitions);
int32_t records_partitions(const struct records *records, const char *topic); /* 0: not read */
void record_add_header(struct record *record, const char *name, const void *value, size_t size);
/* The last header of that name, or NULL. */
const struct record_header *record_header(const struct record *record, const char *name);
void records_free(struct records *records);

#endif
