/* kafka_topics.c: what is known about topics, without any broker. */
#include "kafka/topics.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000)

static struct topic first = {.name = (char[]){"first"}, .index = 0},
                    second = {.name = (char[]){"second"}, .index = 5};

Test(kafka_topics, a_topic_stalls_alone_and_only_while_a_broker_answers)
{
    struct topics *topics = topics_new();
    struct topic_facts *quiet = topics_facts(topics, &first), *busy = topics_facts(topics, &second);
    quiet->out = busy->out = 1;
    quiet->progress_us = 10 * SECOND;
    busy->progress_us = 100 * SECOND;
    cr_assert_not(topics_stalled(topics, 130 * SECOND, 120 * SECOND, true));
    cr_assert(topics_stalled(topics, 131 * SECOND, 120 * SECOND, true));
    cr_assert(quiet->stalled);
    cr_assert_not(busy->stalled);
    cr_assert_not(topics_stalled(topics, 1000 * SECOND, 120 * SECOND, false), "an outage is nobody's fault");
    cr_assert_not(topics_stalled(topics, 1119 * SECOND, 120 * SECOND, true), "its time does not count");
    cr_assert(topics_stalled(topics, 1121 * SECOND, 120 * SECOND, true));
    quiet->out = busy->out = 0;
    cr_assert_not(topics_stalled(topics, 5000 * SECOND, 120 * SECOND, true), "nothing is due");
    topics_free(topics);
}

Test(kafka_topics, the_smallest_limit_of_all_topics_in_use_bounds_a_batch)
{
    struct topics *topics = topics_new();
    cr_assert_eq(topics_batch_bytes(topics), INT64_MAX);
    topics_facts(topics, &second)->limits.max_bytes = 50000;
    topics_facts(topics, &first)->limits.max_bytes = 1048588;
    cr_assert_eq(topics_batch_bytes(topics), 50000);
    topics_free(topics);
}

Test(kafka_topics,
     a_limit_below_16_KiB_makes_no_batches_of_others_smaller_and_is_kept_by_sending_less_at_once__row_34)
{
    struct topics *topics = topics_new();
    struct topic_facts *little = topics_facts(topics, &first), *other = topics_facts(topics, &second);
    little->limits.max_bytes = 500;
    cr_assert_eq(topics_batch_bytes(topics), INT64_MAX);
    other->limits.max_bytes = 16384;
    cr_assert_eq(topics_batch_bytes(topics), 16384);
    cr_assert(topic_has_room(little, 200, 16384));
    topic_sent(little, 200);
    cr_assert(topic_has_room(little, 300, 16384));
    cr_assert_not(topic_has_room(little, 301, 16384));
    cr_assert(topic_has_room(little, 301, 500), "no batch is larger than it takes");
    topic_sent(little, 300);
    little->out--; /* a report */
    cr_assert_not(topic_has_room(little, 200, 16384), "which of them are in a batch is not known");
    little->out--;
    cr_assert(topic_has_room(little, 501, 16384), "alone: compressed it may be less");
    topic_sent(little, 501);
    little->out--;
    topic_sent(little, 400);
    cr_assert_eq(little->out_bytes, 400);
    topic_sent(other, 16384);
    cr_assert(topic_has_room(other, 16384, 16384));
    topics_free(topics);
}

Test(kafka_topics, a_refused_batch_halves_the_next_only_where_the_limit_is_unknown)
{
    struct topics *topics = topics_new();
    struct topic_facts *unknown = topics_facts(topics, &first), *known = topics_facts(topics, &second);
    known->limits.max_bytes = 1048588;
    topics_batch_refused(unknown, 1000000);
    topics_batch_refused(known, 1000000);
    cr_assert_eq(topic_batch_bytes(unknown), 500000);
    cr_assert_eq(topic_batch_bytes(known), 1048588);
    topics_batch_refused(unknown, 20000);
    cr_assert_eq(topic_batch_bytes(unknown), 500000, "that was one large event, not a large batch");
    topics_free(topics);
}

Test(kafka_topics, topics_of_positions_are_reserved_whatever_the_relay_and_others_are_not)
{
    struct topic own = {.name = (char[]){"outboxd-position-shop-main"}, .index = 0},
                 others = {.name = (char[]){"outboxd-position-"}, .index = 1},
                 plain = {.name = (char[]){"outboxd-positions"}, .index = 2};
    struct topics *topics = topics_new();
    cr_expect(topics_facts(topics, &own)->reserved);
    cr_expect(topics_facts(topics, &others)->reserved);
    cr_expect_not(topics_facts(topics, &plain)->reserved);
    topics_free(topics);
}
