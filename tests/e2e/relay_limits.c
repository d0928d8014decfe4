/* relay_limits.c: invariant I6 and promise P4: whatever the backlog, the transaction, the size of an event or the number of
 * open transactions, the relay stays within its memory, keeps the order, and delays nobody else's events. The peak of its
 * resident size (VmHWM) is read before it ends. */
#include "relay_setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(relay_limits, .timeout = 240);

#define KIB_IN_MIB 1024L

/* Compression hides sizes: for topics where sizes are the point. */
static const char *const large_messages[] = {"max.message.bytes", "20000000", NULL};

/* 56,000 events of 1 .. 10 kB: 300 MB that nothing can compress. */
static void
insert_backlog(struct setup *setup)
{
    setup_make_bytes(setup);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "backlog-%d", i);
        postgres_exec(
            setup->admin,
            "insert into outbox.event (topic, key, payload)"
            " select '%s', convert_to((i %% 500)::text, 'UTF8'), test_bytes(1000 + i * 37 %% 9001, i)"
            " from generate_series(1, 14000) i",
            setup_topic(setup, name, 3, NULL));
    }
}

/* Everything is published, once, and was never more than memory: 16MiB at a time. */
static void
expect_drained_within_16_mib(struct setup *setup, long largest_event_kib)
{
    double most = 0, now;
    wait_for(((now = daemon_metric(setup->relay, "outbox_in_flight_bytes")) > most ? most = now : 0,
              setup_confirmed(setup)),
             120000);
    cr_expect_gt(most, 0);
    cr_expect_leq(most, 16 * 1024 * 1024, "%.0f bytes in flight", most);
    setup_expect_memory(setup, 16 * KIB_IN_MIB, largest_event_kib);
    setup_expect_all_once(setup, 1000);
    setup_end(setup);
}

/* The first event is stuck for a while: whatever may be read ahead of Kafka is read by then. */
Test(relay_limits, a_backlog_far_larger_than_memory_is_published_within_memory__I6)
{
    struct setup setup = setup_begin();
    const char *first = setup_topic(&setup, "first", 1, (const char *[]){"cleanup.policy", "compact", NULL});
    postgres_exec(setup.app, "select outbox.emit('%s', null, '1')", first);
    insert_backlog(&setup);
    setup_start(&setup, (const char *[]){"memory=16MiB", "dead_letter/policy=stop", NULL});
    wait_for(daemon_metric(setup.relay, "outbox_errors_total{kind=\"event\"}") >= 4, 30000);
    setup_expect_memory(&setup, 16 * KIB_IN_MIB, 10);
    broker_configure_topic(setup.broker, first, "cleanup.policy", "delete");
    expect_drained_within_16_mib(&setup, 10);
}

/* Small events, of which librdkafka's part is the most; transactions as large as memory allows, and some of them lost: an event from the
 * future takes all with it that is acknowledged before it, until it is known. */
Test(relay_limits, exactly_once_a_backlog_is_published_within_memory_also_when_transactions_are_lost__P3_I6)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "small", 3, NULL), *const *exact = setup_exact(&setup, true);
    postgres_exec(setup.admin,
                  "insert into outbox.event (topic, key, payload, created_at)"
                  " select '%s', convert_to((i %% 1000)::text, 'UTF8'), convert_to(i::text, 'UTF8'),"
                  " now() + case when i = 20000 then interval '3 days' else '0' end"
                  " from generate_series(1, 300000) i",
                  topic);
    setup_start(&setup, (const char *[]){exact[0], exact[1], "memory=16MiB", "transaction/events=1000000",
                                         "transaction/time=10s", "dead_letter/policy=stop", NULL});
    wait_for(daemon_readiness_is(setup.relay, 503, "INVALID_TIMESTAMP"), 60000);
    cr_expect_geq(daemon_metric(setup.relay, "outbox_producer_instances_total"), 2,
                  "no transaction was lost");
    broker_configure_topic(setup.broker, topic, "message.timestamp.after.max.ms", "864000000");
    expect_drained_within_16_mib(&setup, 1);
}

/* Of the only tick with events; 0 when all of it is. */
static int64_t
confirmed(const struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from outbox.event where id <="
                                      " (select confirmed_id from outbox.journal order by seq desc limit 1)");
}

