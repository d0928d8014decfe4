/* relay_replicas.c: promise P5 where librdkafka is silent: it tries for ever to send to a partition that cannot take anything.
 * Which one, and why, is said within seconds in the log, /health/ready, `outboxd status` and outbox.relay.trouble; and it goes on by
 * itself, with every event once, when the brokers are back. */
#include "relay_setup.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_replicas, .timeout = 180);

/* Three brokers, the last of which goes away. */
struct scene {
    struct setup setup;
    struct broker *last;
    const char *topic;
    const char *easy; /* another one, content with what is left; may be NULL */
};

static struct scene
begin(const char *properties, bool exact, int partitions, const char *const *configs)
{
    struct broker *cluster =
        broker_start_cluster(BROKER_NODES, &(struct broker_options){.properties = properties});
    struct scene scene = {.setup = setup_begin_on(postgres_shared(), cluster),
                          .last = broker_node(cluster, BROKER_NODES)};
    scene.topic = setup_topic(&scene.setup, "copies", partitions, configs);
    if (exact)
        scene.easy = setup_topic(&scene.setup, "easy", 1, NULL);
    setup_run(&scene.setup, exact ? setup_exact(&scene.setup, true) : NULL);
    return scene;
}

static void
emit(struct scene *scene, int count)
{
    postgres_exec(scene->setup.app, "begin");
    if (scene->easy != NULL)
        postgres_exec(scene->setup.app, "select outbox.emit('%s', 'k', '1')", scene->easy);
    postgres_exec(scene->setup.app, "select outbox.emit('%s', 'k' || i, '1') from generate_series(1, %d) i",
                  scene->topic, count);
    postgres_exec(scene->setup.app, "commit");
}

static bool
status_says(const struct scene *scene, const char *text)
{
    struct outboxd_result result = outboxd_run(
        (const char *[]){"status", "--json", "--config", daemon_config_path(scene->setup.relay), NULL});
    bool says = strstr(result.out, text) != NULL;
    outboxd_result_free(&result);
    return says;
}

/* The last broker goes away, events are emitted, and every place says why they wait. */
static void
expect_named_without_last(struct scene *scene, const char *error, const char *text)
{
    broker_stop(scene->last);
    int64_t from_us = clock_monotonic_us();
    emit(scene, 20);
    wait_for(daemon_readiness_is(scene->setup.relay, 503, text), 15000);
    fprintf(stderr, "replicas: %s was named after %" PRId64 " ms\n", error,
            (clock_monotonic_us() - from_us) / 1000);
    wait_for(postgres_int(scene->setup.admin,
                          "select count(*) from outbox.relay where trouble->>'error' = '%s'"
                          " and trouble->>'topic' = '%s' and trouble->>'message' like '%%%s%%'",
                          error, scene->topic, text) == 1,
             5000);
    cr_expect(status_says(scene, text));
    cr_expect(daemon_log_contains(scene->setup.relay, text));
    cr_expect_gt(daemon_metric(scene->setup.relay, "outbox_errors_total{kind=\"topic\"}"), 0);
    cr_expect_eq(daemon_metric(scene->setup.relay, "outbox_producer_instances_total"), 1,
                 "patience, not a new instance");
}

static void
expect_healed(struct scene *scene)
{
    broker_up(scene->last);
    setup_expect_all_once(&scene->setup, 60000);
    wait_for(daemon_readiness_is(scene->setup.relay, 200, ""), 5000);
    wait_for(
        postgres_int(scene->setup.admin, "select count(*) from outbox.relay where trouble is not null") == 0,
        5000);
    cr_expect(daemon_log_contains(scene->setup.relay, "waits no longer"));
}

Test(relay_replicas, too_few_replicas_in_sync_are_named_within_seconds_and_heal__P5__row_19)
{
    struct scene scene = begin(NULL, false, 1, (const char *[]){"min.insync.replicas", "3", NULL});
    emit(&scene, 20);
    setup_expect_all_once(&scene.setup, 10000);
    expect_named_without_last(&scene, "NOT_ENOUGH_REPLICAS",
                              "partition 0 has 2 replicas in sync, min.insync.replicas is 3");
    expect_healed(&scene);
    setup_end(&scene.setup);
}

/* One of the three partitions lives on the last broker alone. */
Test(relay_replicas, a_partition_without_a_leader_is_named_within_seconds_and_heals__P5)
{
    struct scene scene = begin("default.replication.factor=1\n", false, 3, NULL);
    emit(&scene, 20);
    setup_expect_all_once(&scene.setup, 10000);
    expect_named_without_last(&scene, "LEADER_NOT_AVAILABLE", "has no leader");
    expect_healed(&scene);
    setup_end(&scene.setup);
}

/* An event before it is acknowledged, and waits for the same commit. librdkafka gives the transaction up after 30 s, and Kafka cannot end
 * it, for that would be a record in the same partition; meanwhile the cause stands where it stood, and nobody is told that others flow. */
Test(relay_replicas, exactly_once_it_is_named_as_soon_and_as_long_as_a_partition_takes_nothing__P3_P5__row_19)
{
    static const char all_wait[] = "until then all topics wait: Kafka can end no transaction there";
    struct scene scene =
        begin("transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n", true, 2,
              (const char *[]){"min.insync.replicas", "3", NULL});
    emit(&scene, 20);
    setup_expect_all_once(&scene.setup, 20000);
    expect_named_without_last(&scene, "NOT_ENOUGH_REPLICAS",
                              "has 2 replicas in sync, min.insync.replicas is 3");
    for (int64_t end_us = wait_deadline_us(60000);
         !daemon_log_contains(scene.setup.relay, "TRANSACTION_UNENDED");) {
        cr_assert(daemon_readiness_is(scene.setup.relay, 503, "NOT_ENOUGH_REPLICAS"));
        cr_assert(wait_turn(end_us));
    }
    wait_for(daemon_log_contains(scene.setup.relay, "no transactions: tried again"), 60000);
    cr_expect(daemon_readiness_is(scene.setup.relay, 503, all_wait));
    cr_expect(status_says(&scene, all_wait));
    cr_expect(daemon_log_contains(scene.setup.relay, all_wait));
    cr_expect(daemon_log_contains(scene.setup.relay, "all others wait until Kafka can end the transaction"));
    cr_expect_not(daemon_log_contains(scene.setup.relay, "the others flow"));
    for (int64_t end_us = wait_deadline_us(3000);
         wait_turn(end_us);) /* as long as telling the database may take */
        cr_assert(daemon_readiness_is(scene.setup.relay, 503, "NOT_ENOUGH_REPLICAS"));
    cr_expect_eq(
        postgres_int(scene.setup.admin,
                     "select count(*) from outbox.relay where trouble->>'error' = 'NOT_ENOUGH_REPLICAS'"),
        1);
    expect_healed(&scene);
    setup_end(&scene.setup);
}
