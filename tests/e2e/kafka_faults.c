/* kafka_faults.c: the producer when the broker refuses, hangs, dies and forbids: nothing lost, and first copies in order. */
#include "kafka_sender.h"

#include "base/clock.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct broker *
broker_with_acls(void)
{
    return broker_start(&(struct broker_options){.properties = BROKER_WITH_ACLS});
}

static void
turn_for(struct sender *sender, int64_t us)
{
    int64_t until_us = clock_monotonic_us() + us;
    while (clock_monotonic_us() < until_us)
        sender_turn(sender);
}

static void
turn_until_done(struct sender *sender, size_t count)
{
    sender->limit = count;
    while (sender->done < count)
        sender_turn(sender);
}

static void
end(struct sender *sender, struct broker *broker, const char *topic, bool duplicates)
{
    sender_check(sender, broker, topic, duplicates);
    sender_free(sender);
    broker_free(broker);
}

/* The broker itself must refuse, so the relay may not read what the topic demands. */
Test(kafka_faults, ten_events_that_the_broker_refuses_are_found_alone_among_a_hundred_thousand,
     .timeout = 300)
{
    static const char *const configs[] = {"cleanup.policy", "compact", NULL};
    static const size_t bad[] = {0, 7, 8, 20000, 20001, 49999, 50500, 77777, 99000, 99999};
    struct broker *broker = broker_with_acls();
    const char *topic = broker_new_topic(broker, "bad", 8, configs);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_deny(broker, topic, "DESCRIBE_CONFIGS");
    sender_add_numbered(sender, topic, 100000, 997, 20);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        sender->page->events[bad[i]].key = NULL;
    sender_run(sender, 200000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(sender->parked[bad[i]], "event %zu", bad[i]);
        sender->parked[bad[i]] = false;
    }
    for (size_t i = 0; i < sender->page->count; i++)
        cr_assert_not(sender->parked[i], "event %zu was good", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        sender->parked[bad[i]] = true;
    cr_assert_gt(producer_statistics(sender->producer)->instances, 2);
    end(sender, broker, topic, false);
}

/* A broker that has taken nothing of a producer in a partition yet takes any of its batches there, also one that follows a batch
 * which it has just refused. The first event makes the topic known and opens one partition; k3, k4 and k5 live in the other. */
Test(kafka_faults, nothing_overtakes_a_batch_that_is_refused_as_the_first_of_its_partition__P2,
     .timeout = 300)
{
    static const char *const configs[] = {"message.timestamp.before.max.ms", "3600000", NULL};
    struct broker *broker = broker_with_acls();
    const char *topic = broker_topic_name(broker, "first");
    struct sender *sender = sender_new(broker, "batch.num.messages", "4");
    sender->properties[2] =
        (struct property){.name = "linger.ms", .value = "100"}; /* so that batches are full */
    sender->settings.kafka_count = 3;
    broker_create_topic(broker, topic, 2, configs);
    sender_deny(broker, topic, "DESCRIBE_CONFIGS");
    for (int i = 0; i < 300; i++) {
        char key[3] = {'k', (char)(i == 0 ? '0' : '3' + i % 3)}, payload[8];
        int digits = snprintf(payload, sizeof payload, "%d", i + 1);
        sender_add(sender, topic, key, 2, payload, (size_t)digits, NULL);
    }
    sender->page->events[2].created_at_us -= INT64_C(86400) * 1000000;
    turn_until_done(sender, 1);
    broker_pause(broker); /* so that all that may be on its way at once is */
    sender->limit = 0;
    turn_for(sender, 500000);
    broker_continue(broker);
    sender_run(sender, 60000);
    for (size_t i = 0; i < sender->page->count; i++)
        cr_assert_eq(sender->parked[i], i == 2, "event %zu", i);
    end(sender, broker, topic, false);
}

Test(kafka_faults, full_batches_shrink_until_they_pass_when_the_limit_may_not_be_read, .timeout = 300)
{
    static const char *const configs[] = {"max.message.bytes", "100000", NULL};
    struct broker *broker = broker_with_acls();
    const char *topic = broker_new_topic(broker, "unreadable", 1, configs);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_deny(broker, topic, "DESCRIBE_CONFIGS");
    sender_add_numbered(sender, topic, 20000, 7, 100);
    sender_run(sender, 200000);
    for (size_t i = 0; i < sender->page->count; i++)
        cr_assert_not(sender->parked[i], "event %zu was good", i);
    end(sender, broker, topic, false);
}

Test(kafka_faults, a_broker_that_hangs_for_15_seconds_loses_nothing_and_inverts_nothing, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "held", 4, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 200000, 97, 20);
    while (sender->done < 20000)
        sender_turn(sender);
    broker_pause(broker);
    turn_for(sender, 15000000);
    broker_continue(broker);
    sender_run(sender, 120000);
    cr_assert_eq(producer_statistics(sender->producer)->instances, 1, "patience, not a new instance: %s",
                 sender->last.message);
    end(sender, broker, topic, false);
}