/* Kills the relay when some more is confirmed, and starts it again. Returns the last event that is confirmed. */
static int64_t
kill_in_the_middle(struct setup *setup)
{
    int64_t before = confirmed(setup);
    wait_for(confirmed(setup) >= before + 30000, 60000);
    daemon_kill(setup->relay);
    cr_assert_geq(confirmed(setup), before + 30000, "killed too late: nothing was left to resume");
    int64_t id =
        postgres_int(setup->admin, "select confirmed_id from outbox.journal order by seq desc limit 1");
    daemon_again(setup->relay);
    return id;
}

/* What was confirmed at a kill did not come again behind it. */
static void
expect_resumed_behind(const struct setup *setup, const char *topic, const int64_t *confirmed_ids,
                      size_t kills)
{
    struct records records = {0};
    consumer_read_all(&records, broker_bootstrap(setup->broker), (const char *[]){topic, NULL}, false);
    int64_t highest = confirmed_ids[kills - 1];
    size_t *times = must_calloc((size_t)highest + 1, sizeof *times), too_often = 0;
    for (size_t i = 0; i < records.count; i++) {
        int64_t id = strtoll(record_header(&records.list[i], "id")->value.data, NULL, 10);
        times[id <= highest ? id : 0]++;
    }
    for (int64_t id = 1, kill = 0; id <= highest; id++) {
        kill += id > confirmed_ids[kill];
        too_often += times[id] > (size_t)kill + 1;
    }
    cr_expect_eq(too_often, 0, "%zu events came again although they were confirmed", too_often);
    free(times);
    records_free(&records);
}

Test(relay_limits, one_transaction_of_300000_events_keeps_its_order_over_kill_9_in_the_middle__P2_I6__row_67)
{
    enum { EVENTS = 300000 };
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "transaction", 3, NULL);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload)"
                  " select '%s', convert_to((i %% 1000)::text, 'UTF8'), convert_to(i::text, 'UTF8')"
                  " from generate_series(1, %d) i",
                  topic, EVENTS);
    setup_run(&setup, (const char *[]){"memory=2MiB", "batch/events=1000", "lease=1s", NULL});
    int64_t confirmed_ids[2];
    for (size_t kills = 0; kills < 2; kills++)
        confirmed_ids[kills] = kill_in_the_middle(&setup);
    setup_wait_confirmed(&setup, 60000);
    setup_expect_memory(&setup, 2 * KIB_IN_MIB, 1);
    struct verdict verdict = setup_judge(&setup);
    expect_resumed_behind(&setup, topic, confirmed_ids, 2);
    cr_expect_leq(verdict.duplicate_runs, (size_t)6); /* kills x partitions */
    setup_end(&setup);
}

Test(relay_limits,
     exactly_once_a_transaction_of_300000_events_goes_on_within_itself_after_kill_9__P2_P3__row_67)
{
    enum { EVENTS = 300000 };
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "transaction", 3, NULL), *const *exact =
                                                                         setup_exact(&setup, true);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload)"
                  " select '%s', convert_to((i %% 1000)::text, 'UTF8'), convert_to(i::text, 'UTF8')"
                  " from generate_series(1, %d) i",
                  topic, EVENTS);
    setup_run(&setup, (const char *[]){exact[0], exact[1], "memory=2MiB", "batch/events=1000", "lease=1s",
                                       "transaction/events=5000", NULL});
    for (int kills = 0; kills < 2; kills++)
        (void)kill_in_the_middle(&setup);
    setup_wait_confirmed(&setup, 60000);
    setup_expect_memory(&setup, 2 * KIB_IN_MIB, 1);
    cr_expect_eq(setup_judge(&setup).duplicates, 0);
    setup_end(&setup);
}

/* Opens a thousand transactions with an event each and leaves them prepared. */
static void
prepare_thousand(struct setup *setup, const char *topic)
{
    for (int i = 0; i < 1000; i++)
        postgres_exec(setup->app,
                      "begin; insert into outbox.event (topic, key, payload) values ('%s', '%d', 'prepared');"
                      " prepare transaction 'limits-%d'",
                      topic, i % 50, i);
}

