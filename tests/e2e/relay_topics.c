/* relay_topics.c: P1 and P5 when a topic changes under a relay that publishes to it: more partitions, fewer, other limits, records that
 * are deleted. Where keys change their partition, the checker's idea of partitions does not hold, so these stories compare by
 * themselves. */
#include "relay_setup.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_topics, .timeout = 180);

#define KEYS 50

/* Events numbered from..to-1, each in a transaction of its own; the payload is the number. */
static void
emit_numbers(struct setup *setup, const char *topic, int from, int to)
{
    for (int i = from; i < to; i++)
        postgres_exec(setup->app, "select outbox.emit('%s', 'k%d', '%d')", topic, i % KEYS, i);
}

/* Every number of 0..count-1 is there once, and within a partition those of one key ascend. */
static void
expect_numbers(const struct setup *setup, const char *topic, int count)
{
    struct records records = {0};
    bool *seen = calloc((size_t)count, sizeof *seen);
    int newest[16][KEYS];
    memset(newest, -1, sizeof newest);
    consumer_read_all(&records, broker_bootstrap(setup->broker), (const char *[]){topic, NULL}, true);
    cr_assert_eq(records.count, (size_t)count, "%zu records of %d events", records.count, count);
    for (size_t i = 0; i < records.count; i++) {
        int number = atoi(records.list[i].value.data), partition = records.list[i].partition;
        cr_assert(number >= 0 && number < count && partition < 16);
        cr_assert_not(seen[number], "%d twice", number);
        cr_assert_gt(number, newest[partition][number % KEYS], "%d stands behind %d", number,
                     newest[partition][number % KEYS]);
        seen[number] = true;
        newest[partition][number % KEYS] = number;
    }
    free(seen);
    records_free(&records);
}

/* Records in the partitions from `first` on. */
static int
records_from(const struct setup *setup, const char *topic, int first)
{
    struct records records = {0};
    int count = 0;
    consumer_read_all(&records, broker_bootstrap(setup->broker), (const char *[]){topic, NULL}, true);
    for (size_t i = 0; i < records.count; i++)
        count += records.list[i].partition >= first;
    records_free(&records);
    return count;
}

Test(relay_topics, partitions_added_under_way_are_used_and_nothing_waits_or_is_lost__P1__row_31)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "growing", 2, NULL);
    int count = 200;
    setup_run(&setup, (const char *[]){"kafka/topic.metadata.refresh.interval.ms=500", NULL});
    emit_numbers(&setup, topic, 0, count);
    setup_wait_confirmed(&setup, 20000);
    broker_add_partitions(setup.broker, topic, 7);
    for (int rounds = 0; records_from(&setup, topic, 2) == 0; rounds++, count += 100) {
        cr_assert_lt(rounds, 100, "the new partitions are never used");
        emit_numbers(&setup, topic, count, count + 100);
        setup_wait_confirmed(&setup, 20000);
    }
    daemon_kill(setup.relay); /* the next one knows seven partitions from the beginning */
    daemon_again(setup.relay);
    emit_numbers(&setup, topic, count, count + 200);
    setup_wait_confirmed(&setup, 30000);
    expect_numbers(&setup, topic, count + 200);
    setup_end(&setup);
}

Test(relay_topics, a_topic_made_anew_with_fewer_partitions_gets_what_comes_then__P5__row_30)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "shrinking", 6, NULL);
    setup_run(&setup, NULL);
    emit_numbers(&setup, topic, 0, 100);
    setup_wait_confirmed(&setup, 20000);
    broker_delete_topic(setup.broker, topic);
    broker_create_topic(setup.broker, topic, 2, NULL);
    /* the broker knows of the new one before it has taken the old one's records away */
    wait_for(consumer_count(broker_bootstrap(setup.broker), topic) == 0, 20000);
    emit_numbers(&setup, topic, 0, 300);
    /* the topic may be paused for a moment: what waits counts as confirmed */
    wait_for(consumer_count(broker_bootstrap(setup.broker), topic) >= 300, 60000);
    cr_expect(daemon_running(setup.relay));
    setup_end(&setup);
}

Test(relay_topics, records_that_are_deleted_while_the_relay_is_idle_disturb_nothing__P1__row_43)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "forgetful", 1, NULL);
    setup_run(&setup, NULL);
    emit_numbers(&setup, topic, 0, 100);
    setup_wait_confirmed(&setup, 20000);
    broker_empty_topic(setup.broker, topic); /* as retention does, which looks every five minutes */
    cr_assert_eq(consumer_count(broker_bootstrap(setup.broker), topic), 0);
    emit_numbers(&setup, topic, 100, 200);
    setup_wait_confirmed(&setup, 20000);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), topic), 100);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_producer_instances_total"), 1);
    cr_expect_eq(daemon_http(setup.relay, "/health/ready", NULL), 200);
    setup_end(&setup);
}
