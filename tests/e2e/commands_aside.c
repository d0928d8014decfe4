/* commands_aside.c: `outboxd dead`, `replay`, `pause` and `resume` against a relay that really runs: what the commands say has happened has
 * happened in Kafka (P5), in order and nothing twice that nobody asked for (P2). */
#include "relay_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_aside_e2e, .timeout = 180);

/* What commands say of the leader is no matter of luck. */
static const char *const overrides[] = {"dead_letter/policy=hold-key", "lease=20s", NULL};

/* `outboxd ARGUMENTS` with the relay's configuration must end with this exit code and print `out` and `err`. */
static void
expect(const struct setup *setup, int exit_code, const char *out, const char *err,
       const char *const *arguments)
{
    const char *all[16] = {arguments[0], "--config", daemon_config_path(setup->relay)};
    for (size_t i = 1; arguments[i] != NULL; i++)
        all[2 + i] = arguments[i];
    struct outboxd_result result = outboxd_run(all);
    cr_assert_eq(result.exit_code, exit_code, "exit code %d: %s%s", result.exit_code, result.out, result.err);
    cr_assert(strstr(result.out, out) != NULL, "\"%s\" is not in: %s", out, result.out);
    cr_assert(strstr(result.err, err) != NULL, "\"%s\" is not in: %s", err, result.err);
    outboxd_result_free(&result);
}

#define EXPECT(exit_code, out, err, ...)                                                                     \
    expect(&setup, exit_code, out, err, (const char *[]){__VA_ARGS__, NULL})

static int64_t
count(struct setup *setup, const char *from)
{
    return postgres_int(setup->admin, "select count(*) from outbox.%s", from);
}

static void
emit(struct setup *setup, const char *topic, int count)
{
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k' || i %% 3, to_jsonb(i)) from generate_series(1, %d) i", topic,
                  count);
}