Test(relay_limits, a_thousand_prepared_transactions_delay_nobody_and_come_once_when_they_commit__P4__row_65)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "open", 3, NULL), *other = setup_topic(&setup, "others", 3, NULL);
    setup_run(&setup, NULL);
    prepare_thousand(&setup, topic);
    for (int i = 1; i <= 20; i++) {
        postgres_exec(setup.app,
                      "insert into outbox.event (topic, key, payload) values ('%s', '%d', 'flows')", other,
                      i % 5);
        wait_for(consumer_count(broker_bootstrap(setup.broker), other) == i, 3000);
    }
    cr_assert_eq(consumer_count(broker_bootstrap(setup.broker), topic), 0,
                 "an open transaction was published");
    for (int i = 0; i < 1000; i++)
        postgres_exec(setup.admin, "%s prepared 'limits-%d'", i % 10 == 9 ? "rollback" : "commit", i);
    setup_expect_all_once(&setup, 20000);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), topic), 900);
    setup_end(&setup);
}

Test(relay_limits, a_transaction_older_than_the_relay_delays_nobody_and_its_events_come_once__P4__row_63)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "long", 1, NULL), *other = setup_topic(&setup, "others", 1, NULL);
    PGconn *holder = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
    postgres_exec(holder, "begin; select outbox.emit('%s', 'k', '\"before the relay started\"')", topic);
    setup_run(&setup, NULL);
    for (int i = 1; i <= 50; i++) {
        postgres_exec(setup.app, "select outbox.emit('%s', 'k', '%d')", other, i);
        wait_for(consumer_count(broker_bootstrap(setup.broker), other) == i, 2000);
    }
    cr_assert_eq(consumer_count(broker_bootstrap(setup.broker), topic), 0);
    postgres_exec(holder, "select outbox.emit('%s', 'k', '\"last\"'); commit", topic);
    PQfinish(holder);
    setup_expect_all_once(&setup, 10000);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), topic), 2);
    setup_end(&setup);
}

/* Publishes what `insert` puts into the outbox, and judges memory and bytes. */
static void
publish_large(const char *memory, long memory_kib, long largest_kib, const char *more, const char *insert)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "large", 2, large_messages);
    setup_make_bytes(&setup);
    setup_run(&setup, (const char *[]){memory, more, NULL});
    postgres_exec(setup.admin, "create function test_topic() returns text language sql as $$select '%s'$$",
                  topic);
    postgres_exec(setup.admin, "insert into outbox.event (topic, key, payload) %s", insert);
    setup_wait_confirmed(&setup, 60000);
    setup_expect_memory(&setup, memory_kib, largest_kib);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

Test(relay_limits, a_payload_of_16_MiB_passes_with_a_memory_of_16_MiB__I6__row_35)
{
    publish_large(
        "memory=16MiB", 16 * KIB_IN_MIB, 16 * KIB_IN_MIB, NULL,
        "select test_topic(), '\\x00', substring(convert_to(string_agg(i::text, ','), 'UTF8') for 16777216)"
        " from generate_series(1, 2400000) i");
}

Test(relay_limits, many_events_of_1_MiB_pass_within_memory__I6)
{
    publish_large("memory=16MiB", 16 * KIB_IN_MIB, KIB_IN_MIB, NULL,
                  "select test_topic(), convert_to((i % 10)::text, 'UTF8'), test_bytes(1048576, i)"
                  " from generate_series(1, 100) i");
}

Test(relay_limits, sizes_that_jump_from_100_B_to_1_MiB_and_back_within_a_tick_stay_within_memory__I6)
{
    publish_large(
        "memory=16MiB", 16 * KIB_IN_MIB, KIB_IN_MIB, NULL,
        "select test_topic(), convert_to((i % 100)::text, 'UTF8'),"
        " test_bytes(case when i % 20000 between 15000 and 15030 or i % 997 = 0 then 1048576 else 100 end, i)"
        " from generate_series(1, 60000) i");
}

Test(relay_limits, the_smallest_memory_publishes_events_that_are_larger_than_it__I6)
{
    publish_large("memory=1MiB", KIB_IN_MIB, 4 * KIB_IN_MIB, "batch/bytes=1MiB",
                  "select test_topic(), convert_to((i % 100)::text, 'UTF8'),"
                  " test_bytes(case when i % 500 = 0 then 1200000 else 700 end, i)"
                  " || case when i = 1500 then convert_to(repeat('x', 3000000), 'UTF8') else '' end"
                  " from generate_series(1, 3000) i");
}
