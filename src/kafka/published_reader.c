/* published_reader.c: reads topics back from a time on, all partitions into one queue. Called by `outboxd rebase`; the relay never reads
 * what it has published.
 *
 *        from                 stable             end (of uncommitted records too)
 *         |---- committed ------|open|committed|--|          records behind the first open transaction are given to nobody who reads
 *                                                            committed, those of others included, until it ends
 *
 * librdkafka asks for offsets, those of a time and the watermarks, with the isolation.level of its client: who reads committed hears of
 * nothing behind `stable`. So these questions are put by a second client, which reads uncommitted, and no record. */
#include "kafka/published_reader.h"

#include "base/clock.h"
#include "config/units.h"
#include "kafka/position_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 15000, SLICE_MS = 200, AT_ONCE = 1000 };

struct part {
    int32_t number;
    int64_t from, stable, end; /* offsets, as they were when reading began */
    bool done;
};

struct source_topic {
    const char *name;
    rd_kafka_topic_t *handle; /* whose opaque is this */
    struct part *parts;
    size_t count;
};

struct reader {
    const struct settings *settings;
    const struct published_reading *reading;
    rd_kafka_t *rk, *asker; /* reads committed; asks for offsets */
    rd_kafka_queue_t *queue;
    struct source_topic *topics;
    size_t count;
    size_t open; /* parts that are not done */
};

static bool
fail(const char *topic, rd_kafka_resp_err_t code, struct error *error)
{
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(error, ERROR_UNUSABLE,
                         "topic %s: its records have to be read: allow READ and DESCRIBE on it to the "
                         "principal of this configuration, or give another --config",
                         topic);
    return error_set(error, ERROR_UNUSABLE, "cannot read topic %s: %s", topic, rd_kafka_err2str(code));
}

/* ---- what there is to read ---- */

static bool
find_parts(struct reader *reader, struct source_topic *topic, struct error *error)
{
    const rd_kafka_metadata_t *metadata;
    rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(reader->rk);
    rd_kafka_topic_conf_set_opaque(conf, topic);
    topic->handle = rd_kafka_topic_new(reader->rk, topic->name, conf);
    if (topic->handle == NULL)
        return fail(topic->name, rd_kafka_last_error(), error);
    rd_kafka_resp_err_t code = rd_kafka_metadata(reader->rk, 0, topic->handle, &metadata, ASK_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(topic->name, code, error);
    code = metadata->topics[0].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        topic->count = (size_t)metadata->topics[0].partition_cnt;
        topic->parts = must_calloc(topic->count, sizeof *topic->parts);
        for (size_t i = 0; i < topic->count; i++)
            topic->parts[i].number = metadata->topics[0].partitions[i].id;
    }
    rd_kafka_metadata_destroy(metadata);
    bool missing = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || missing || fail(topic->name, code, error);
}

/* The first record that is not older, in each part; RD_KAFKA_OFFSET_END: none. */
static bool
find_starts(const struct reader *reader, struct source_topic *topic, int64_t since_ms, struct error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topic->count);
    for (size_t i = 0; i < topic->count; i++)
        rd_kafka_topic_partition_list_add(list, topic->name, topic->parts[i].number)->offset = since_ms;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->asker, list, ASK_MS);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        code = list->elems[i].err;
        topic->parts[i].from = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || fail(topic->name, code, error);
}

