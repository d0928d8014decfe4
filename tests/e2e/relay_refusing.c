/* relay_refusing.c: promise P5 where Kafka answers and takes nothing, from nobody: not for an event's sake, nor a topic's. The reason
 * and its cure are said within seconds in the log, /health/ready, `outboxd status` and outbox.relay.trouble, whether events wait or
 * not; and it goes on by itself. The broker is a real one, which its ACLs make refuse, or
 * librdkafka's mock, which refuses what it is told to, and as often. */
#include "relay_setup.h"

#include "support/consumer.h"
#include "support/scratch.h"

#include <librdkafka/rdkafka.h>

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_refusing, .timeout = 120);

#define TOPIC "refusing"
#define REFUSED_WITH_CURE                                                                                    \
    "CLUSTER_AUTHORIZATION_FAILED: Broker: Cluster authorization failed; allow the relay's principal WRITE"
/* Kafka's numbers of the requests. */
enum { PRODUCE = 0, INIT_PRODUCER_ID = 22, ADD_PARTITIONS_TO_TXN = 24, END_TXN = 26 };
/* More than the relay asks in a test. */
enum { FOR_EVER = 20000 };

struct scene {
    struct setup setup;
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *mock;
};

static void
refuse(struct scene *scene, int16_t request, rd_kafka_resp_err_t code, size_t times)
{
    rd_kafka_resp_err_t *errors = must_calloc(times, sizeof *errors);
    for (size_t i = 0; i < times; i++)
        errors[i] = code;
    rd_kafka_mock_push_request_errors_array(scene->mock, request, times, errors);
    free(errors);
}

static struct scene
begin(void)
{
    char why[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    struct scene scene = {.setup = setup_begin(),
                          .host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why)};
    cr_assert_not_null(scene.host, "%s", why);
    scene.mock = rd_kafka_mock_cluster_new(scene.host, 1);
    cr_assert_eq(rd_kafka_mock_topic_create(scene.mock, TOPIC, 2, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    return scene;
}

static void
start_with(struct scene *scene, const char *const *overrides)
{
    scene->setup.relay = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(scene->setup.postgres, scene->setup.database, POSTGRES_RELAY),
        .bootstrap = rd_kafka_mock_cluster_bootstraps(scene->mock),
        .overrides = overrides});
}

static void
start(struct scene *scene)
{
    start_with(scene, NULL);
}

static void
end(struct scene *scene)
{
    setup_end(&scene->setup);
    rd_kafka_mock_cluster_destroy(scene->mock);
    rd_kafka_destroy(scene->host);
}

static void
emit(struct scene *scene, int count)
{
    postgres_exec(scene->setup.app, "select outbox.emit('%s', 'k' || i, '1') from generate_series(1, %d) i",
                  TOPIC, count);
}

static bool
status_says(const struct scene *scene, const char *verdict, const char *text)
{
    struct outboxd_result result = outboxd_run(
        (const char *[]){"status", "--json", "--config", daemon_config_path(scene->setup.relay), NULL});
    char *line = must_format("\n  \"verdict\": \"%s\",\n", verdict);
    bool says = strstr(result.out, line) != NULL && strstr(result.out, text) != NULL;
    free(line);
    outboxd_result_free(&result);
    return says;
}

static int
warnings(const struct scene *scene)
{
    int count = 0;
    char *log = daemon_log(scene->setup.relay);
    for (const char *at = log; (at = strstr(at, "warning Kafka refuses everything")) != NULL; at++)
        count++;
    free(log);
    return count;
}

/* In each place that a person or a machine looks at; `text` is the name of the error and what helps. */
static void
expect_named(struct scene *scene, const char *text)
{
    wait_for(daemon_readiness_is(scene->setup.relay, 503, "Kafka refuses everything since "), 12000);
    cr_expect(daemon_readiness_is(scene->setup.relay, 503, text));
    wait_for(status_says(scene, "kafka refuses", text), 5000);
    cr_expect_eq(postgres_int(scene->setup.admin,
                              "select count(*) from outbox.relay where trouble->>'error' = 'KAFKA_REFUSES'"
                              " and strpos(trouble->>'message', $$%s$$) > 0",
                              text),
                 1);
    cr_expect(daemon_log_contains(scene->setup.relay, text));
}

static void
expect_healed(struct scene *scene, int64_t records)
{
    wait_for(daemon_readiness_is(scene->setup.relay, 200, "true"), 15000);
    wait_for(status_says(scene, "ok", "\"kafka_refuses\": null"), 5000);
    wait_for(consumer_count(rd_kafka_mock_cluster_bootstraps(scene->mock), TOPIC) == records, 5000);
    cr_expect(daemon_log_contains(scene->setup.relay, "Kafka refuses no longer"));
    cr_expect_eq(warnings(scene), 1, "said once");
}

/* What was granted is granted within seconds, and nobody starts anything again. */
Test(relay_refusing, a_principal_that_may_write_nowhere_is_told_so_before_the_first_event__P5)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct scene scene = {.setup = setup_begin_on(postgres_shared(), broker)};
    const char *topic = setup_topic(&scene.setup, "orders", 1, NULL);
    broker_refuse_producers(broker);
    setup_start(&scene.setup, NULL);
    expect_named(&scene, REFUSED_WITH_CURE);
    broker_allow(broker, "*");
    wait_for(daemon_readiness_is(scene.setup.relay, 200, "true"), 15000);
    wait_for(status_says(&scene, "ok", "\"kafka_refuses\": null"), 5000);
    postgres_exec(scene.setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_expect_all_once(&scene.setup, 10000);
    setup_end(&scene.setup);
}

