/* kafka_partitions.c: what stands in the way of an event is named (P5), without any broker. */
#include "kafka/partitions.h"

#include <criterion/criterion.h>
#include <string.h>

/* murmur2 of these keys, from Kafka's own tests: -973932308, -985981536; of three partitions the first and the last. */
static const struct event first = {.key = "21", .key_size = 2},
                          other = {.key = "a-little-bit-long-string", .key_size = 24},
                          keyless = {.key = NULL};

static struct partitions partitions;

static void
tear_down(void)
{
    partitions_free(&partitions);
}

TestSuite(kafka_partitions, .fini = tear_down);

/* Brokers say of each partition how many replicas are in sync, 0: no leader. */
static void
learn(int replicas, const int in_sync[3])
{
    int32_t nodes[3] = {1, 2, 3};
    rd_kafka_metadata_partition_t said[3];
    for (int i = 0; i < 3; i++) {
        said[i] = (rd_kafka_metadata_partition_t){.id = i,
                                                  .leader = in_sync[i] > 0 ? 1 : -1,
                                                  .replica_cnt = replicas,
                                                  .replicas = nodes,
                                                  .isr_cnt = in_sync[i],
                                                  .isrs = nodes};
    }
    partitions_learn(&partitions, &(rd_kafka_metadata_topic_t){.partition_cnt = 3, .partitions = said});
}

static void
expect_obstacle(const struct event *event, int64_t min_in_sync, const char *name, const char *text)
{
    struct outcome obstacle;
    cr_assert(partitions_obstacle(&partitions, event, min_in_sync, &obstacle));
    cr_assert_eq(obstacle.kind, OUTCOME_TOPIC);
    cr_assert_str_eq(obstacle.name, name);
    cr_assert_not_null(strstr(obstacle.message, text), "%s", obstacle.message);
}

Test(kafka_partitions, P5_too_few_replicas_in_sync_are_named_for_the_events_of_their_partition_alone)
{
    struct outcome obstacle;
    learn(3, (const int[]){1, 3, 2});
    expect_obstacle(&first, 2, "NOT_ENOUGH_REPLICAS",
                    "partition 0 has 1 replica in sync, min.insync.replicas is 2");
    cr_assert_not(partitions_obstacle(&partitions, &other, 2, &obstacle));
    expect_obstacle(&keyless, 2, "NOT_ENOUGH_REPLICAS", "partition 0 ");
    cr_assert_not(partitions_obstacle(&partitions, &first, 1, &obstacle));
    learn(3, (const int[]){2, 3, 2});
    cr_assert_not(partitions_obstacle(&partitions, &first, 2, &obstacle));
}

Test(kafka_partitions, P5_a_partition_without_a_leader_is_named_whatever_is_demanded)
{
    learn(2, (const int[]){2, 2, 0});
    expect_obstacle(&other, 1, "LEADER_NOT_AVAILABLE", "partition 2 has no leader");
    expect_obstacle(&keyless, 1, "LEADER_NOT_AVAILABLE", "partition 2 ");
}

Test(kafka_partitions, a_topic_with_fewer_replicas_than_are_demanded_is_no_obstacle_while_all_are_in_sync)
{
    struct outcome obstacle;
    learn(1, (const int[]){1, 1, 1});
    cr_assert_not(partitions_obstacle(&partitions, &first, 2, &obstacle));
}

Test(kafka_partitions, of_a_topic_that_nobody_was_asked_about_nothing_is_claimed)
{
    struct outcome obstacle;
    cr_assert_not(partitions_obstacle(&partitions, &first, 2, &obstacle));
    cr_assert_not(partitions_obstacle(&partitions, &keyless, 2, &obstacle));
}

Test(kafka_partitions,
     a_topic_that_was_refused_for_its_partitions_is_so_as_long_as_one_of_them_is_in_that_state)
{
    struct outcome why = {.kind = OUTCOME_TOPIC, .name = "NOT_ENOUGH_REPLICAS"};
    learn(3, (const int[]){3, 3, 1});
    cr_assert(partitions_still(&partitions, 2, &why));
    cr_assert_not_null(strstr(why.message, "partition 2 has 1 replica in sync"), "%s", why.message);
    cr_assert_not(partitions_still(&partitions, 1, &why));
    learn(3, (const int[]){0, 3, 3});
    cr_assert_not(partitions_still(&partitions, 2, &why), "it has no leader, which is something else");
    why = (struct outcome){.kind = OUTCOME_TOPIC, .name = "TOPIC_AUTHORIZATION_FAILED"};
    cr_assert_not(partitions_still(&partitions, 2, &why));
}
