/* relay_dead.c: promises P2, P3 and P5 when Kafka refuses an event for its own sake: with `hold-key` it is kept whole, later events of its topic
 * and key wait behind it, everything else flows; a retry publishes them in order. Each story in both deliveries. */
#include "relay_setup.h"

#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_dead, .timeout = 180);

static const char *const at_least_once[] = {"lease=1s", NULL};

static void
emit(struct setup *setup, const char *topic, const char *key, int payload)
{
    postgres_exec(setup->app, "select outbox.emit('%s', '%s', '%d')", topic, key, payload);
}

static int64_t
count(struct setup *setup, const char *table)
{
    return postgres_int(setup->admin, "select count(*) from outbox.%s", table);
}

/* An event of the key 'sick' that the topic does not take, with others of the same and of another key before and behind it. */
static const char *
begin(struct setup *setup, bool exact, const char *policy)
{
    const char *topic = setup_topic(setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(setup, setup_and(exact ? setup_exact(setup, true) : at_least_once, policy));
    setup_make_bytes(setup);
    emit(setup, topic, "sick", 1);
    postgres_exec(
        setup->admin,
        "insert into outbox.event (topic, key, payload) select '%s', case when i %% 3 = 0 then 'sick' else "
        "convert_to('sound' || i %% 5, 'UTF8') end, test_bytes(case when i = 30 then 50000 else 500 end, i)"
        " from generate_series(1, 200) i",
        topic);
    return topic;
}

/* The dead letter is whole, and exactly the later events of its key wait. */
static void
expect_held(struct setup *setup)
{
    wait_for(count(setup, "dead_letter") == 1, 30000);
    setup_wait_confirmed(setup, 30000);
    cr_expect_eq(
        postgres_int(
            setup->admin,
            "select count(*) from outbox.dead_letter l join outbox.event e on e.id = l.event_id"
            " where (l.topic, l.key, l.payload, l.created_at) = (e.topic, e.key, e.payload, e.created_at)"
            " and l.hold = l.event_id and length(e.payload) = 50000"),
        1);
    cr_expect_eq(
        postgres_int(
            setup->admin,
            "select count(*) from outbox.event e, outbox.dead_letter l where e.key = l.key and e.id > "
            "l.event_id and not exists (select from outbox.held_event h where h.event_id = e.id)"),
        0);
    cr_expect_eq(count(setup, "held_event"), 56);
    if (setup->position[0] == '\0') /* a transaction has records of its own */
        cr_expect_eq(setup_count(setup), 201 - 57);
    wait_for(daemon_metric(setup->relay, "outbox_dead_letters") == 1, DAEMON_COUNTED_MS);
    wait_for(daemon_metric(setup->relay, "outbox_held_events") == 56, DAEMON_COUNTED_MS);
}

static void
ask_retry(struct setup *setup)
{
    cr_assert_gt(
        postgres_int(setup->admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter"), 0);
}

static void
wait_requests(struct setup *setup)
{
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.request where done_at is null") == 0,
             30000);
}

static void
hold_and_retry(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = begin(&setup, exact, "dead_letter/policy=hold-key");
    expect_held(&setup);
    emit(&setup, topic, "sick", 2);
    emit(&setup, topic, "sound1", 3);
    wait_for(count(&setup, "held_event") == 57, 10000);
    ask_retry(&setup); /* refused again: nothing has changed */
    wait_requests(&setup);
    cr_expect_eq(postgres_int(setup.admin, "select attempts from outbox.dead_letter"), 2);
    cr_expect_eq(count(&setup, "held_event"), 57);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    ask_retry(&setup);
    wait_for(count(&setup, "dead_letter") == 0, 30000);
    cr_expect_eq(count(&setup, "held_event"), 0);
    emit(&setup, topic, "sick", 4);
    setup_wait_confirmed(&setup, 10000);
    setup_expect_all_once(&setup, 1000);
    wait_for(daemon_metric(setup.relay, "outbox_dead_letters") == 0, DAEMON_COUNTED_MS);
    cr_expect_eq(daemon_metric(setup.relay, "outbox_held_events"), 0);
    setup_end(&setup);
}

Test(relay_dead, an_event_too_large_holds_its_key_and_a_retry_publishes_all_in_order__P2_P5__row_34)
{
    hold_and_retry(false);
}

Test(relay_dead,
     an_event_too_large_holds_its_key_and_a_retry_publishes_all_in_order_exactly_once__P2_P3__row_34)
{
    hold_and_retry(true);
}

static void
discard(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = begin(&setup, exact, "dead_letter/policy=hold-key");
    expect_held(&setup);
    cr_assert_gt(postgres_int(setup.admin,
                              "select outbox.dead_discard('main', event_id, 'test') from outbox.dead_letter"),
                 0);
    wait_for(count(&setup, "dead_letter") == 0, 30000);
    wait_for(count(&setup, "held_event") == 0, 5000);
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.discarded where reason = 'test'"
                                           " and length(payload) = 50000"),
                 1);
    emit(&setup, topic, "sick", 4);
    setup_wait_confirmed(&setup, 10000);

    struct verdict verdict = setup_judge(&setup);
    cr_expect_eq(verdict.duplicates, 0);
    setup_end(&setup);
}