/* What a broker before 2.8 answers to a principal that may write, and not IDEMPOTENT_WRITE: fatal to the producer. */
Test(relay_refusing, a_producer_that_kafka_does_not_admit_is_named_with_the_cure_before_the_first_event__P5)
{
    struct scene scene = begin();
    refuse(&scene, INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FOR_EVER);
    start(&scene);
    expect_named(&scene, REFUSED_WITH_CURE);
    rd_kafka_mock_clear_request_errors(scene.mock, INIT_PRODUCER_ID);
    expect_healed(&scene, 0);
    emit(&scene, 3);
    expect_healed(&scene, 3);
    end(&scene);
}

/* librdkafka takes it for one that passes, asks again and again, and tells nobody but its log. */
Test(relay_refusing, a_broker_that_has_no_id_for_a_producer_is_named__P5)
{
    struct scene scene = begin();
    refuse(&scene, INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, FOR_EVER);
    emit(&scene, 3);
    start(&scene);
    expect_named(&scene, "Broker: Disk error when trying to access log file on disk");
    rd_kafka_mock_clear_request_errors(scene.mock, INIT_PRODUCER_ID);
    expect_healed(&scene, 3);
    end(&scene);
}

Test(relay_refusing, events_that_are_refused_for_the_clusters_sake_wait_and_the_reason_is_named__P5)
{
    struct scene scene = begin();
    start(&scene);
    emit(&scene, 10);
    setup_wait_confirmed(&scene.setup, 10000);
    refuse(&scene, PRODUCE, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FOR_EVER);
    emit(&scene, 10);
    expect_named(&scene, REFUSED_WITH_CURE);
    rd_kafka_mock_clear_request_errors(scene.mock, PRODUCE);
    expect_healed(&scene, 20);
    end(&scene);
}

Test(relay_refusing, a_refusal_that_passes_alarms_nobody__P5)
{
    struct scene scene = begin();
    start(&scene);
    daemon_wait_ready(scene.setup.relay);
    refuse(&scene, PRODUCE, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, 3);
    emit(&scene, 10);
    setup_wait_confirmed(&scene.setup, 10000);
    wait_for(daemon_metric(scene.setup.relay, "outbox_producer_instances_total") > 1, 1000);
    for (int64_t end_us = wait_deadline_us(8000); wait_turn(end_us);)
        cr_assert(daemon_readiness_is(scene.setup.relay, 200, "true"));
    cr_expect_eq(warnings(&scene), 0);
    end(&scene);
}

/* The leader has appended it, and one of the others was gone before it had, too. */
Test(relay_refusing, a_replica_that_leaves_behind_an_append_is_waited_for__P1__row_20)
{
    struct scene scene = begin();
    start(&scene);
    daemon_wait_ready(scene.setup.relay);
    refuse(&scene, PRODUCE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, 5);
    emit(&scene, 10);
    setup_wait_confirmed(&scene.setup, 20000);
    wait_for(consumer_count(rd_kafka_mock_cluster_bootstraps(scene.mock), TOPIC) == 10, 5000);
    wait_for(daemon_readiness_is(scene.setup.relay, 200, "true"), 5000);
    end(&scene);
}

/* What a coordinator says that is new, or still ends the last transaction: each of these once, to the broker's next such requests. */
static void
be_unready(struct scene *scene, int16_t request)
{
    cr_assert_eq(rd_kafka_mock_broker_push_request_error_rtts(
                     scene->mock, 1, request, 4, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 0,
                     RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 0, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 0,
                     RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, 0),
                 RD_KAFKA_RESP_ERR_NO_ERROR);
}

static bool
has_said_all(const struct scene *scene, int16_t request)
{
    size_t left = 0;
    cr_assert_eq(rd_kafka_mock_broker_error_stack_cnt(scene->mock, 1, request, &left),
                 RD_KAFKA_RESP_ERR_NO_ERROR);
    return left == 0;
}

/* librdkafka asks again, and warns of the first request only. A commit that was sent more than once costs an instance: the next one reads what
 * came of it. The mock isolates nothing, so an event that was sent again would be there twice. */
Test(relay_refusing, fault_23_exactly_once_a_coordinator_that_is_not_ready_is_asked_again__P1_P3)
{
    static const int16_t requests[] = {INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN};
    struct scene scene = begin();
    const char *const *overrides = setup_exact(&scene.setup, false);
    cr_assert_eq(rd_kafka_mock_topic_create(scene.mock, scene.setup.position, 1, 1),
                 RD_KAFKA_RESP_ERR_NO_ERROR);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        be_unready(&scene, requests[i]);
        emit(&scene, 10);
        if (i == 0)
            start_with(&scene, overrides);
        setup_wait_confirmed(&scene.setup, 40000);
        cr_expect(has_said_all(&scene, requests[i]), "request %d was not made", requests[i]);
        wait_for(daemon_metric(scene.setup.relay, "outbox_producer_instances_total") ==
                     (requests[i] == END_TXN ? 2 : 1),
                 20000);
    }
    cr_expect(daemon_log_contains(scene.setup.relay,
                                  "Failed to acquire transactional PID from broker "
                                  "TxnCoordinator/1: Broker: Coordinator load in progress"));
    cr_expect(daemon_log_contains(scene.setup.relay, "the commit was sent more than once"));
    struct expected_events events = {0};
    expected_read_outbox(&events, scene.setup.admin);
    struct verdict verdict = checker_compare(&events, rd_kafka_mock_cluster_bootstraps(scene.mock),
                                             (const char *[]){TOPIC, NULL}, scene.setup.source);
    cr_expect(verdict_clean(&verdict) && verdict.duplicates == 0 && verdict.records == 30);
    expected_free(&events);
    wait_for(daemon_readiness_is(scene.setup.relay, 200, "true"), 15000);
    end(&scene);
}
