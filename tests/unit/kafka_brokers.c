/* kafka_brokers.c: is anybody there? P5: an outage is named with its reason; and one broker of several is none. The brokers are
 * librdkafka's mock: sockets that come and go as real ones do. */
#include "kafka/brokers.h"
#include "kafka/handshake.h"
#include "kafka/producer.h"
#include "support/wait.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

TestSuite(kafka_brokers, .timeout = 60);

enum { BROKERS = 3 };

static void
expect_split(const char *text, const char *broker, const char *what)
{
    char got_broker[64], got_what[128];
    brokers_split_reason(text, got_broker, sizeof got_broker, got_what, sizeof got_what);
    cr_expect_str_eq(got_broker, broker, "%s", text);
    cr_expect_str_eq(got_what, what, "%s", text);
}

Test(kafka_brokers, a_reason_is_the_brokers_address_and_what_happened)
{
    expect_split("127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused "
                 "(after 0ms in state CONNECT)",
                 "127.0.0.1:9092", "Connect to ipv4#127.0.0.1:9092 failed: Connection refused");
    expect_split("sasl_ssl://k1.example.org:9093/2: SSL handshake failed: certificate verify failed",
                 "k1.example.org:9093", "SSL handshake failed: certificate verify failed");
    expect_split("[::1]:9092/1: Disconnected (after 171ms in state UP)", "[::1]:9092", "Disconnected");
    expect_split("Failed to acquire idempotence PID from broker k:9092/1: Broker: busy: retrying", "",
                 "Failed to acquire idempotence PID from broker k:9092/1: Broker: busy: retrying");
    expect_split("no colon", "", "no colon");
    expect_split("", "", "");
}

Test(kafka_brokers, a_handshake_that_a_listener_without_TLS_has_ended_is_named_however_it_is_told)
{
    static const char *const told[] = {
        "SSL handshake failed: ssl/record/rec_layer_s3.c:308:error:0A000126:SSL routines::unexpected eof "
        "while reading: ",
        "error:0A000126:SSL routines::unexpected eof while reading",
        "error:0A00010B:SSL routines::wrong version number",
        "error:1408F10B:SSL routines:ssl3_get_record:wrong version number"};
    char text[256];
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        snprintf(text, sizeof text, "%s", told[i]);
        const char *cure = handshake_explain("127.0.0.1:9093", text, sizeof text);
        cr_expect_str_eq(text, "SSL handshake failed: the broker ended it: is this a listener without TLS?");
        cr_expect(cure != NULL && strstr(cure, "kafka.security.protocol") != NULL);
    }
    snprintf(text, sizeof text, "Receive failed: error:0A000126:SSL routines::unexpected eof while reading");
    cr_expect_null(handshake_explain("127.0.0.1:9093", text, sizeof text), "it was in use");
}

struct cluster {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *mock;
    struct property servers;
    struct settings settings;
    struct producer *producer;
};

static void
nothing_is_sent(void *context, struct event *event, const struct outcome *outcome)
{
    (void)context, (void)event, (void)outcome;
    cr_assert_fail("a report");
}

static void
cluster_open(struct cluster *cluster)
{
    char reason[256];
    struct error error;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    cluster->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    cr_assert_not_null(cluster->host, "%s", reason);
    cluster->mock = rd_kafka_mock_cluster_new(cluster->host, BROKERS);
    cluster->servers = (struct property){
        .name = "bootstrap.servers",
        .value = (char *)(uintptr_t)rd_kafka_mock_cluster_bootstraps(cluster->mock),
    };
    cluster->settings =
        (struct settings){.source = "shop", .relay = "main", .kafka = &cluster->servers, .kafka_count = 1};
    cr_assert(producer_new(&cluster->producer, &cluster->settings, nothing_is_sent, NULL, &error), "%s",
              error.message);
    cr_assert(producer_start(cluster->producer, 0, false, &error), "%s", error.message);
}

static void
cluster_close(struct cluster *cluster)
{
    producer_free(cluster->producer);
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->host);
}

static void
set_brokers(struct cluster *cluster, int first, bool up)
{
    for (int id = first; id <= BROKERS; id++)
        if (up)
            rd_kafka_mock_broker_set_up(cluster->mock, id);
        else
            rd_kafka_mock_broker_set_down(cluster->mock, id);
}

/* As the relay's loop does. */
static const struct producer_statistics *
turn(struct cluster *cluster)
{
    producer_turn(cluster->producer, clock_monotonic_us());
    return producer_statistics(cluster->producer);
}

Test(kafka_brokers, an_outage_is_when_no_broker_is_connected_and_it_ends_when_one_is__P5)
{
    struct cluster cluster;
    cluster_open(&cluster);
    cr_expect_not(producer_statistics(cluster.producer)->reached);
    wait_for(turn(&cluster)->reached, 5000);
    cr_expect_eq(turn(&cluster)->away_since_us, 0);

    int64_t before_us = clock_monotonic_us();
    set_brokers(&cluster, 1, false);
    wait_for(turn(&cluster)->away_since_us != 0, 8000);
    wait_for(strstr(turn(&cluster)->away_why, "Connection refused") != NULL, 8000);
    const struct producer_statistics *statistics = turn(&cluster);
    cr_expect_geq(statistics->away_since_us, before_us, "since the connection ended");
    cr_expect_lt(llabs(statistics->away_since_wall_us - clock_wall_us() + clock_monotonic_us() -
                       statistics->away_since_us),
                 (int64_t)(100000 * wait_patience()));
    cr_expect_eq(strncmp(statistics->away_why, "127.0.0.1:", 10), 0, "%s", statistics->away_why);

    set_brokers(&cluster, 2, true);
    wait_for(turn(&cluster)->away_since_us == 0, 8000);
    cluster_close(&cluster);
}

/* Two of three are down, one after the other; librdkafka, which had no reason to be connected to all of them, finds the third. */
Test(kafka_brokers, one_broker_that_is_left_is_enough__P5)
{
    struct cluster cluster;
    cluster_open(&cluster);
    wait_for(turn(&cluster)->reached, 5000);
    set_brokers(&cluster, 2, false);
    for (int64_t end_us = wait_deadline_us(7000); wait_turn(end_us);)
        cr_assert_eq(turn(&cluster)->away_since_us, 0, "%s", turn(&cluster)->away_why);
    cluster_close(&cluster);
}