/* The end first: what is stable behind it is no matter. */
static bool
find_ends(const struct reader *reader, struct source_topic *topic, struct error *error)
{
    for (size_t i = 0; i < topic->count; i++) {
        struct part *part = &topic->parts[i];
        int64_t low = 0;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(reader->asker, topic->name, part->number,
                                                                    &low, &part->end, ASK_MS);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = rd_kafka_query_watermark_offsets(reader->rk, topic->name, part->number, &low,
                                                    &part->stable, ASK_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(topic->name, code, error);
        part->done = part->from < 0 || part->from >= part->end;
    }
    return true;
}

static bool
begin(struct reader *reader, struct source_topic *topic, struct error *error)
{
    if (!find_parts(reader, topic, error))
        return false;
    if (topic->count > 0 &&
        !find_starts(reader, topic, reader->reading->since_ms[topic - reader->topics], error))
        return false;
    if (!find_ends(reader, topic, error))
        return false;
    for (size_t i = 0; i < topic->count; i++) {
        const struct part *part = &topic->parts[i];
        if (part->done)
            continue;
        if (rd_kafka_consume_start_queue(topic->handle, part->number, part->from, reader->queue) != 0)
            return fail(topic->name, rd_kafka_last_error(), error);
        reader->open++;
    }
    return true;
}

/* ---- records ---- */

/* The last header of this name, as text that ends where `size` says. */
static const char *
header(rd_kafka_message_t *message, const char *name, size_t *size)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return value;
}

static bool
is_ours(const struct reader *reader, rd_kafka_message_t *message)
{
    size_t size;
    const char *ours = reader->settings->source, *source = header(message, "source", &size);
    return source != NULL && size == strlen(ours) && memcmp(source, ours, size) == 0;
}

/* As the relay writes it; 0: it has written no such thing. */
static int64_t
read_id(rd_kafka_message_t *message)
{
    size_t size;
    char text[24];
    int64_t id;
    struct error strange;
    const char *digits = header(message, "id", &size);
    if (digits == NULL || size >= sizeof text)
        return 0;
    memcpy(text, digits, size);
    text[size] = '\0';
    bool good = strlen(text) == size && units_parse_count(text, &id, &strange);
    return good && id <= PUBLISHED_ID_MOST ? id : 0;
}

static bool
take_record(struct reader *reader, rd_kafka_message_t *message, struct error *error)
{
    rd_kafka_timestamp_type_t type;
    struct published record = {.id = read_id(message),
                               .topic = rd_kafka_topic_name(message->rkt),
                               .partition = message->partition,
                               .offset = message->offset,
                               .key = message->key,
                               .payload = message->payload,
                               .key_size = message->key_len,
                               .payload_size = message->len};
    if (!is_ours(reader, message))
        return true;
    record.time_ms = rd_kafka_message_timestamp(message, &type);
    record.appended = type != RD_KAFKA_TIMESTAMP_CREATE_TIME;
    return reader->reading->sink(reader->reading->context, &record, error);
}

static void
take_end(struct reader *reader, const rd_kafka_message_t *message)
{
    struct source_topic *topic = rd_kafka_topic_opaque(message->rkt);
    for (size_t i = 0; i < topic->count; i++) {
        struct part *part = &topic->parts[i];
        if (part->number != message->partition || part->done || message->offset < part->end)
            continue; /* before it, a transaction is open */
        part->done = true;
        reader->open--;
        rd_kafka_consume_stop(topic->handle, part->number);
    }
}

static bool
take(struct reader *reader, rd_kafka_message_t *message, struct error *error)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return take_record(reader, message, error);
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        take_end(reader, message);
        return true;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return true;
    default:
        return fail(message->rkt != NULL ? rd_kafka_topic_name(message->rkt) : "(any)", message->err, error);
    }
}

/* ---- until the end ---- */

/* The first partition that an open transaction ends too early. */
static struct part *
find_held(const struct reader *reader, const char **topic)
{
    for (size_t i = 0; i < reader->count; i++)
        for (size_t j = 0; j < reader->topics[i].count; j++) {
            struct part *part = &reader->topics[i].parts[j];
            *topic = reader->topics[i].name;
            if (!part->done && part->stable < part->end)
                return part;
        }
    return NULL;
}

static void
tell(const struct reader *reader, bool came)
{
    const char *topic;
    const struct part *held = came ? NULL : find_held(reader, &topic);
    reader->reading->listener(reader->reading->context, held != NULL ? topic : NULL,
                              held != NULL ? held->number : 0);
}