/* Event 1 is larger than the topic takes, and 2 to 4 are of its key. */
static const char *
begin_dead(struct setup *setup)
{
    const char *topic = setup_topic(setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(setup, overrides);
    setup_make_bytes(setup);
    postgres_exec(
        setup->admin,
        "insert into outbox.event (topic, key, payload) select '%s', 'sick', test_bytes(case when i = 1 then"
        " 50000 else 500 end, i) from generate_series(1, 4) i",
        topic);
    wait_for(count(setup, "held_event") == 3, 30000);
    return topic;
}

Test(commands_aside_e2e, a_dead_letter_is_listed_and_retried_until_it_is_published__P2_P5)
{
    struct setup setup = setup_begin();
    const char *topic = begin_dead(&setup);
    EXPECT(0, "1 dead letter, the oldest refused ", "", "dead", "list");
    EXPECT(0, "held        3 events behind it: 2, 3, 4\n", "", "dead", "show", "1");
    EXPECT(69, "1  was refused: SIZE_REFUSED; it stays a dead letter", "not all is done: 1 of 1", "dead",
           "retry", "1");
    EXPECT(0, "3 events held", "", "status");
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    EXPECT(0, "1  published, and 3 events that were held behind it\n", "", "dead", "retry", "--all");
    EXPECT(0, "no dead letters\n", "", "dead", "list");
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(commands_aside_e2e, what_is_discarded_is_shown_and_never_published_and_what_waited_is__P5)
{
    struct setup setup = setup_begin();
    const char *topic = begin_dead(&setup);
    EXPECT(0, "1  discarded, and 3 events that were held behind it\n", "", "dead", "discard", "1", "--reason",
           "a test", "--yes");
    EXPECT(0, "reason      a test\n", "", "dead", "show", "1");
    EXPECT(0, "no dead letters\n", "", "dead", "list");
    setup_expect_all_once(&setup, 10000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000"); /* it would take it now */
    int64_t before = setup_count(&setup),
            published = postgres_int(setup.admin, "select count(*) - 1 from outbox.event");
    EXPECT(0, ": done, ", "", "replay", "--from", "1", "--yes");
    cr_expect_eq(setup_count(&setup), before + published);
    setup_end(&setup);
}

Test(commands_aside_e2e, a_replay_sends_what_it_has_counted_and_no_more)
{
    struct setup setup = setup_begin();
    const char *orders = setup_topic(&setup, "orders", 2, NULL), *mail = setup_topic(&setup, "mail", 2, NULL);
    setup_run(&setup, overrides);
    emit(&setup, orders, 300);
    emit(&setup, mail, 200);
    setup_wait_confirmed(&setup, 30000);
    cr_assert_eq(setup_count(&setup), 500);
    EXPECT(0, "to be sent again: 200 events", "", "replay", "--since", "1h", "--topic", mail, "--dry-run");
    EXPECT(0, ", 200 events sent again\n", "", "replay", "--since", "1h", "--topic", mail, "--yes");
    cr_expect_eq(setup_count(&setup), 700);
    EXPECT(0, ", 100 events sent again\n", "", "replay", "--from", "1", "--to", "300", "--key", "k1",
           "--yes");
    cr_expect_eq(setup_count(&setup), 800);
    EXPECT(0, ", 10 events sent again\n", "", "replay", "--from", "1", "--to", "10", "--rate", "5", "--yes");
    cr_expect_eq(setup_count(&setup), 810);
    EXPECT(0, ": done, 10 sent", "", "replay", "--list");
    setup_end(&setup);
}

Test(commands_aside_e2e, a_retry_in_a_topic_that_is_paused_says_so_and_goes_on_when_it_is_resumed__P5)
{
    struct setup setup = setup_begin();
    const char *topic = begin_dead(&setup);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    EXPECT(0, "is paused for relay main: within a second", "", "pause", topic);
    wait_for(daemon_log_contains(setup.relay, "topic paused by hand"), 10000);
    EXPECT(0, "asked for: 1 retry\n", "", "dead", "retry", "1", "--no-wait");
    EXPECT(0, " waits: PAUSED: somebody has paused it: outboxd resume\n", "", "dead", "list");
    EXPECT(0, "waits, at event 1 of topic ", "", "status");
    EXPECT(0, "is resumed for relay main: what has waited is published\n", "", "resume", topic);
    EXPECT(0, "or has just been resumed\n", "", "resume", topic);
    wait_for(count(&setup, "dead_letter") == 0, 20000);
    EXPECT(0, "no dead letters\n", "", "dead", "list");
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(commands_aside_e2e, a_replay_is_cancelled_on_its_way)
{
    struct setup setup = setup_begin();
    const char *orders = setup_topic(&setup, "orders", 2, NULL);
    setup_run(&setup, overrides);
    emit(&setup, orders, 300);
    setup_wait_confirmed(&setup, 30000);
    EXPECT(0, "asked for: replay 1\n", "", "replay", "--from", "1", "--rate", "10", "--yes", "--no-wait");
    wait_for(postgres_int(setup.admin, "select events from outbox.request") > 0, 20000);
    EXPECT(0, "replay 1 is ended", "", "replay", "--cancel", "1");
    EXPECT(0, "replay 1: cancelled, ", "", "replay", "--list");
    emit(&setup, orders, 1); /* the relay goes on with its stream */
    setup_wait_confirmed(&setup, 10000);
    cr_expect_lt(setup_count(&setup), 601);
    setup_end(&setup);
}

Test(commands_aside_e2e, a_paused_topic_waits_while_the_others_flow__P2)
{
    struct setup setup = setup_begin();
    const char *orders = setup_topic(&setup, "orders", 2, NULL), *mail = setup_topic(&setup, "mail", 2, NULL);
    setup_run(&setup, overrides);
    EXPECT(0, "is paused for relay main", "", "pause", mail);
    wait_for(daemon_log_contains(setup.relay, "topic paused by hand"), 10000);
    emit(&setup, mail, 100);
    emit(&setup, orders, 100);
    wait_for(count(&setup, "paused_topic") == 1, 20000);
    wait_for(setup_count(&setup) >= 100, 20000);
    EXPECT(0, "; 1 topic paused\n", "", "status");
    cr_expect_eq(setup_count(&setup), 100);
    EXPECT(0, "is resumed for relay main", "", "resume", mail);
    wait_for(count(&setup, "paused_topic") == 0, 20000);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(commands_aside_e2e, a_paused_relay_publishes_nothing_until_it_is_resumed__P2)
{
    struct setup setup = setup_begin();
    const char *orders = setup_topic(&setup, "orders", 2, NULL);
    setup_run(&setup, overrides);
    emit(&setup, orders, 10);
    setup_wait_confirmed(&setup, 20000);
    EXPECT(0, "relay main is paused", "", "pause");
    wait_for(daemon_log_contains(setup.relay, "paused by hand"), 10000);
    emit(&setup, orders, 100);
    EXPECT(0, "PAUSED: relay main, by hand; backlog 100 events", "", "status");
    cr_expect_eq(setup_count(&setup), 10);
    EXPECT(0, "relay main is resumed", "", "resume");
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}
