/* crashpoint_calls.c: the functions that stand before those of librdkafka and libpq: each asks crashpoint.c what to do, and calls the
 * one behind it. Linked with no library: the process brings them. */
#include "fault/crashpoint.h"

#include <dlfcn.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* name, where it may fail */
#define POINTS(X)                                                                                            \
    X(rd_kafka_new, FAILS_BEFORE)                                                                            \
    X(rd_kafka_destroy, FAILS_NEVER)                                                                         \
    X(rd_kafka_producev, FAILS_BEFORE)                                                                       \
    X(rd_kafka_produceva, FAILS_BEFORE)                                                                      \
    X(rd_kafka_init_transactions, FAILS_ANYWHERE)                                                            \
    X(rd_kafka_begin_transaction, FAILS_ANYWHERE)                                                            \
    X(rd_kafka_commit_transaction, FAILS_ANYWHERE)                                                           \
    X(rd_kafka_abort_transaction, FAILS_ANYWHERE)                                                            \
    X(rd_kafka_flush, FAILS_ANYWHERE)                                                                        \
    X(rd_kafka_purge, FAILS_ANYWHERE)                                                                        \
    X(rd_kafka_poll, FAILS_NEVER)                                                                            \
    X(rd_kafka_queue_poll, FAILS_BEFORE)                                                                     \
    X(rd_kafka_consume_start, FAILS_ANYWHERE)                                                                \
    X(rd_kafka_consume_stop, FAILS_ANYWHERE)                                                                 \
    X(rd_kafka_consume, FAILS_BEFORE)                                                                        \
    X(rd_kafka_consume_batch, FAILS_BEFORE)                                                                  \
    X(rd_kafka_consume_queue, FAILS_BEFORE)                                                                  \
    X(rd_kafka_consumer_poll, FAILS_BEFORE)                                                                  \
    X(rd_kafka_seek_partitions, FAILS_ANYWHERE)                                                              \
    X(rd_kafka_metadata, FAILS_BEFORE)                                                                       \
    X(rd_kafka_query_watermark_offsets, FAILS_ANYWHERE)                                                      \
    X(rd_kafka_clusterid, FAILS_BEFORE)                                                                      \
    X(rd_kafka_controllerid, FAILS_ANYWHERE)                                                                 \
    X(rd_kafka_DescribeConfigs, FAILS_NEVER)                                                                 \
    X(PQconnectStartParams, FAILS_BEFORE)                                                                    \
    X(PQconnectPoll, FAILS_ANYWHERE)                                                                         \
    X(PQsendQuery, FAILS_ANYWHERE)                                                                           \
    X(PQsendQueryParams, FAILS_ANYWHERE)                                                                     \
    X(PQsendQueryPrepared, FAILS_ANYWHERE)                                                                   \
    X(PQgetResult, FAILS_NEVER)                                                                              \
    X(PQgetCopyData, FAILS_BEFORE)                                                                           \
    X(PQflush, FAILS_ANYWHERE)                                                                               \
    X(PQconsumeInput, FAILS_ANYWHERE)                                                                        \
    X(PQfinish, FAILS_NEVER)

#define AS_INDEX(name, failing) POINT_##name,
#define AS_POINT(name, failing) {#name, failing, NULL, NULL, 0},
enum { POINTS(AS_INDEX) POINT_COUNT };
struct point points[] = {POINTS(AS_POINT)};
const int point_count = POINT_COUNT;

/* A function with this many lines would differ from its neighbours in its names only. `failed` may use `call` and `result`, what the
 * library has returned, or zero. */