static bool
give_up(const struct reader *reader, struct error *error)
{
    const char *topic;
    struct part *held = find_held(reader, &topic);
    int64_t low;
    if (held != NULL) /* another one may have followed the one that was open first */
        (void)rd_kafka_query_watermark_offsets(reader->rk, topic, held->number, &low, &held->stable, ASK_MS);
    if (held == NULL || held->stable >= held->end)
        return error_set(error, ERROR_UNUSABLE, "Kafka does not give the end of %zu partitions: it is slow",
                         reader->open);
    return error_set(
        error, ERROR_UNUSABLE,
        "topic %s, partition %d: a transaction stays open at offset %" PRId64
        " and hides what is behind it. End it, or stop the producer that it belongs to and wait for "
        "its transaction.timeout.ms: kafka-transactions.sh --bootstrap-server .. describe-producers "
        "--topic %s --partition %d",
        topic, (int)held->number, held->stable, topic, (int)held->number);
}

/* False: *error says why; what came is in *came. */
static bool
read_some(struct reader *reader, bool *came, struct error *error)
{
    rd_kafka_message_t *messages[AT_ONCE];
    ssize_t count = rd_kafka_consume_batch_queue(reader->queue, SLICE_MS, messages, AT_ONCE);
    size_t open = reader->open;
    bool good = true;
    *came = false;
    for (ssize_t i = 0; i < count; i++) {
        *came = *came || messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        good = good && take(reader, messages[i], error);
        rd_kafka_message_destroy(messages[i]);
    }
    *came = *came || reader->open < open;
    return good;
}

static bool
read_all(struct reader *reader, struct error *error)
{
    int64_t progress_us = clock_monotonic_us();
    while (reader->open > 0) {
        bool came;
        if (!read_some(reader, &came, error))
            return false;
        if (came)
            progress_us = clock_monotonic_us();
        else if (clock_monotonic_us() - progress_us > reader->reading->patience_us)
            return give_up(reader, error);
        tell(reader, came);
    }
    return true;
}

/* ---- its life ---- */

static rd_kafka_t *
open_client(const struct settings *settings, const char *isolation, struct error *error)
{
    char reason[200];
    rd_kafka_conf_t *conf = position_reader_conf(settings, error);
    if (conf == NULL)
        return NULL;
    CHECK(rd_kafka_conf_set(conf, "isolation.level", isolation, NULL, 0) == RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        error_set(error, ERROR_UNUSABLE, "cannot read from Kafka: %s", reason);
    }
    return rk;
}

static void
end(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        struct source_topic *topic = &reader->topics[i];
        for (size_t j = 0; j < topic->count; j++)
            if (!topic->parts[j].done)
                rd_kafka_consume_stop(topic->handle, topic->parts[j].number);
        if (topic->handle != NULL)
            rd_kafka_topic_destroy(topic->handle);
        free(topic->parts);
    }
    free(reader->topics);
    if (reader->queue != NULL)
        rd_kafka_queue_destroy(reader->queue);
    if (reader->asker != NULL)
        rd_kafka_destroy(reader->asker);
    if (reader->rk != NULL)
        rd_kafka_destroy(reader->rk);
}

bool
published_read(const struct settings *settings, const struct published_reading *reading, struct error *error)
{
    struct reader reader = {.settings = settings, .reading = reading, .count = reading->count};
    reader.topics = must_calloc(reader.count, sizeof *reader.topics);
    reader.rk = open_client(settings, "read_committed", error);
    reader.asker = reader.rk != NULL ? open_client(settings, "read_uncommitted", error) : NULL;
    bool good = reader.asker != NULL;
    if (good)
        reader.queue = rd_kafka_queue_new(reader.rk);
    for (size_t i = 0; good && i < reader.count; i++) {
        reader.topics[i].name = reading->topics[i];
        good = begin(&reader, &reader.topics[i], error);
    }
    good = good && read_all(&reader, error);
    end(&reader);
    return good;
}
