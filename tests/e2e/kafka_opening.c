/* kafka_opening.c: the first events that an instance of the producer sends to a partition. A real broker knows nothing of a new
 * producer and takes any batch as its first; librdkafka's mock brokers do so always, and can be told to refuse one request,
 * which on a real broker is a matter of milliseconds. */
#include "kafka_sender.h"

#include "base/clock.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "opening"
/* So long is a request on its way: time enough to send another. */
#define RTT_MS ((int)(200 * wait_patience()))

TestSuite(kafka_opening, .timeout = 60);

struct scene {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    struct sender *sender;
};

/* One partition; its leader refuses the first request with an error that passes. */
static struct scene
begin(void)
{
    char why[300];
    struct scene scene = {.host = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, why, sizeof why)};
    cr_assert_not_null(scene.host, "%s", why);
    scene.cluster = rd_kafka_mock_cluster_new(scene.host, 1);
    cr_assert_eq(rd_kafka_mock_topic_create(scene.cluster, TOPIC, 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    scene.sender = sender_new(NULL, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(scene.cluster));
    rd_kafka_mock_push_request_errors(scene.cluster, 0 /* Produce */, 1,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    rd_kafka_mock_broker_set_rtt(scene.cluster, 1, RTT_MS);
    return scene;
}

/* The first event is on its way alone when the others are handed over. */
static void
send_all_behind_the_first(struct scene *scene)
{
    struct sender *sender = scene->sender;
    sender->limit = 1;
    while (producer_out(sender->producer) == 0)
        sender_turn(sender);
    int64_t until_us = clock_monotonic_us() + RTT_MS * 1000 / 4;
    while (clock_monotonic_us() < until_us)
        sender_turn(sender);
    sender->limit = 0;
    sender_run(sender, 20000);
}

static void
end(struct scene *scene)
{
    sender_free(scene->sender);
    rd_kafka_mock_cluster_destroy(scene->cluster);
    rd_kafka_destroy(scene->host);
}

/* The records' numbers in the order of the partition; how many records there are. */
static size_t
read_numbers(const struct scene *scene, unsigned long *numbers, size_t capacity)
{
    static const char *const topics[] = {TOPIC, NULL};
    struct records records = {0};
    consumer_read_all(&records, rd_kafka_mock_cluster_bootstraps(scene->cluster), topics, false);
    size_t count = records.count;
    for (size_t i = 0; i < count && i < capacity; i++)
        numbers[i] = strtoul(records.list[i].value.data, NULL, 10);
    records_free(&records);
    return count;
}

Test(kafka_opening, an_event_refused_for_a_moment_is_not_overtaken_by_the_next_of_its_key__P1_P2)
{
    enum { EVENTS = 20 };
    unsigned long numbers[EVENTS];
    struct scene scene = begin();
    sender_add_numbered(scene.sender, TOPIC, EVENTS, 1, 0);
    send_all_behind_the_first(&scene);
    cr_assert_eq(read_numbers(&scene, numbers, EVENTS), EVENTS, "lost or sent twice");
    for (size_t i = 0; i < EVENTS; i++)
        cr_assert_eq(numbers[i], i + 1, "at %zu stands %lu", i, numbers[i]);
    cr_assert_eq(producer_statistics(scene.sender->producer)->instances, 1);
    end(&scene);
}

Test(kafka_opening, an_acknowledgement_that_librdkafka_concludes_from_a_later_one_counts_for_nothing__I1)
{
    unsigned long numbers[3];
    bool made = false; /* both may have gone in one request */
    for (int tries = 0; !made; tries++) {
        cr_assert_lt(tries, 10, "the mistake was not made");
        struct scene scene = begin();
        /* without a key nothing waits for the first */
        sender_add(scene.sender, TOPIC, NULL, 0, "1", 1, NULL);
        sender_add(scene.sender, TOPIC, NULL, 0, "2", 1, NULL);
        send_all_behind_the_first(&scene);
        cr_assert_eq(read_numbers(&scene, numbers, 3), 2);
        cr_assert_eq(numbers[0] + numbers[1], 3, "%lu and %lu", numbers[0], numbers[1]);
        made = strcmp(scene.sender->last.name, "NO_OFFSET") == 0;
        end(&scene);
    }
}