#define WATCH(type, name, parameters, arguments, failed)                                                     \
    type name parameters                                                                                     \
    {                                                                                                        \
        struct point *point = &points[POINT_##name];                                                         \
        type(*real) parameters;                                                                              \
        struct call call = point_enter(point, __builtin_return_address(0));                                  \
        type result = 0;                                                                                     \
        *(void **)&real = point_real(point);                                                                 \
        if (!call.fails) {                                                                                   \
            result = real arguments;                                                                         \
            point_leave(point, &call);                                                                       \
        }                                                                                                    \
        return call.fails ? (failed) : result;                                                               \
    }

/* Of one that returns nothing, which cannot fail either. */
#define WATCH_VOID(name, parameters, arguments)                                                              \
    void name parameters                                                                                     \
    {                                                                                                        \
        struct point *point = &points[POINT_##name];                                                         \
        struct call call = point_enter(point, __builtin_return_address(0));                                  \
        void(*real) parameters;                                                                              \
        *(void **)&real = point_real(point);                                                                 \
        real arguments;                                                                                      \
        point_leave(point, &call);                                                                           \
    }

static rd_kafka_resp_err_t
code_of(const struct call *call)
{
    return call->code != 0 ? (rd_kafka_resp_err_t)call->code : RD_KAFKA_RESP_ERR__FAIL;
}

/* In the place of what the library has returned, if it has. */
static rd_kafka_error_t *
error_of(const struct call *call, rd_kafka_error_t *result)
{
    rd_kafka_error_t *(*make)(rd_kafka_resp_err_t, const char *, ...);
    void (*destroy)(rd_kafka_error_t *);
    *(void **)&make = dlsym(RTLD_NEXT, "rd_kafka_error_new");
    *(void **)&destroy = dlsym(RTLD_NEXT, "rd_kafka_error_destroy");
    if (result != NULL)
        destroy(result);
    return make(code_of(call), "crashpoint: %s", "as asked");
}

/* ---- librdkafka ---- */

static rd_kafka_t *
no_handle(char *text, size_t size)
{
    snprintf(text, size, "crashpoint: as asked");
    return NULL;
}

WATCH(rd_kafka_t *, rd_kafka_new, (rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size),
      (type, conf, text, size), no_handle(text, size))

WATCH_VOID(rd_kafka_destroy, (rd_kafka_t * rk), (rk))

/* What a list of rd_kafka_producev's arguments says. */
struct message {
    rd_kafka_topic_t *topic;
    int32_t partition;
    void *key, *value, *opaque;
    size_t key_size, value_size;
    rd_kafka_headers_t *headers;
    int64_t timestamp;
    int flags;
};

static void
read_message(struct message *message, va_list arguments)
{
    *message = (struct message){.partition = RD_KAFKA_PARTITION_UA};
    for (int tag; (tag = va_arg(arguments, int)) != RD_KAFKA_VTYPE_END;) {
        switch (tag) {
        case RD_KAFKA_VTYPE_RKT:
            message->topic = va_arg(arguments, rd_kafka_topic_t *);
            break;
        case RD_KAFKA_VTYPE_PARTITION:
            message->partition = va_arg(arguments, int32_t);
            break;
        case RD_KAFKA_VTYPE_KEY:
            message->key = va_arg(arguments, void *);
            message->key_size = va_arg(arguments, size_t);
            break;
        case RD_KAFKA_VTYPE_VALUE:
            message->value = va_arg(arguments, void *);
            message->value_size = va_arg(arguments, size_t);
            break;
        case RD_KAFKA_VTYPE_HEADERS:
            message->headers = va_arg(arguments, rd_kafka_headers_t *);
            break;
        case RD_KAFKA_VTYPE_TIMESTAMP:
            message->timestamp = va_arg(arguments, int64_t);
            break;
        case RD_KAFKA_VTYPE_OPAQUE:
            message->opaque = va_arg(arguments, void *);
            break;
        case RD_KAFKA_VTYPE_MSGFLAGS:
            message->flags = va_arg(arguments, int);
            break;
        default:
            fprintf(stderr, "crashpoint: rd_kafka_producev with a tag %d, which it does not know\n", tag);
            abort();
        }
    }
}

/* Arguments without a number cannot be handed on as they are: all are given, at the library's defaults where there were none. */
rd_kafka_resp_err_t
rd_kafka_producev(rd_kafka_t *rk, ...)
{
    struct point *point = &points[POINT_rd_kafka_producev];
    struct call call = point_enter(point, __builtin_return_address(0));
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, ...);
    struct message message;
    va_list arguments;
    if (call.fails)
        return code_of(&call);
    va_start(arguments, rk);
    read_message(&message, arguments);
    va_end(arguments);
    *(void **)&real = point_real(point);
    rd_kafka_resp_err_t result =
        real(rk, RD_KAFKA_VTYPE_RKT, message.topic, RD_KAFKA_VTYPE_PARTITION, message.partition,
             RD_KAFKA_VTYPE_KEY, message.key, message.key_size, RD_KAFKA_VTYPE_VALUE, message.value,
             message.value_size, RD_KAFKA_VTYPE_HEADERS, message.headers, RD_KAFKA_VTYPE_TIMESTAMP,
             message.timestamp, RD_KAFKA_VTYPE_OPAQUE, message.opaque, RD_KAFKA_VTYPE_MSGFLAGS, message.flags,
             RD_KAFKA_VTYPE_END);
    point_leave(point, &call);
    return result;
}

WATCH(rd_kafka_error_t *, rd_kafka_produceva, (rd_kafka_t * rk, const rd_kafka_vu_t *list, size_t count),
      (rk, list, count), error_of(&call, result))
WATCH(rd_kafka_error_t *, rd_kafka_init_transactions, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms),
      error_of(&call, result))
