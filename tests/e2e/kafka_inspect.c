/* kafka_inspect.c: what `check` finds out about Kafka, each finding with its cure. */
#include "kafka/inspect.h"

#include "kafka_sender.h"
#include "support/scratch.h"
#include "support/wait.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct findings
inspect(const char *servers, const char *const *topics, size_t count, bool create, int timeout_ms)
{
    struct property property = {.name = "bootstrap.servers", .value = (char *)(uintptr_t)servers, .line = 1};
    struct settings settings = {
        .file = "c.yaml", .source = "shop", .relay = "main", .kafka = &property, .kafka_count = 1};
    struct findings findings = {0};
    kafka_inspect(&settings, topics, count, create, timeout_ms, &findings);
    return findings;
}

static const struct finding *
find(const struct findings *findings, enum finding_level level, const char *part)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].level == level && strstr(findings->list[i].what, part) != NULL)
            return &findings->list[i];
    return NULL;
}

static bool
says(const struct settings *settings, const char *topic, enum finding_level level, const char *part)
{
    struct findings findings = {0};
    kafka_inspect(settings, &topic, 1, false, 20000, &findings);
    bool found = find(&findings, level, part) != NULL;
    findings_free(&findings);
    return found;
}

Test(kafka_inspect, brokers_and_topics_that_are_well_are_described, .timeout = 120)
{
    static const char *const configs[] = {"cleanup.policy", "compact", "max.message.bytes", "12345", NULL};
    struct broker *broker = broker_shared();
    const char *topic = broker_new_topic(broker, "well", 3, configs);
    struct findings findings = inspect(broker_bootstrap(broker), &topic, 1, false, 20000);
    cr_assert_null(findings_first_error(&findings));
    cr_assert_not_null(find(&findings, FINDING_OK, "Kafka answers: 1 broker, cluster "));
    cr_assert_not_null(find(&findings, FINDING_OK, "broker version: 4.0 or later"));
    const struct finding *finding = find(&findings, FINDING_OK, topic);
    cr_assert_not_null(finding);
    cr_assert_not_null(strstr(finding->what, "3 partitions, replication factor 1"), "%s", finding->what);
    cr_assert_not_null(
        strstr(finding->what, "max.message.bytes 12345, cleanup.policy compact (takes no event"));
    findings_free(&findings);
    broker_free(broker);
}

Test(kafka_inspect, a_missing_topic_has_a_ready_command_and_create_makes_the_same, .timeout = 120)
{
    struct broker *broker = broker_shared();
    const char *topic = broker_topic_name(broker, "missing");
    struct findings findings = inspect(broker_bootstrap(broker), &topic, 1, false, 20000);
    const struct finding *error = findings_first_error(&findings);
    char *command = must_format("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 8 "
                                "--replication-factor 1",
                                broker_bootstrap(broker), topic);
    cr_assert_not_null(error);
    cr_assert_eq(error->kind, ERROR_UNUSABLE);
    cr_assert_str_eq(error->cure, command);
    cr_assert_eq(broker_partition_count(broker, topic), 0, "asking creates nothing");
    findings_free(&findings);

    findings = inspect(broker_bootstrap(broker), &topic, 1, true, 20000);
    cr_assert_null(findings_first_error(&findings));
    cr_assert_not_null(find(&findings, FINDING_OK, "created, 8 partitions, 1 copy of each"));
    wait_for(broker_partition_count(broker, topic) == 8, 20000);
    findings_free(&findings);
    free(command);
    broker_free(broker);
}