/* The loop has more to do than Kafka: it must beat the relay's heart (I6). */
Test(kafka_faults, no_turn_waits_for_a_broker_that_hangs_while_a_new_topic_is_asked_about, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *known = broker_topic_name(broker, "known"), *new = broker_topic_name(broker, "new");
    struct sender *sender = sender_new(broker, NULL, NULL);
    int64_t longest_us = 0;
    broker_create_topic(broker, known, 1, NULL);
    broker_create_topic(broker, new, 1, NULL);
    sender_add_numbered(sender, known, 1, 1, 20);
    sender_add_numbered(sender, new, 1, 1, 20);
    turn_until_done(sender, 1);
    broker_pause(broker);
    sender->limit = 0;
    for (int64_t until_us = clock_monotonic_us() + 3000000, now_us;
         (now_us = clock_monotonic_us()) < until_us;) {
        sender_turn(sender);
        if (clock_monotonic_us() - now_us > longest_us)
            longest_us = clock_monotonic_us() - now_us;
    }
    cr_assert_lt((double)longest_us, 300000 * wait_patience(), "a turn took %d ms", (int)(longest_us / 1000));
    cr_assert_eq(sender->done, 1);
    broker_continue(broker);
    sender_run(sender, 30000);
    end(sender, broker, new, false);
}

/* What a slow broker has in its hands when an instance ends is acknowledged a second later, and need not be sent again. That a
 * connection broke earlier, with requests on their way, makes no difference once these are settled. */
Test(kafka_faults, what_is_on_its_way_when_an_instance_ends_is_awaited_and_stands_once__P3, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "slow", 1, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 20000, 7, 20);
    turn_until_done(sender, 1);
    broker_pause(broker);
    sender->limit = 100;
    turn_for(sender, 300000);
    broker_kill(broker);
    broker_up(broker);
    turn_until_done(sender, 100);
    broker_pause(broker);
    sender->limit = 0;
    turn_for(sender, 300000);
    int64_t end_us = clock_monotonic_us(); /* the time is told, for the wait is one of two seconds */
    producer_end(sender->producer, end_us, "the test wants it");
    while (producer_out(sender->producer) >= 19900) /* what had not left comes back at once */
        producer_turn(sender->producer, end_us + 500000);
    producer_turn(sender->producer, end_us + 1000000);
    cr_assert_eq(producer_state(sender->producer), PRODUCER_ENDING);
    cr_assert_gt(producer_out(sender->producer), 0, "something is on its way");
    broker_continue(broker);
    sender_run(sender, 60000);
    end(sender, broker, topic, false);
}

Test(kafka_faults, a_broker_killed_and_started_again_loses_nothing_and_inverts_nothing, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "killed", 4, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 200000, 97, 20);
    for (size_t goal = 20000; goal <= 100000; goal += 80000) {
        while (sender->done < goal)
            sender_turn(sender);
        broker_kill(broker);
        broker_up(broker);
    }
    sender_run(sender, 120000);
    end(sender, broker, topic, true);
}

Test(kafka_faults, a_broker_that_is_not_there_yet_is_waited_for, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "absent", 2, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_add_numbered(sender, topic, 100, 7, 20);
    broker_kill(broker);
    turn_for(sender, 3000000);
    cr_assert_eq(sender->reports, 0);
    cr_assert_eq(sender->topic_faults, 0, "an outage is not a topic's fault: %s", sender->last.message);
    broker_up(broker);
    sender_run(sender, 30000);
    end(sender, broker, topic, false);
}