WATCH(rd_kafka_error_t *, rd_kafka_begin_transaction, (rd_kafka_t * rk), (rk), error_of(&call, result))
WATCH(rd_kafka_error_t *, rd_kafka_commit_transaction, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms),
      error_of(&call, result))
WATCH(rd_kafka_error_t *, rd_kafka_abort_transaction, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms),
      error_of(&call, result))
WATCH(rd_kafka_resp_err_t, rd_kafka_flush, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms),
      code_of(&call))
WATCH(rd_kafka_resp_err_t, rd_kafka_purge, (rd_kafka_t * rk, int flags), (rk, flags), code_of(&call))
WATCH(int, rd_kafka_poll, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms), 0)
WATCH(rd_kafka_event_t *, rd_kafka_queue_poll, (rd_kafka_queue_t * queue, int timeout_ms),
      (queue, timeout_ms), NULL)
WATCH(int, rd_kafka_consume_start, (rd_kafka_topic_t * topic, int32_t partition, int64_t offset),
      (topic, partition, offset), -1)
WATCH(int, rd_kafka_consume_stop, (rd_kafka_topic_t * topic, int32_t partition), (topic, partition), -1)
WATCH(rd_kafka_message_t *, rd_kafka_consume, (rd_kafka_topic_t * topic, int32_t partition, int timeout_ms),
      (topic, partition, timeout_ms), NULL)
WATCH(ssize_t, rd_kafka_consume_batch,
      (rd_kafka_topic_t * topic, int32_t partition, int timeout_ms, rd_kafka_message_t **messages,
       size_t count),
      (topic, partition, timeout_ms, messages, count), -1)
WATCH(rd_kafka_message_t *, rd_kafka_consume_queue, (rd_kafka_queue_t * queue, int timeout_ms),
      (queue, timeout_ms), NULL)
WATCH(rd_kafka_message_t *, rd_kafka_consumer_poll, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms), NULL)
WATCH(rd_kafka_error_t *, rd_kafka_seek_partitions,
      (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions, int timeout_ms),
      (rk, partitions, timeout_ms), error_of(&call, result))
WATCH(rd_kafka_resp_err_t, rd_kafka_metadata,
      (rd_kafka_t * rk, int all, rd_kafka_topic_t *topic, const struct rd_kafka_metadata **metadata,
       int timeout_ms),
      (rk, all, topic, metadata, timeout_ms), code_of(&call))
WATCH(rd_kafka_resp_err_t, rd_kafka_query_watermark_offsets,
      (rd_kafka_t * rk, const char *topic, int32_t partition, int64_t *low, int64_t *high, int timeout_ms),
      (rk, topic, partition, low, high, timeout_ms), code_of(&call))
WATCH(char *, rd_kafka_clusterid, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms), NULL)
WATCH(int32_t, rd_kafka_controllerid, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms), -1)
WATCH_VOID(rd_kafka_DescribeConfigs,
           (rd_kafka_t * rk, rd_kafka_ConfigResource_t **resources, size_t count,
            const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue),
           (rk, resources, count, options, queue))

/* ---- libpq ---- */

WATCH(PGconn *, PQconnectStartParams,
      (const char *const *keywords, const char *const *values, int expand_dbname),
      (keywords, values, expand_dbname), NULL)

WATCH(PostgresPollingStatusType, PQconnectPoll, (PGconn * connection), (connection), PGRES_POLLING_FAILED)
WATCH(int, PQsendQuery, (PGconn * connection, const char *sql), (connection, sql), 0)
WATCH(int, PQsendQueryParams,
      (PGconn * connection, const char *sql, int count, const Oid *types, const char *const *values,
       const int *lengths, const int *formats, int format),
      (connection, sql, count, types, values, lengths, formats, format), 0)
WATCH(int, PQsendQueryPrepared,
      (PGconn * connection, const char *name, int count, const char *const *values, const int *lengths,
       const int *formats, int format),
      (connection, name, count, values, lengths, formats, format), 0)
WATCH(PGresult *, PQgetResult, (PGconn * connection), (connection), NULL)
WATCH(int, PQgetCopyData, (PGconn * connection, char **row, int async), (connection, row, async), -2)
WATCH(int, PQflush, (PGconn * connection), (connection), -1)
WATCH(int, PQconsumeInput, (PGconn * connection), (connection), 0)
WATCH_VOID(PQfinish, (PGconn * connection), (connection))
