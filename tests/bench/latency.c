/* latency.c: paced writers, a consumer, and what lies between (latency.h). */
#include "latency.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITERS 4
#define KEYS 50000
/* The paced load begins so long after everybody is ready. */
#define LEAD_US 200000
/* How long the last events may take. */
#define ARRIVAL_MS 30000
#define POLL_MS 100

struct course {
    const struct latency_load *load;
    struct outbox *outbox; /* NULL: no relay */
    struct venue *venue;
    int64_t start_us;
    int64_t *begun_us, *sent_us, *received_us; /* by number of the event; 0: not yet */
    atomic_int_fast64_t received;
    atomic_bool ready, over;
    int64_t run; /* events of earlier runs may still be under way */
};

/* ---- the consumer ---- */

static rd_kafka_t *
open_consumer(struct course *course)
{
    static const char *const properties[] = {"group.id",
                                             "bench",
                                             "isolation.level",
                                             "read_committed",
                                             "fetch.wait.max.ms",
                                             "5",
                                             "fetch.error.backoff.ms",
                                             "5",
                                             "enable.partition.eof",
                                             "true",
                                             "enable.auto.commit",
                                             "false",
                                             NULL};
    rd_kafka_t *consumer = venue_client(course->venue, RD_KAFKA_CONSUMER, properties, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(STAGE_PARTITIONS);
    for (int partition = 0; partition < STAGE_PARTITIONS; partition++)
        rd_kafka_topic_partition_list_add(list, STAGE_LATENCY_TOPIC, partition)->offset = RD_KAFKA_OFFSET_END;
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

/* Payloads are "run number" and padding. */
static void
take(struct course *course, const rd_kafka_message_t *message)
{
    char text[64] = "";
    int64_t run, number;
    memcpy(text, message->payload, message->len < sizeof text - 1 ? message->len : sizeof text - 1);
    if (sscanf(text, "%" SCNd64 " %" SCNd64, &run, &number) != 2 || run != course->run)
        return;
    CHECK(number >= 0 && number < course->load->events);
    if (course->received_us[number] != 0)
        return;
    course->received_us[number] = clock_monotonic_us();
    course->received++;
}

static void *
consume(void *context)
{
    struct course *course = context;
    rd_kafka_t *consumer = open_consumer(course);
    bool ended[STAGE_PARTITIONS] = {false};
    int ends = 0;
    while (!course->over) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, POLL_MS);
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take(course, message);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && !ended[message->partition]) {
            ended[message->partition] = true;
            course->ready = ++ends == STAGE_PARTITIONS;
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return NULL;
}

/* ---- the two senders ---- */

static void
wait_for_turn(const struct course *course, int64_t number)
{
    int64_t due_us = course->start_us + (int64_t)((double)number * 1e6 / course->load->events_per_s);
    for (int64_t left_us; (left_us = due_us - clock_monotonic_us()) > 0;)
        usleep((useconds_t)left_us);
}

static void
compose(const struct course *course, int64_t number, char key[STAGE_KEY_BYTES + 1],
        char payload[STAGE_PAYLOAD_BYTES + 1])
{
    snprintf(key, STAGE_KEY_BYTES + 1, "%0*" PRId64, STAGE_KEY_BYTES, number % KEYS);
    int size = snprintf(payload, STAGE_PAYLOAD_BYTES + 1, "%" PRId64 " %" PRId64 " ", course->run, number);
    memset(payload + size, '.', (size_t)(STAGE_PAYLOAD_BYTES - size));
    payload[STAGE_PAYLOAD_BYTES] = '\0';
}

struct writer {
    struct course *course;
    pthread_t thread;
    int64_t first;
};

static void *
commit_events(void *context)
{
    const struct writer *writer = context;
    struct course *course = writer->course;
    char key[STAGE_KEY_BYTES + 1], payload[STAGE_PAYLOAD_BYTES + 1];
    const char *values[] = {key, payload};
    PGconn *app = postgres_connect(outbox_conninfo(course->outbox, POSTGRES_WRITER));
    PQclear(PQprepare(app, "emit",
                      "insert into outbox.event (topic, key, payload) values ('" STAGE_LATENCY_TOPIC
                      "', $1, $2)",
                      2, NULL));
    for (int64_t number = writer->first; number < course->load->events; number += WRITERS) {
        compose(course, number, key, payload);
        wait_for_turn(course, number);
        course->begun_us[number] = clock_monotonic_us();
        PGresult *result = PQexecPrepared(app, "emit", 2, values, NULL, NULL, 0);
        course->sent_us[number] = clock_monotonic_us();
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            test_fail("a writer: %s", PQerrorMessage(app));
        PQclear(result);
    }
    PQfinish(app);
    return NULL;
}

static void
commit_all(struct course *course)
{
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.course = course, .first = i};
        CHECK(pthread_create(&writers[i].thread, NULL, commit_events, &writers[i]) == 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
}

static void
produce_all(struct course *course)
{
    static const char *const properties[] = {
        "enable.idempotence", "true", "acks", "all", "linger.ms", "0", "partitioner", "murmur2_random", NULL};
    char key[STAGE_KEY_BYTES + 1], payload[STAGE_PAYLOAD_BYTES + 1];
    rd_kafka_t *producer = venue_client(course->venue, RD_KAFKA_PRODUCER, properties, NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, STAGE_LATENCY_TOPIC, NULL);
    for (int64_t number = 0; number < course->load->events; number++) {
        compose(course, number, key, payload);
        wait_for_turn(course, number);
        course->sent_us[number] = clock_monotonic_us();
        if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, STAGE_PAYLOAD_BYTES,
                             key, STAGE_KEY_BYTES, NULL) != 0)
            test_fail("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, ARRIVAL_MS);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

/* ---- one run ---- */

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static struct latencies
summarise(const struct course *course, const int64_t *begin_us, const int64_t *end_us)
{
    int64_t from = course->load->events / 10, count = course->load->events - from;
    double *ms = must_calloc((size_t)count, sizeof *ms);
    for (int64_t i = 0; i < count; i++)
        ms[i] = (double)(end_us[from + i] - begin_us[from + i]) / 1e3;
    qsort(ms, (size_t)count, sizeof *ms, compare);
    struct latencies latencies = {ms[count / 2], ms[count * 9 / 10], ms[count * 99 / 100], ms[count - 1]};
    free(ms);
    return latencies;
}

static void
wait_while_missing(struct course *course, int64_t wanted, const char *what)
{
    int64_t end_us = clock_monotonic_us() + ARRIVAL_MS * INT64_C(1000);
    while (wanted == 0 ? !course->ready : course->received < wanted) {
        if (clock_monotonic_us() > end_us)
            test_fail("%s: %" PRId64 " of %" PRId64, what, (int64_t)course->received, wanted);
        usleep(5000);
    }
}

static struct latencies
run(struct course *course, struct latencies *commit)
{
    pthread_t consumer;
    size_t events = (size_t)course->load->events;
    course->begun_us = must_calloc(events, sizeof *course->begun_us);
    course->sent_us = must_calloc(events, sizeof *course->sent_us);
    course->received_us = must_calloc(events, sizeof *course->received_us);
    course->run = clock_wall_us();
    CHECK(pthread_create(&consumer, NULL, consume, course) == 0);
    wait_while_missing(course, 0, "the consumer does not reach the end of the topic");
    course->start_us = clock_monotonic_us() + LEAD_US;
    if (course->outbox != NULL)
        commit_all(course);
    else
        produce_all(course);
    wait_while_missing(course, course->load->events, "events that arrived");
    course->over = true;
    pthread_join(consumer, NULL);
    struct latencies latencies = summarise(course, course->sent_us, course->received_us);
    if (commit != NULL)
        *commit = summarise(course, course->begun_us, course->sent_us);
    free(course->begun_us);
    free(course->sent_us);
    free(course->received_us);
    return latencies;
}

struct latencies
latency_of_commits(struct outbox *outbox, struct venue *venue, const struct latency_load *load,
                   struct latencies *commit)
{
    struct course course = {.load = load, .outbox = outbox, .venue = venue};
    return run(&course, commit);
}

struct latencies
latency_of_produce(struct venue *venue, const struct latency_load *load)
{
    struct course course = {.load = load, .venue = venue};
    return run(&course, NULL);
}