Test(kafka_faults, denied_writes_are_the_topics_fault_and_go_on_when_allowed_again, .timeout = 300)
{
    struct broker *broker = broker_with_acls();
    const char *topic = broker_new_topic(broker, "denied", 4, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_deny(broker, topic, "WRITE");
    sender_add_numbered(sender, topic, 1000, 97, 20);
    while (sender->topic_faults == 0)
        sender_turn(sender);
    cr_assert_str_eq(sender->last.name, "TOPIC_AUTHORIZATION_FAILED");
    cr_assert_eq(sender->done, 0);
    sender_allow(broker, topic);
    sender_run(sender, 60000);
    end(sender, broker, topic, false);
}

Test(kafka_faults, a_topic_that_may_not_be_seen_is_the_topics_fault_before_anything_is_sent, .timeout = 300)
{
    struct broker *broker = broker_with_acls();
    const char *topic = broker_new_topic(broker, "hidden", 4, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    sender_deny(broker, topic, "ALL");
    sender_add_numbered(sender, topic, 10, 7, 20);
    while (sender->topic_faults == 0)
        sender_turn(sender);
    cr_assert_str_eq(sender->last.name, "TOPIC_AUTHORIZATION_FAILED");
    cr_assert_eq(sender->reports, 0);
    sender_free(sender);
    broker_free(broker);
}

static enum producer_look
look(struct sender *sender, const char *name, struct outcome *why)
{
    const struct topic *topic = topic_intern(sender->topics, name, strlen(name));
    enum producer_look looked;
    producer_forget_topic(sender->producer, topic);
    while ((looked = producer_look(sender->producer, topic, why)) == LOOK_ASKING)
        sender_turn(sender);
    return looked;
}

Test(kafka_faults, a_topic_that_is_unknown_or_may_not_be_seen_is_found_out_without_sending, .timeout = 300)
{
    struct broker *broker = broker_with_acls();
    const char *hidden = broker_new_topic(broker, "hidden", 1, NULL),
               *missing = broker_topic_name(broker, "missing"),
               *closed = broker_new_topic(broker, "closed", 1, NULL);
    struct sender *sender = sender_new(broker, NULL, NULL);
    struct outcome why = {.kind = OUTCOME_UNSENT};
    sender_deny(broker, hidden, "ALL");
    broker_deny(broker, closed, "WRITE");
    cr_assert_eq(look(sender, hidden, &why), LOOK_REFUSED);
    cr_expect_str_eq(why.name, "TOPIC_AUTHORIZATION_FAILED");
    cr_assert_eq(look(sender, missing, &why), LOOK_REFUSED);
    cr_expect_str_eq(why.name, "UNKNOWN_TOPIC_OR_PART");
    cr_assert_eq(look(sender, closed, &why), LOOK_FINE, "only an event tells that it may not be written");
    broker_create_topic(broker, missing, 1, NULL);
    cr_assert_eq(look(sender, missing, &why), LOOK_FINE);
    cr_expect_eq(producer_statistics(sender->producer)->instances, 1);
    cr_expect_eq(sender->reports, 0);
    sender_free(sender);
    broker_free(broker);
}

/* A denied or under-replicated topic may never report: librdkafka retries for ever. The two minutes are told, not waited. */
Test(kafka_faults, a_topic_silent_for_two_minutes_while_a_broker_answers_is_the_topics_fault, .timeout = 300)
{
    struct broker *broker = broker_start(NULL);
    const char *topic = broker_new_topic(broker, "silent", 1, NULL);
    struct sender *sender = sender_new(broker, "statistics.interval.ms", "1000");
    sender_add_numbered(sender, topic, 50, 7, 20);
    sender->limit = 1;
    while (sender->done < 1 || producer_statistics(sender->producer)->brokers_up == 0)
        sender_turn(sender);
    broker_pause(broker);
    sender->limit = 0;
    while (producer_out(sender->producer) < 49)
        sender_turn(sender);
    int64_t now_us = clock_monotonic_us();
    producer_turn(sender->producer, now_us + 119 * 1000000);
    cr_assert_eq(producer_state(sender->producer), PRODUCER_READY);
    producer_turn(sender->producer, now_us + 122 * 1000000);
    cr_assert_eq(producer_state(sender->producer), PRODUCER_ENDING);
    while (producer_out(sender->producer) > 0)
        producer_turn(sender->producer, now_us + 125 * 1000000);
    cr_assert_eq(sender->topic_faults, 49);
    cr_assert_str_eq(sender->last.name, "NO_ANSWER");
    broker_continue(broker);
    sender_run(sender, 60000);
    end(sender, broker, topic, true);
}