/* One broker may be lost, and neither events nor the position are. */
Test(kafka_inspect, on_three_brokers_create_asks_for_two_copies_and_one_copy_is_warned_about, .timeout = 180)
{
    struct broker *cluster = broker_start_cluster(
        BROKER_NODES, &(struct broker_options){.properties = "default.replication.factor=1\n"
                                                             "offsets.topic.replication.factor=1\n"});
    struct property property = {
        .name = "bootstrap.servers", .value = (char *)(uintptr_t)broker_bootstrap(cluster), .line = 1};
    struct settings settings = {.file = "c.yaml",
                                .source = "shop",
                                .relay = "main",
                                .delivery = DELIVERY_EXACTLY_ONCE,
                                .kafka = &property,
                                .kafka_count = 1};
    const char *topics[] = {broker_topic_name(cluster, "missing"),
                            broker_new_topic(cluster, "single", 1, NULL)};
    struct findings findings = {0};
    kafka_inspect(&settings, topics, 2, false, 20000, &findings);
    cr_expect_not_null(find(&findings, FINDING_WARNING, "one copy only: the loss of a broker loses events"));
    for (size_t i = 0; i < findings.count; i++)
        if (findings.list[i].level == FINDING_ERROR)
            cr_expect_not_null(
                strstr(findings.list[i].cure, "--replication-factor 3 --config min.insync.replicas=2"), "%s",
                findings.list[i].cure);
    findings_free(&findings);
    kafka_inspect(&settings, topics, 2, true, 20000, &findings);
    cr_expect_null(findings_first_error(&findings));
    findings_free(&findings);
    /* what one broker has made the others learn a moment later */
    wait_for(says(&settings, topics[0], FINDING_OK,
                  "outboxd-position-shop-main: 1 partition, replication factor 3, min.insync.replicas 2"),
             30000);
    wait_for(says(&settings, topics[0], FINDING_OK,
                  "missing: 8 partitions, replication factor 3, min.insync.replicas 2"),
             30000);
    cr_expect_not(says(&settings, topics[0], FINDING_WARNING, "topic"));
    broker_delete_topic(cluster, "outboxd-position-shop-main");
    broker_create_topic(cluster, "outboxd-position-shop-main", 1,
                        (const char *[]){"cleanup.policy", "compact", NULL});
    wait_for(says(&settings, topics[0], FINDING_WARNING, "loses the position"), 30000);
    broker_free(cluster);
}

Test(kafka_inspect, more_replicas_demanded_than_there_are_is_an_error_on_kafka_3_and_a_warning_on_4,
     .timeout = 120)
{
    static const char *const configs[] = {"min.insync.replicas", "2", NULL}, *const versions[] = {"3.9.1",
                                                                                                  NULL};
    for (int i = 0; i < 2; i++) {
        struct broker *broker = broker_start(&(struct broker_options){.version = versions[i]});
        const char *topic = broker_topic_name(broker, "insync");
        broker_create_topic(broker, topic, 1, configs);
        struct findings findings = inspect(broker_bootstrap(broker), &topic, 1, false, 20000);
        cr_assert_not_null(find(&findings, i == 0 ? FINDING_ERROR : FINDING_WARNING,
                                "min.insync.replicas=2, but it has only 1"));
        cr_assert_not_null(
            find(&findings, FINDING_OK, i == 0 ? "broker version: 3.9" : "broker version: 4.0"));
        findings_free(&findings);
        broker_free(broker);
    }
}

/* Whoever may write to the outbox can name the position topic; who asks for the configuration of one topic twice is told nothing
 * about any. */
Test(kafka_inspect, events_that_name_a_position_topic_do_not_hide_what_is_wrong_with_it, .timeout = 120)
{
    struct broker *broker = broker_shared();
    const char *relay = broker_topic_name(broker, "relay");
    char *position = must_format("outboxd-position-shop-%s", relay);
    const char *topics[] = {position, broker_new_topic(broker, "well", 3, NULL), "outboxd-position-a-b"};
    struct property property = {
        .name = "bootstrap.servers", .value = (char *)(uintptr_t)broker_bootstrap(broker), .line = 1};
    struct settings settings = {.file = "c.yaml",
                                .source = "shop",
                                .relay = (char *)(uintptr_t)relay,
                                .delivery = DELIVERY_EXACTLY_ONCE,
                                .kafka = &property,
                                .kafka_count = 1};
    struct findings findings = {0};
    broker_create_topic(broker, position, 1, (const char *[]){"cleanup.policy", "delete", NULL});
    kafka_inspect(&settings, topics, 3, true, 20000, &findings);
    const struct finding *error = findings_first_error(&findings);
    cr_assert_not_null(error);
    cr_expect_not_null(strstr(error->what, "cleanup.policy delete: the position topic must be compacted"));
    cr_expect_not_null(find(&findings, FINDING_OK, "well: 3 partitions, replication factor 1, min.insync"));
    cr_expect_not_null(find(&findings, FINDING_WARNING, "outboxd-position-a-b: its name is kept"));
    size_t said = 0;
    for (size_t i = 0; i < findings.count; i++)
        said += findings.list[i].level != FINDING_WARNING && strstr(findings.list[i].what, position) != NULL;
    cr_expect_eq(said, 1);
    cr_expect_eq(broker_partition_count(broker, "outboxd-position-a-b"), 0);
    findings_free(&findings);
    free(position);
    broker_free(broker);
}

