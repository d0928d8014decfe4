/* relay_sizes.c: promise P5 for topics whose limits are absurd: what they cannot take is refused for its own sake, and what others are
 * sent is as much at once as ever. */
#include "relay_setup.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_sizes, .timeout = 120);

static const char *const at_least_once[] = {"lease=1s", NULL};

static const char *
limited_topic(struct setup *setup, const char *name, const char *bytes)
{
    return setup_topic(setup, name, 2, (const char *[]){"max.message.bytes", bytes, NULL});
}

static void
emit(struct setup *setup, const char *topic, int events)
{
    postgres_exec(setup->app,
                  "insert into outbox.event (topic, key, payload)"
                  " select '%s', convert_to('k' || i, 'UTF8'), convert_to(i::text, 'UTF8') from "
                  "generate_series(1, %d) i",
                  topic, events);
}

/* One process, and one instance of its producer. */
static void
expect_undisturbed(struct setup *setup)
{
    cr_expect(daemon_running(setup->relay));
    cr_expect_eq(daemon_metric(setup->relay, "outbox_producer_instances_total"), 1,
                 "a batch was refused, or the batches of all topics were made smaller");
}

/* Six events that can never be sent among 1,500 that are. Returns how many came twice. */
static size_t
take_nothing(struct setup *setup, const char *const *overrides, const char *error)
{
    const char *nothing = limited_topic(setup, "nothing", "0"), *byte = limited_topic(setup, "byte", "1");
    const char *sound = setup_topic(setup, "sound", 2, NULL);
    setup_run(setup, overrides);
    emit(setup, sound, 500);
    emit(setup, nothing, 3);
    emit(setup, byte, 3);
    emit(setup, sound, 500);
    wait_for(
        postgres_int(setup->admin, "select count(*) from outbox.dead_letter where error = '%s'", error) == 6,
        30000);
    emit(setup, sound, 500);
    setup_wait_confirmed(setup, 30000);
    struct verdict verdict = setup_compare(setup, "dead_letter");
    cr_expect(verdict_clean(&verdict), "%s", verdict.examples);
    cr_expect_eq(verdict.expected, 1500);
    return verdict.duplicates;
}

Test(relay_sizes, events_of_topics_that_take_none_are_dead_letters_and_all_others_flow__P5__row_34)
{
    struct setup setup = setup_begin();
    cr_expect_eq(take_nothing(&setup, at_least_once, "SIZE_REFUSED"), 0);
    expect_undisturbed(&setup);
    setup_end(&setup);
}

Test(relay_sizes,
     events_of_topics_that_take_none_are_dead_letters_and_all_others_flow_exactly_once__P5__row_34)
{
    struct setup setup = setup_begin();
    cr_expect_eq(take_nothing(&setup, setup_exact(&setup, true), "SIZE_REFUSED"), 0);
    expect_undisturbed(&setup);
    setup_end(&setup);
}

/* What they are compressed, the broker judges: a refusal ends an instance, and no process. */
Test(relay_sizes, compressed_events_of_topics_that_take_none_are_dead_letters_too__P5__row_34)
{
    struct setup setup = setup_begin();
    (void)take_nothing(&setup, setup_and(at_least_once, "kafka/compression.type=lz4"), "MSG_SIZE_TOO_LARGE");
    setup_end(&setup);
}

/* A batch of its small events would be too large for it, and is never made: no refusal ends an instance, and takes a transaction along. */
static void
take_little(bool exact)
{
    enum { EVENTS = 500 };
    struct setup setup = setup_begin();
    const char *little = limited_topic(&setup, "little", "500"),
               *sound = setup_topic(&setup, "sound", 2, NULL);
    setup_run(&setup, exact ? setup_exact(&setup, true) : at_least_once);
    postgres_exec(
        setup.app,
        "insert into outbox.event (topic, key, payload) select case i %% 2 when 0 then '%s' else '%s' end,"
        " convert_to('k' || i %% 7, 'UTF8'), convert_to(repeat('x', i %% 100), 'UTF8')"
        " from generate_series(1, 2 * %d) i",
        little, sound, EVENTS);
    setup_expect_all_once(&setup, 30000);
    expect_undisturbed(&setup);
    if (!exact) /* a transaction has records of its own */
        cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), little), EVENTS);
    setup_end(&setup);
}

Test(relay_sizes, events_of_a_topic_that_takes_little_at_once_come_once_and_others_keep_their_batches__P5)
{
    take_little(false);
}

Test(relay_sizes,
     events_of_a_topic_that_takes_little_at_once_come_once_and_others_keep_their_batches_exactly_once__P5)
{
    take_little(true);
}
