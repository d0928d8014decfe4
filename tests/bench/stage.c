/* stage.c: servers and data of the benchmarks (stage.h). */
#include "stage.h"

#include "base/clock.h"
#include "support/kafka.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 50000
#define MOCK_START_MS 20000
#define ANSWER_MS 5000
#define TOPIC_READY_MS 20000

/* Durable, as in production; large enough that no checkpoint and no eviction falls into a measurement. */
static const char server_settings[] = "shared_buffers = '1GB'\n"
                                      "max_wal_size = '8GB'\n"
                                      "checkpoint_timeout = '1h'\n"
                                      "autovacuum = off\n";

const char *
stage_option(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : otherwise;
}

void
stage_progress(const char *format, ...)
{
    static int64_t since_us;
    if (since_us == 0)
        since_us = clock_monotonic_us();
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench: %6.1f s  ", (double)(clock_monotonic_us() - since_us) / 1e6);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ---- the outbox ---- */

/* Payloads of exactly STAGE_PAYLOAD_BYTES that compress about as JSON does: half of each is its own, half is names. */
void
outbox_fill(struct outbox *outbox, int64_t events, int64_t at_once)
{
    postgres_exec(outbox->admin,
                  "do $$ begin"
                  " for base in 1 .. %" PRId64 " by %" PRId64 " loop"
                  "  insert into outbox.event (topic, key, payload)"
                  "  select '" STAGE_DRAIN_TOPIC "', convert_to(lpad((i %% %d)::text, %d, '0'), 'UTF8'),"
                  "   convert_to(rpad(format('{\"order\": %%s, \"customer\": \"%%s\", \"token\": \"%%s\", "
                  "\"status\": \"placed\","
                  "    \"currency\": \"EUR\", \"shipping\": \"standard\", \"note\": \"', i, md5(i::text), "
                  "md5((i + 0.5)::text)),"
                  "    %d - 2, 'none ') || '\"}', 'UTF8')"
                  "  from generate_series(base, least(base + %" PRId64 " - 1, %" PRId64 ")) i order by i;"
                  "  commit;"
                  " end loop; end $$",
                  events, at_once, KEYS, STAGE_KEY_BYTES, STAGE_PAYLOAD_BYTES, at_once, events);
}

void
outbox_open(struct outbox *outbox, int64_t events)
{
    outbox->postgres = postgres_start(server_settings);
    outbox->beside = false;
    outbox->database = postgres_create_outbox(outbox->postgres);
    outbox->admin = postgres_open(outbox->postgres, outbox->database, POSTGRES_ADMIN);
    outbox_fill(outbox, events, STAGE_EVENTS_A_TRANSACTION);
    CHECK(postgres_int(outbox->admin,
                       "select count(*) from outbox.event where octet_length(payload) = %d"
                       " and octet_length(key) = %d",
                       STAGE_PAYLOAD_BYTES, STAGE_KEY_BYTES) == events);
    postgres_exec(outbox->admin, "analyze outbox.event");
    postgres_exec(outbox->admin, "checkpoint");
}

void
outbox_open_beside(struct outbox *outbox, const struct outbox *first)
{
    outbox->postgres = first->postgres;
    outbox->beside = true;
    outbox->database = postgres_create_outbox(outbox->postgres);
    outbox->admin = postgres_open(outbox->postgres, outbox->database, POSTGRES_ADMIN);
}

void
outbox_close(struct outbox *outbox)
{
    PQfinish(outbox->admin);
    if (!outbox->beside)
        postgres_free(outbox->postgres);
}

void
outbox_rewind(struct outbox *outbox)
{
    postgres_exec(outbox->admin, "truncate outbox.journal, outbox.relay");
}

void
outbox_start_now(struct outbox *outbox)
{
    postgres_exec(outbox->admin,
                  "select outbox.relay_add('" DAEMON_RELAY "', '" DAEMON_SOURCE "', '{*}', '24 h', true)");
}

const char *
outbox_conninfo(const struct outbox *outbox, const char *user)
{
    return postgres_conninfo(outbox->postgres, outbox->database, user);
}

pid_t
outbox_relay_backend(const struct outbox *outbox)
{
    return (pid_t)postgres_int(
        outbox->admin, "select coalesce(max(pid), 0) from pg_stat_activity"
                       " where application_name like 'outboxd main %%' and datname = current_database()");
}

/* ---- brokers ---- */

struct venue {
    const char *kind;
    char *bootstrap;
    struct broker *kafka; /* NULL: the mock */
    pid_t mock;
};

static void
create_drain_topic(struct venue *venue)
{
    static const char *const configs[] = {"file.delete.delay.ms", "0", NULL};
    broker_create_topic(venue->kafka, STAGE_DRAIN_TOPIC, STAGE_PARTITIONS, configs);
}

static void
create_position_topic(struct venue *venue)
{
    broker_create_topic(venue->kafka, STAGE_POSITION_TOPIC, 1,
                        (const char *[]){"cleanup.policy", "compact", NULL});
}

static void
open_kafka(struct venue *venue)
{
    venue->kafka = broker_start(NULL);
    venue->bootstrap = must_strdup(broker_bootstrap(venue->kafka));
    create_drain_topic(venue);
    broker_create_topic(venue->kafka, STAGE_LATENCY_TOPIC, STAGE_PARTITIONS, NULL);
    create_position_topic(venue);
}

/* The mock is a program of its own, so that what it costs is not counted for a producer. */
static void
open_mock(struct venue *venue)
{
    const char *program = getenv("OUTBOXD_BENCH_MOCK");
    char *directory = scratch_directory("mock"), *output = must_format("%s/address", directory);
    char topic[2][64];
    snprintf(topic[0], sizeof topic[0], "%s:%d", STAGE_DRAIN_TOPIC, STAGE_PARTITIONS);
    snprintf(topic[1], sizeof topic[1], "%s:%d", STAGE_LATENCY_TOPIC, STAGE_PARTITIONS);
    const char *argv[] = {program ? program : "build/examples/demo/mock_broker", topic[0], topic[1], NULL};
    struct process_options options = {.argv = argv, .output_path = output, .death_signal = SIGKILL};
    venue->mock = process_start(&options);
    char *address = scratch_read_file(output);
    for (int64_t end_us = wait_deadline_us(MOCK_START_MS); strchr(address, '\n') == NULL;) {
        wait_turn_or_fail(end_us, "the mock broker says its address", __FILE__, __LINE__);
        free(address);
        address = scratch_read_file(output);
    }
    *strchr(address, '\n') = '\0';
    venue->bootstrap = address;
    free(output);
    free(directory);
}

struct venue *
venue_open(const char *kind)
{
    struct venue *venue = must_calloc(1, sizeof *venue);
    venue->kind = kind;
    if (strcmp(kind, "kafka") == 0)
        open_kafka(venue);
    else
        open_mock(venue);
    return venue;
}

void
venue_close(struct venue *venue)
{
    broker_free(venue->kafka);
    if (venue->mock != 0) {
        kill(venue->mock, SIGTERM);
        process_wait(venue->mock, MOCK_START_MS);
    }
    free(venue->bootstrap);
    free(venue);
}

const char *
venue_kind(const struct venue *venue)
{
    return venue->kind;
}

const char *
venue_bootstrap(const struct venue *venue)
{
    return venue->bootstrap;
}

void
venue_clear(struct venue *venue)
{
    if (venue->kafka == NULL)
        return;
    broker_delete_topic(venue->kafka, STAGE_DRAIN_TOPIC);
    create_drain_topic(venue);
    broker_delete_topic(venue->kafka, STAGE_POSITION_TOPIC);
    create_position_topic(venue);
}

/* -1 with *code: not known now. */
static int64_t
ask_for_end(rd_kafka_t *client, const char *topic, rd_kafka_resp_err_t *code)
{
    int64_t sum = 0;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(STAGE_PARTITIONS);
    for (int partition = 0; partition < STAGE_PARTITIONS; partition++)
        rd_kafka_topic_partition_list_add(list, topic, partition)->offset = RD_KAFKA_OFFSET_END;
    *code = rd_kafka_offsets_for_times(client, list, ANSWER_MS);
    for (int i = 0; i < list->cnt; i++) {
        if (*code == RD_KAFKA_RESP_ERR_NO_ERROR)
            *code = list->elems[i].err;
        sum += list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return *code == RD_KAFKA_RESP_ERR_NO_ERROR ? sum : -1;
}

int64_t
venue_end(rd_kafka_t *client, const char *topic)
{
    rd_kafka_resp_err_t code;
    int64_t end, give_up_us = wait_deadline_us(TOPIC_READY_MS);
    while ((end = ask_for_end(client, topic, &code)) < 0) /* a new topic has no leader for a moment */
        if (!wait_turn(give_up_us))
            test_fail("end offsets of %s: %s", topic, rd_kafka_err2str(code));
    return end;
}

static void
log_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client, (void)level, (void)facility, (void)text;
}

rd_kafka_t *
venue_client(const struct venue *venue, rd_kafka_type_t type, const char *const *properties,
             void (*on_report)(rd_kafka_t *, const rd_kafka_message_t *, void *))
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    if (on_report != NULL)
        rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    bool good =
        rd_kafka_conf_set(conf, "bootstrap.servers", venue->bootstrap, why, sizeof why) == RD_KAFKA_CONF_OK;
    for (size_t i = 0; good && properties != NULL && properties[i] != NULL; i += 2)
        good = rd_kafka_conf_set(conf, properties[i], properties[i + 1], why, sizeof why) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = good ? rd_kafka_new(type, conf, why, sizeof why) : NULL;
    if (client == NULL)
        test_fail("a client of %s: %s", venue->bootstrap, why);
    return client;
}
