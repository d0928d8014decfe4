/* relay_suspects.c: a batch of thousands that the broker refuses for the sake of one of its events, which the relay cannot know
 * before: exactly that event is named (P5), everything before it is published in order, nothing after it (I2), nothing twice. */
#include "kafka_sender.h"
#include "relay_setup.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_suspects, .timeout = 180);

enum { EVENTS = 8000 };

/* A topic that takes no event of yesterday. The relay may not read the topic's configuration, so the broker decides. */
static const char *
topic_of_today(struct setup *setup, int partitions)
{
    const char *topic = setup_topic(setup, "today", partitions,
                                    (const char *[]){"message.timestamp.before.max.ms", "3600000", NULL});
    sender_deny(setup->broker, topic, "DESCRIBE_CONFIGS");
    return topic;
}

/* Events in one transaction, of which those at the positions `bad` and `bad + 1` are of yesterday: waits until the first of these
 * two is named, and prints how long that took. */
static void
expect_named(struct setup *setup, const char *topic, int bad)
{
    postgres_exec(setup->admin,
                  "insert into outbox.event (topic, key, payload, created_at)"
                  " select '%s', convert_to('k' || i %% 97, 'UTF8'), convert_to(i::text, 'UTF8'),"
                  " case when i in (%d, %d) then now() - interval '1 day' else now() end"
                  " from generate_series(0, %d) i",
                  topic, bad, bad + 1, EVENTS - 1);
    int64_t from_us = clock_monotonic_us(),
            culprit =
                postgres_int(setup->admin, "select id from outbox.event order by id offset %d limit 1", bad);
    char *text = must_format("event %" PRId64 " of topic %s: INVALID_TIMESTAMP", culprit, topic);
    wait_for(daemon_readiness_is(setup->relay, 503, text), 60000);
    fprintf(stderr, "suspects: event %d of %d was named after %" PRId64 " ms\n", bad, EVENTS,
            (clock_monotonic_us() - from_us) / 1000);
    wait_for(postgres_int(setup->admin,
                          "select count(*) from outbox.relay where (trouble->>'event_id')::bigint = %" PRId64
                          " and trouble->>'error' = 'INVALID_TIMESTAMP'",
                          culprit) == 1,
             5000);
    free(text);
}

static void
run_story(int partitions, int bad)
{
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *topic = topic_of_today(&setup, partitions);
    setup_run(&setup, setup_and(NULL, "dead_letter/policy=stop"));
    expect_named(&setup, topic, bad);
    if (partitions == 1)
        wait_for(setup_count(&setup) == bad, 5000);
    else
        wait_for(setup_count(&setup) >= bad, 5000); /* the other partitions may have been ahead */
    broker_configure_topic(broker, topic, "message.timestamp.before.max.ms", "864000000");
    setup_expect_all_once(&setup, 30000);
    setup_end(&setup);
}

/* The refused batch takes its whole transaction with it, each time. */
Test(relay_suspects,
     exactly_once_an_event_refused_in_a_batch_of_thousands_is_named_and_all_before_it_appear_once__P3_P5_I2)
{
    enum { BAD = 5000 };
    struct broker *broker = broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
    struct setup setup = setup_begin_on(postgres_shared(), broker);
    const char *const *exact = setup_exact(&setup, true);
    const char *topic = topic_of_today(&setup, 1);
    setup_run(&setup, setup_and(exact, "dead_letter/policy=stop"));
    expect_named(&setup, topic, BAD);
    wait_for(consumer_count_all(broker_bootstrap(setup.broker), setup.topics, true) == BAD, 10000);
    broker_configure_topic(broker, topic, "message.timestamp.before.max.ms", "864000000");
    setup_expect_all_once(&setup, 30000);
    setup_end(&setup);
}

Test(relay_suspects, an_event_refused_in_a_batch_of_thousands_is_named_and_all_before_it_published__P5_I2)
{
    run_story(1, 5000);
}

Test(relay_suspects, the_first_event_of_a_batch_is_named_and_nothing_published__P5_I2)
{
    run_story(1, 0);
}

Test(relay_suspects, an_event_refused_in_one_of_eight_partitions_is_named__P5_I2)
{
    run_story(8, 7000);
}
