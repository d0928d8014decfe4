/* bare.c: the bare producer (bare.h): what librdkafka alone can do with these events. */
#include "bare.h"

#include "config/settings.h"
#include "event/page.h"
#include "kafka/properties.h"
#include "postgres/row.h"
#include "support/postgres.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METADATA_MS 10000
#define FLUSH_MS 60000
/* Reports are taken so often; far below what librdkafka can hold. */
#define POLL_EVERY 1000

struct bare {
    struct settings *settings;
    struct page *page; /* all events */
    char (*ids)[24];   /* their ids in decimal */
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    size_t out, limit;
};

static void
on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct bare *bare = opaque;
    (void)rk;
    bare->out--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("bare producer: %s", rd_kafka_err2str(message->err));
}

static void
load(struct bare *bare, const char *events)
{
    struct error error;
    struct row_totals totals = {0};
    char *patterns[] = {"*"}, *row;
    struct topic_table *topics = topic_table_new(patterns, 1);
    PGconn *connection = postgres_connect(bare->settings->postgres_conninfo);
    char *sql = must_format(
        "copy (select id, created_at, topic, key, payload, headers, null::boolean from outbox.event"
        " order by id limit %" PRId64 ") to stdout (format binary)",
        (int64_t)strtoll(events, NULL, 10));
    PGresult *result = PQexec(connection, sql);
    bare->page = page_new(1);
    for (int size; (size = PQgetCopyData(connection, &row, 0)) > 0; PQfreemem(row))
        if (!row_from_copy(row, (size_t)size, bare->page, topics, &totals, &error))
            test_fail("bare producer: %s", error.message);
    PQclear(result);
    PQfinish(connection);
    free(sql);
    if (bare->page->count != (size_t)strtoll(events, NULL, 10))
        test_fail("bare producer: %zu events instead of %s", bare->page->count, events);
    bare->ids = must_calloc(bare->page->count, sizeof *bare->ids);
    for (size_t i = 0; i < bare->page->count; i++)
        snprintf(bare->ids[i], sizeof bare->ids[i], "%" PRId64, bare->page->events[i].id);
}

/* The shape of the relay's first instance; as many events out as fit into `memory`. */
static void
open_producer(struct bare *bare)
{
    struct error error;
    char why[512];
    int64_t bytes = properties_batch_bytes(bare->settings);
    const struct producer_shape shape = {.batch_bytes = bytes, .message_bytes = bytes};
    rd_kafka_conf_t *conf = properties_producer(bare->settings, &shape, &error);
    if (conf == NULL)
        test_fail("bare producer: %s", error.message);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, bare);
    bare->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (bare->rk == NULL)
        test_fail("bare producer: %s", why);
    const struct rd_kafka_metadata *metadata;
    bare->topic = rd_kafka_topic_new(bare->rk, bare->page->events[0].topic->name, NULL);
    if (rd_kafka_metadata(bare->rk, 0, bare->topic, &metadata, METADATA_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("bare producer: no metadata");
    rd_kafka_metadata_destroy(metadata);
    bare->limit = (size_t)bare->settings->memory_bytes / event_cost(&bare->page->events[0]);
}

static void
send_one(struct bare *bare, size_t index)
{
    const struct event *event = &bare->page->events[index];
    const char *source = bare->settings->source;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "id", 2, bare->ids[index], (ssize_t)strlen(bare->ids[index]));
    rd_kafka_header_add(headers, "source", 6, source, (ssize_t)strlen(source));
    rd_kafka_resp_err_t code = __extension__ rd_kafka_producev(
        bare->rk, RD_KAFKA_V_RKT(bare->topic), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
        RD_KAFKA_V_KEY((void *)(uintptr_t)event->key, event->key_size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)event->payload, event->payload_size), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_TIMESTAMP(event->created_at_us / 1000), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("bare producer: %s", rd_kafka_err2str(code));
    bare->out++;
}

_Noreturn void
bare_main(const char *config, const char *events)
{
    struct error error;
    struct bare bare = {0};
    if (!settings_load(&bare.settings, config, stderr, &error))
        test_fail("%s", error.message);
    load(&bare, events);
    open_producer(&bare);
    for (size_t i = 0; i < bare.page->count; i++) {
        while (bare.out >= bare.limit)
            rd_kafka_poll(bare.rk, 10);
        send_one(&bare, i);
        if (i % POLL_EVERY == 0)
            rd_kafka_poll(bare.rk, 0);
    }
    if (rd_kafka_flush(bare.rk, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        test_fail("bare producer: not everything was acknowledged");
    for (;;)
        pause();
}
