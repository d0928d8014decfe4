/* kafka_inspect.c: `check` with brokers that do not answer everything. They are librdkafka's mock: no broker of theirs is the
 * controller, and each answers as late as it is told. */
#include "kafka/inspect.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

TestSuite(kafka_inspect_mock, .timeout = 60);

static rd_kafka_t *host;
static rd_kafka_mock_cluster_t *mock;

static void
cluster_open(const char *const *topics, size_t count)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    cr_assert_not_null(host, "%s", reason);
    mock = rd_kafka_mock_cluster_new(host, 1);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(rd_kafka_mock_topic_create(mock, topics[i], 3, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void
cluster_close(void)
{
    rd_kafka_mock_cluster_destroy(mock);
    rd_kafka_destroy(host);
}

static struct findings
inspect_for(enum delivery delivery, const char *const *topics, size_t count, int timeout_ms)
{
    struct property servers = {.name = "bootstrap.servers",
                               .value = (char *)(uintptr_t)rd_kafka_mock_cluster_bootstraps(mock)};
    struct settings settings = {
        .source = "shop", .relay = "main", .delivery = delivery, .kafka = &servers, .kafka_count = 1};
    struct findings findings = {0};
    kafka_inspect(&settings, topics, count, false, timeout_ms, &findings);
    return findings;
}

static struct findings
inspect(const char *const *topics, size_t count, int timeout_ms)
{
    return inspect_for(DELIVERY_AT_LEAST_ONCE, topics, count, timeout_ms);
}

Test(kafka_inspect_mock, a_cluster_that_cannot_tell_configurations_is_well_and_not_waited_for)
{
    enum { TIMEOUT_MS = 20000 };
    static const char *const topics[] = {"user.signed_up", "article.priced"};
    cluster_open(topics, 2);
    int64_t begin_us = clock_monotonic_us();
    struct findings findings = inspect(topics, 2, TIMEOUT_MS);
    cr_expect_lt(clock_monotonic_us() - begin_us, TIMEOUT_MS * 1000 / 2);
    const struct finding *error = findings_first_error(&findings);
    cr_expect_null(error, "%s", error ? error->what : "");
    size_t described = 0;
    for (size_t i = 0; i < findings.count; i++)
        described += strstr(findings.list[i].what, "3 partitions, replication factor 1") != NULL;
    cr_expect_eq(described, 2);
    findings_free(&findings);
    cluster_close();
}

/* `run` would end with it. The mock tells no configurations, and how many partitions there are is told without them. */
Test(kafka_inspect_mock, a_position_topic_of_several_partitions_is_an_error_and_nothing_else_is_said_about_it)
{
    static const char *const topics[] = {"outboxd-position-shop-main"};
    cluster_open(topics, 1);
    struct findings findings = inspect_for(DELIVERY_EXACTLY_ONCE, NULL, 0, 20000);
    const struct finding *error = findings_first_error(&findings);
    cr_assert_not_null(error);
    cr_expect_not_null(
        strstr(error->what, "outboxd-position-shop-main: 3 partitions: the position topic must have one"),
        "%s", error->what);
    size_t said = 0;
    for (size_t i = 0; i < findings.count; i++)
        said += strstr(findings.list[i].what, topics[0]) != NULL;
    cr_expect_eq(said, 1);
    findings_free(&findings);
    cluster_close();
}

/* Fifty answers of 100 ms each do not fit into two seconds. */
Test(kafka_inspect_mock, a_silent_kafka_is_not_taken_for_one_that_refuses)
{
    enum { TOPICS = 50, RTT_MS = 100 };
    char names[TOPICS][16];
    const char *topics[TOPICS];
    for (int i = 0; i < TOPICS; i++) {
        snprintf(names[i], sizeof names[i], "topic-%d", i);
        topics[i] = names[i];
    }
    cluster_open(topics, TOPICS);
    rd_kafka_mock_broker_set_rtt(mock, 1, RTT_MS);
    struct findings findings = inspect(topics, TOPICS, 2000);
    const struct finding *error = findings_first_error(&findings);
    cr_assert_not_null(error);
    cr_expect_not_null(strstr(error->what, "_TIMED_OUT"), "%s", error->what);
    cr_expect_not_null(strstr(error->cure, "Kafka was silent"), "%s", error->cure);
    findings_free(&findings);
    cluster_close();
}
