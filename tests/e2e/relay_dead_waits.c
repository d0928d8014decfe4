/* relay_dead_waits.c: promise P5 when a retry meets a topic that takes nothing, and no event of the stream does: nobody else waits for it. */
#include "relay_setup.h"

#include "support/wait.h"

TestSuite(relay_dead_waits, .timeout = 180);

#define SOON_MS 20000

static int64_t
dead_of(struct setup *setup, const char *topic)
{
    return postgres_int(setup->admin, "select count(*) from outbox.dead_letter where topic = '%s'", topic);
}

static const char *
small_topic(struct setup *setup, const char *name)
{
    return setup_topic(setup, name, 2, (const char *[]){"max.message.bytes", "20000", NULL});
}

/* So many dead letters, each of a key of its own. */
static void
make_dead(struct setup *setup, const char *topic, int letters)
{
    postgres_exec(
        setup->admin,
        "insert into outbox.event (topic, key, payload) select '%s', int4send(i), test_bytes(50000, i)"
        " from generate_series(1, %d) i",
        topic, letters);
    wait_for(dead_of(setup, topic) == letters, 60000);
}

static void
begin(struct setup *setup, bool exact)
{
    static const char *const at_least_once[] = {"lease=1s", NULL};
    *setup = setup_begin();
    setup_run(setup, exact ? setup_exact(setup, true) : at_least_once);
    setup_make_bytes(setup);
}

/* The topic has no events any more, so it is not paused: each retry finds out by itself. */
static void
retry_behind_a_lost_topic(bool exact)
{
    struct setup setup;
    begin(&setup, exact);
    const char *lost = small_topic(&setup, "lost"), *sound = small_topic(&setup, "sound");
    make_dead(&setup, lost, 40);
    make_dead(&setup, sound, 1);
    broker_configure_topic(setup.broker, sound, "max.message.bytes", "100000");
    broker_delete_topic(setup.broker, lost);
    (void)postgres_int(setup.admin, "select count(outbox.dead_retry('main', event_id)) from"
                                    " (select event_id from outbox.dead_letter order by event_id) l");
    wait_for(dead_of(&setup, sound) == 0, SOON_MS);
    cr_expect_eq(dead_of(&setup, lost), 40);
    setup_end(&setup);
}

Test(relay_dead_waits, retries_of_a_topic_that_is_gone_keep_no_other_from_beginning__P5)
{
    retry_behind_a_lost_topic(false);
}

Test(relay_dead_waits, retries_of_a_topic_that_is_gone_keep_no_other_from_beginning_exactly_once__P5)
{
    retry_behind_a_lost_topic(true);
}

/* Events of the key go on coming, so ticks are kept from being opened now and then; and then the topic is gone. */
static int64_t
emit_more(struct setup *setup, const char *topic)
{
    postgres_exec(setup->app,
                  "insert into outbox.event (topic, key, payload) select '%s', int4send(1), 'more'"
                  " from generate_series(1, 20)",
                  topic);
    return postgres_int(setup->admin, "select coalesce(max(progress), 0) from outbox.request");
}

static void
lose_amid_a_retry(bool exact)
{
    struct setup setup;
    begin(&setup, exact);
    const char *lost = small_topic(&setup, "lost"), *sound = small_topic(&setup, "sound");
    make_dead(&setup, lost, 1);
    broker_configure_topic(setup.broker, lost, "max.message.bytes", "100000");
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload) select '%s', int4send(1), 'held'"
                  " from generate_series(1, 200000)",
                  lost);
    (void)postgres_int(setup.admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter");
    wait_for(emit_more(&setup, lost) > 0, 60000);
    broker_delete_topic(setup.broker, lost);
    for (int i = 0; i < 50; i++)
        (void)emit_more(&setup, lost);
    postgres_exec(setup.app, "select outbox.emit('%s', 'key', '1')", sound);
    wait_for(consumer_count(broker_bootstrap(setup.broker), sound) > 0, SOON_MS);
    setup_end(&setup);
}

Test(relay_dead_waits, a_topic_that_is_lost_amid_a_retry_holds_up_no_other__P5)
{
    lose_amid_a_retry(false);
}

Test(relay_dead_waits, a_topic_that_is_lost_amid_a_retry_holds_up_no_other_exactly_once__P5)
{
    lose_amid_a_retry(true);
}