Test(relay_dead, a_discarded_event_is_kept_with_the_reason_and_what_waited_is_published__P2_P5)
{
    discard(false);
}

Test(relay_dead, a_discarded_event_is_kept_with_the_reason_and_what_waited_is_published_exactly_once__P2_P3)
{
    discard(true);
}

/* On the topic stands everything but the dead letter, once and in order; behind a retry that one too, once, after all that overtook it. */
static void
skip(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = begin(&setup, exact, "dead_letter/policy=skip");
    wait_for(count(&setup, "dead_letter") == 1, 30000);
    emit(&setup, topic, "sick", 2);
    setup_wait_confirmed(&setup, 30000);
    cr_expect_eq(count(&setup, "held_event"), 0);
    struct verdict without = setup_compare(&setup, "dead_letter");
    cr_assert(verdict_clean(&without) && without.duplicates == 0, "%s", without.examples);
    cr_expect_eq(without.records, 201);

    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    wait_for(expected_nothing_waits(setup.admin), 30000);
    struct verdict all = setup_compare(&setup, "dead_letter");
    cr_expect(all.records == 202 && all.lost == 0 && all.phantom == 0 && all.changed == 0 &&
                  all.duplicates == 0,
              "%s", all.examples);
    cr_expect_eq(all.reordered, 56, "%zu events of its transaction and key stand before it", all.reordered);
    setup_end(&setup);
}

Test(relay_dead, with_skip_later_events_of_the_key_are_published__P5)
{
    skip(false);
}

Test(relay_dead, with_skip_later_events_of_the_key_are_published_exactly_once__P5)
{
    skip(true);
}

#define EMIT_EVERY_US 100000

/* More events of those keys now and then, some of them in front of the end of their retry and some behind it. */
static int64_t
emit_more(struct setup *setup, const char *topic)
{
    static int64_t next_us;
    if (clock_monotonic_us() >= next_us) {
        postgres_exec(
            setup->app,
            "insert into outbox.event (topic, key, payload) select '%s', convert_to('key' || i, 'UTF8'), "
            "'more' from generate_series(0, 199) i",
            topic);
        next_us = clock_monotonic_us() + EMIT_EVERY_US;
    }
    return count(setup, "dead_letter");
}