Test(kafka_inspect, a_topic_that_may_not_be_seen_names_the_permission, .timeout = 120)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    const char *topics[2] = {broker_topic_name(broker, "hidden"), broker_topic_name(broker, "opaque")};
    broker_create_topic(broker, topics[0], 1, NULL);
    broker_create_topic(broker, topics[1], 1, NULL);
    sender_deny(broker, topics[0], "ALL");
    sender_deny(broker, topics[1], "DESCRIBE_CONFIGS");
    struct findings findings = inspect(broker_bootstrap(broker), topics, 2, false, 20000);
    const struct finding *error = find(&findings, FINDING_ERROR, "TOPIC_AUTHORIZATION_FAILED");
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error->what, topics[0]));
    cr_assert_not_null(strstr(error->cure, "DESCRIBE and WRITE"));
    cr_assert_not_null(
        find(&findings, FINDING_OK, "its configuration was not told: DESCRIBE_CONFIGS is not allowed"));
    findings_free(&findings);
    broker_free(broker);
}

/* Ends each connection before anything was said on it. */
static void *
end_each(void *context)
{
    for (int *listener = context, peer; (peer = accept(*listener, NULL, NULL)) >= 0; close(peer)) {
        char heard[1024];
        shutdown(peer, SHUT_WR);
        while (recv(peer, heard, sizeof heard, 0) > 0)
            continue;
    }
    return NULL;
}

Test(kafka_inspect, a_handshake_that_is_ended_at_once_is_not_waited_for_and_asks_for_the_protocol,
     .timeout = 60)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 16) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
              pthread_create(&thread, NULL, end_each, &listener) == 0);
    char protocol[] = "ssl", *server = must_format("127.0.0.1:%d", ntohs(address.sin_port));
    struct property properties[] = {{.name = "bootstrap.servers", .value = server, .line = 1},
                                    {.name = "security.protocol", .value = protocol, .line = 2}};
    struct settings settings = {
        .file = "c.yaml", .source = "shop", .relay = "main", .kafka = properties, .kafka_count = 2};
    struct findings findings = {0};
    int64_t begin_us = clock_monotonic_us();
    cr_expect_not(kafka_inspect(&settings, NULL, 0, false, 20000, &findings));
    cr_expect_lt(clock_monotonic_us() - begin_us, INT64_C(10000000));
    const struct finding *error = find(&findings, FINDING_ERROR, "is this a listener without TLS?");
    cr_assert_not_null(error);
    cr_expect_not_null(strstr(error->cure, "kafka.security.protocol"));
    findings_free(&findings);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    free(server);
}

Test(kafka_inspect, nobody_there_is_said_broker_by_broker_within_the_time_given, .timeout = 60)
{
    int port = scratch_port(), other = scratch_port();
    char *servers = must_format("127.0.0.1:%d,127.0.0.1:%d", port, other), text[64];
    struct findings findings = inspect(servers, NULL, 0, false, 1500);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "127.0.0.1:%d: ", i == 0 ? port : other);
        const struct finding *error = find(&findings, FINDING_ERROR, text);
        cr_assert_not_null(error, "%s", text);
        cr_assert_not_null(strstr(error->what, "Connection refused"), "%s", error->what);
        cr_assert_not_null(strstr(error->cure, "bootstrap.servers"));
    }
    findings_free(&findings);
    free(servers);
}