static void
retry_many(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(&setup, exact ? setup_exact(&setup, true) : at_least_once);
    setup_make_bytes(&setup);
    postgres_exec(setup.admin,
                  "insert into outbox.event (topic, key, payload) select '%s', convert_to('key' || i %% 200, "
                  "'UTF8'), test_bytes(case when i / 200 = 1 then 50000 else 500 end, i)"
                  " from generate_series(0, 999) i",
                  topic);
    wait_for(count(&setup, "dead_letter") == 200, 60000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    (void)postgres_int(setup.admin,
                       "select count(outbox.dead_retry('main', event_id)) from outbox.dead_letter");
    wait_for(emit_more(&setup, topic) == 0, 60000);
    wait_for(count(&setup, "held_event") == 0, 10000);
    setup_wait_confirmed(&setup, 30000);
    setup_expect_all_once(&setup, 1000);
    setup_end(&setup);
}

Test(relay_dead, keys_are_free_one_by_one_while_events_of_theirs_go_on_coming__P2_P5)
{
    retry_many(false);
}

Test(relay_dead, keys_are_free_one_by_one_while_events_of_theirs_go_on_coming_exactly_once__P2_P3)
{
    retry_many(true);
}

/* A transaction that waited for its time before each of them would take minutes. */
Test(relay_dead, events_that_are_refused_do_not_wait_for_the_time_of_a_transaction__P3_P5)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    setup_run(&setup, setup_and(setup_exact(&setup, true), "transaction/time=10s"));
    setup_make_bytes(&setup);
    postgres_exec(
        setup.admin,
        "insert into outbox.event (topic, key, payload) select '%s', convert_to('key' || i, 'UTF8'),"
        " test_bytes(case when i %% 3 = 0 then 50000 else 500 end, i) from generate_series(1, 120) i",
        topic);
    wait_for(count(&setup, "dead_letter") == 40, 60000);
    setup_wait_confirmed(&setup, 30000);
    setup_end(&setup);
}

/* What was published and not confirmed is sent again, and refused: the topic takes less now. That it was not confirmed is played, by a pause of the
 * topic from an earlier row on. */
static void
take_back(struct setup *setup, const char *topic, int64_t from_seq)
{
    cr_assert_eq(daemon_terminate(setup->relay), 0);
    postgres_exec(setup->admin,
                  "insert into outbox.paused_topic (relay, topic, from_seq, to_seq, after_id, error, message)"
                  " select 'main', '%s', %" PRId64 ", max(confirmed_seq), 0, 'TEST', 'taken back' from "
                  "outbox.journal",
                  topic, from_seq);
    daemon_again(setup->relay);
}

Test(relay_dead, two_dead_letters_of_one_key_are_retried_in_the_order_of_the_stream__I2)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "small", 2, (const char *[]){"max.message.bytes", "40000", NULL});
    setup_run(&setup, at_least_once);
    setup_make_bytes(&setup);
    int64_t from_seq = postgres_int(setup.admin, "select max(confirmed_seq) from outbox.journal");
    for (int i = 0; i < 8; i++)
        postgres_exec(
            setup.admin,
            "insert into outbox.event (topic, key, payload) values ('%s', '%s', test_bytes(%d, %d))", topic,
            i == 7 ? "other" : "sick",
            i == 1             ? 30000
            : i == 4 || i == 7 ? 50000
                               : 500,
            i);
    wait_for(count(&setup, "dead_letter") == 2 && count(&setup, "held_event") == 2, 30000);
    setup_wait_confirmed(&setup, 30000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "20000");
    take_back(&setup, topic, from_seq);
    wait_for(count(&setup, "dead_letter") == 3 && count(&setup, "held_event") == 4, 30000);
    wait_for(count(&setup, "paused_topic") == 0, 30000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "100000");
    for (int place = 1; place < 3; place++) /* the later one, and that of another key, which does not wait */
        cr_assert_gt(postgres_int(setup.admin,
                                  "select outbox.dead_retry('main', (select event_id from "
                                  "outbox.dead_letter order by event_id limit 1 offset %d))",
                                  place),
                     0);
    wait_for(count(&setup, "dead_letter") == 2, 30000);
    cr_expect_eq(count(&setup, "held_event"), 4);
    cr_assert_gt(
        postgres_int(setup.admin, "select outbox.dead_retry('main', min(event_id)) from outbox.dead_letter"),
        0);
    wait_requests(&setup);
    cr_expect_eq(count(&setup, "dead_letter") + count(&setup, "held_event"), 0);
    setup_wait_confirmed(&setup, 10000);
    (void)setup_judge(&setup);
    setup_end(&setup);
}

/* Of one page: each is left out, and counted. */
static void
replay_refused(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic =
        setup_topic(&setup, "small", 2, (const char *[]){"max.message.bytes", "100000", NULL});
    setup_run(&setup, exact ? setup_exact(&setup, true) : at_least_once);
    setup_make_bytes(&setup);
    postgres_exec(
        setup.admin,
        "insert into outbox.event (topic, key, payload) select '%s', convert_to('key' || i, 'UTF8'),"
        " test_bytes(case when i %% 4 = 0 then 50000 else 500 end, i) from generate_series(1, 16) i",
        topic);
    setup_wait_confirmed(&setup, 30000);
    broker_configure_topic(setup.broker, topic, "max.message.bytes", "20000");
    struct outboxd_result result =
        outboxd_run((const char *[]){"replay", "--config", daemon_config_path(setup.relay), "--since", "1h",
                                     "--topic", topic, "--yes", NULL});
    cr_expect_eq(result.exit_code, 69);
    cr_expect_not_null(strstr(result.out, "done, 12 events sent again, 4 refused"), "%s%s", result.out,
                       result.err);
    cr_expect_not_null(strstr(result.err, "Kafka refused 4 of the events"), "%s", result.err);
    outboxd_result_free(&result);
    setup_end(&setup);
}

Test(relay_dead, each_event_of_a_replay_that_Kafka_refuses_is_counted__P5)
{
    replay_refused(false);
}

Test(relay_dead, each_event_of_a_replay_that_Kafka_refuses_is_counted_exactly_once__P5)
{
    replay_refused(true);
}

Test(relay_dead, a_copy_that_was_refused_is_made_by_the_next_retry_that_is_refused__P5)
{
    struct setup setup = setup_begin();
    const char *copies =
        setup_topic(&setup, "copies", 1, (const char *[]){"max.message.bytes", "20000", NULL});
    char override[300];
    snprintf(override, sizeof override, "dead_letter/topic=%s", copies);
    begin(&setup, false, override);
    expect_held(&setup);
    wait_requests(&setup);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), copies), 0);
    ask_retry(&setup);
    wait_requests(&setup); /* its copy is refused again */
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.request where kind = 'copy'"), 2);
    broker_configure_topic(setup.broker, copies, "max.message.bytes", "100000");
    for (int i = 0; i < 2; i++) {
        ask_retry(&setup);
        wait_requests(&setup);
    }
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), copies), 1, "one copy and no more");
    setup_end(&setup);
}

/* ---- a stop ---- */

/* What is held is written down only when the leader stops already; what came behind it was acknowledged before. */
Test(relay_dead, a_clean_stop_while_held_events_are_written_down_repeats_nothing__P1__row_48)
{
    struct setup setup = setup_begin();
    const char *topic = begin(&setup, false, "dead_letter/policy=hold-key");
    expect_held(&setup);
    int64_t published = setup_count(&setup);
    PGconn *other = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    postgres_exec(other, "begin; lock table outbox.held_event in exclusive mode");
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload) values ('%s', 'sick', 'held'), ('%s', "
                  "'sound', 'behind')",
                  topic, topic);
    wait_for(setup_count(&setup) == published + 1, 20000);
    kill(daemon_pid(setup.relay), SIGTERM);
    wait_for(daemon_log_contains(setup.relay, "to=draining"), 5000);
    postgres_exec(other, "commit");
    PQfinish(other);
    cr_assert_eq(daemon_wait_exit(setup.relay, 20000), 0);
    daemon_again(setup.relay);
    emit(&setup, topic, "sound", 3);
    setup_wait_confirmed(&setup, 20000);
    cr_expect_eq(setup_count(&setup), published + 2);
    cr_expect_eq(count(&setup, "held_event"), 57);
    setup_end(&setup);
}
