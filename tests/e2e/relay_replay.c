/* relay_replay.c: what is retained is published again, marked, beside the stream and without disturbing its order (P2); and copies of dead
 * letters in a topic of their own (P5). By the command line, as people do. */
#include "relay_setup.h"

#include "base/clock.h"
#include "support/consumer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_replay, .timeout = 180);

static void
emit_many(struct setup *setup, const char *topic, int count)
{
    postgres_exec(setup->app,
                  "insert into outbox.event (topic, key, payload, headers) select '%s', convert_to('k' || i "
                  "%% 7, 'UTF8'),"
                  " convert_to(i::text, 'UTF8'), '{\"kind\": \"test\"}' from generate_series(1, %d) i",
                  topic, count);
}

static bool
header_is(const struct record *record, const char *name, const char *value)
{
    const struct record_header *found = record_header(record, name);
    struct bytes wanted = {(char *)value, strlen(value)};
    return found != NULL && bytes_equal(found->value, wanted);
}

/* It must end with 0. */
static void
command(struct setup *setup, const char *const *arguments)
{
    const char *all[16] = {arguments[0], "--config", daemon_config_path(setup->relay), NULL};
    for (size_t i = 1; arguments[i] != NULL; i++) {
        all[i + 2] = arguments[i];
        all[i + 3] = NULL;
    }
    struct outboxd_result result = outboxd_run(all);
    cr_assert_eq(result.exit_code, 0, "outboxd %s: %d\n%s%s", arguments[0], result.exit_code, result.out,
                 result.err);
    outboxd_result_free(&result);
}

/* Of a topic: records with the header `name`, and those without; each in the order of their ids within a key and a partition. */
static void
expect_marked(struct setup *setup, const char *topic, size_t marked, size_t plain)
{
    struct records records = {0};
    size_t with = 0, without = 0;
    consumer_read_all(&records, broker_bootstrap(setup->broker), (const char *[]){topic, NULL}, true);
    for (size_t i = 0; i < records.count; i++) {
        bool is_marked = record_header(&records.list[i], "replay") != NULL;
        with += is_marked;
        without += !is_marked;
        cr_expect(header_is(&records.list[i], "kind", "test"));
        cr_expect_not_null(record_header(&records.list[i], "id"));
    }
    cr_expect_eq(with, marked, "%zu records are marked instead of %zu", with, marked);
    cr_expect_eq(without, plain, "%zu records are not marked instead of %zu", without, plain);
    records_free(&records);
}

static void
replay(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "wanted", 3, NULL),
               *other = setup_topic(&setup, "other", 1, NULL);
    char first[24], last[24];
    setup_run(&setup, setup_and(exact ? setup_exact(&setup, true) : NULL, "lease=1s"));
    emit_many(&setup, topic, 3000);
    emit_many(&setup, other, 1000);
    emit_many(&setup, topic, 3000);
    setup_wait_confirmed(&setup, 20000);
    command(&setup, (const char *[]){"replay", "--since", "1h", "--topic", topic, "--yes", NULL});
    expect_marked(&setup, topic, 6000, 6000);
    expect_marked(&setup, other, 0, 1000);
    snprintf(first, sizeof first, "%" PRId64,
             postgres_int(setup.admin, "select min(id) + 2990 from outbox.event"));
    snprintf(last, sizeof last, "%" PRId64,
             postgres_int(setup.admin, "select min(id) + 3009 from outbox.event"));
    command(&setup, (const char *[]){"replay", "--from", first, "--to", last, "--yes", NULL});
    expect_marked(&setup, topic, 6010, 6000);
    expect_marked(&setup, other, 10, 1000);
    emit_many(&setup, topic, 10);
    setup_wait_confirmed(&setup, 10000);
    expect_marked(&setup, topic, 6010, 6010);
    setup_end(&setup);
}

Test(relay_replay, retained_events_are_published_again_marked_by_topic_and_by_id__P2)
{
    replay(false);
}

Test(relay_replay, retained_events_are_published_again_marked_by_topic_and_by_id_exactly_once__P2_P3)
{
    replay(true);
}

/* Ended at any moment, a replay goes on where it was. */
static void
interrupt(bool exact, bool kills)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "wanted", 3, NULL);
    setup_run(&setup, setup_and(exact ? setup_exact(&setup, true) : NULL, "lease=1s"));
    emit_many(&setup, topic, 20000);
    setup_wait_confirmed(&setup, 20000);
    command(&setup,
            (const char *[]){"replay", "--since", "1h", "--rate", "4000", "--yes", "--no-wait", NULL});
    for (int i = 0; i < 5; i++) {
        int64_t before = postgres_int(setup.admin, "select progress from outbox.request");
        wait_for(postgres_int(setup.admin, "select progress from outbox.request") > before, 20000);
        if (kills)
            daemon_kill(setup.relay);
        else
            cr_assert_eq(daemon_terminate(setup.relay), 0);
        daemon_again(setup.relay);
    }
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.request where outcome = 'done'") == 1,
             60000);
    expect_marked(&setup, topic, 20000, 20000);
    setup_end(&setup);
}

Test(relay_replay, exactly_once_a_replay_survives_kill_9_and_repeats_nothing__P3__row_44)
{
    interrupt(true, true);
}

Test(relay_replay, a_clean_stop_amid_a_replay_repeats_nothing__P1)
{
    interrupt(false, false);
}

/* Beside two events that are a hundred thousand million ids apart there is nothing to look at. */
static void
replay_far_apart(bool exact)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "wanted", 1, NULL);
    setup_run(&setup, exact ? setup_exact(&setup, true) : NULL);
    emit_many(&setup, topic, 10);
    setup_wait_confirmed(&setup, 20000);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 100000000000)");
    emit_many(&setup, topic, 10);
    setup_wait_confirmed(&setup, 20000);
    postgres_exec(setup.admin,
                  "select outbox.replay('main', null, null, now() - interval '1 h', null, null, null, null)");
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.request where outcome = 'done'") == 1,
             20000);
    expect_marked(&setup, topic, 20, 20);
    setup_end(&setup);
}

Test(relay_replay, ids_that_nobody_has_are_passed_by_at_once)
{
    replay_far_apart(false);
}

Test(relay_replay, ids_that_nobody_has_are_passed_by_at_once_exactly_once)
{
    replay_far_apart(true);
}

/* Where there is nothing for it, it says so every few seconds only, and the stream has its turns. */
Test(relay_replay, what_is_not_meant_is_passed_by_without_a_row_of_the_journal_each)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "wanted", 1, NULL);
    setup_run(&setup, setup_and(NULL, "lease=60s")); /* hardly a heartbeat */
    emit_many(&setup, topic, 400000);
    setup_wait_confirmed(&setup, 30000);
    int64_t before = postgres_int(setup.admin, "select max(seq) from outbox.journal");
    postgres_exec(setup.admin, "select outbox.replay('main', null, null, null, null, null, 'nobody', null)");
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.request where outcome = 'done'") == 1,
             20000);
    int64_t rows = postgres_int(setup.admin, "select max(seq) from outbox.journal") - before;
    cr_expect_leq(rows, 4, "%" PRId64 " rows", rows);
    cr_expect_eq(postgres_int(setup.admin, "select events from outbox.request"), 0);
    setup_end(&setup);
}

/* ---- topics that take nothing ---- */

static bool
wait_for_topic(struct setup *setup, const char *topic, int replays)
{
    return postgres_int(setup->admin,
                        "select count(*) from outbox.relay r, jsonb_path_query(r.trouble, '$.waits[*]') w"
                        " where w ->> 'topic' = '%s'",
                        topic) == replays;
}

static bool
all_done(struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from outbox.request where done_at is null") == 0 &&
           postgres_int(setup->admin, "select count(*) from outbox.relay where trouble is not null") == 0;
}

static void
replay_paused(bool exact)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL), *paused = setup_topic(&setup, "paused", 1, NULL);
    setup_run(&setup, setup_and(exact ? setup_exact(&setup, true) : NULL, "lease=1s"));
    emit_many(&setup, good, 50);
    emit_many(&setup, paused, 50);
    emit_many(&setup, good, 50);
    setup_wait_confirmed(&setup, 20000);
    command(&setup, (const char *[]){"pause", paused, NULL});
    wait_for(daemon_log_contains(setup.relay, "topic paused by hand"), 10000);
    for (int i = 0; i < 3; i++)
        command(&setup, (const char *[]){"replay", "--since", "1h", "--yes", "--no-wait", NULL});
    wait_for(wait_for_topic(&setup, paused, 3), 10000);
    wait_for(postgres_int(setup.admin, "select min(progress) from outbox.request") == 50, 10000);
    command(&setup, (const char *[]){"replay", "--since", "1h", "--topic", good, "--yes", NULL});
    expect_marked(&setup, good, 3 * 50 + 100, 100);
    daemon_kill(setup.relay); /* whoever leads next waits too */
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    emit_many(&setup, good, 10); /* the stream flows */
    setup_wait_confirmed(&setup, 20000);
    wait_for(wait_for_topic(&setup, paused, 3), 10000);
    command(&setup, (const char *[]){"resume", paused, NULL});
    wait_for(all_done(&setup), 30000);
    expect_marked(&setup, good, 3 * 100 + 100, 110);
    expect_marked(&setup, paused, 3 * 50, 50);
    cr_expect_eq(postgres_int(setup.admin, "select sum(events) from outbox.request"), 3 * 150 + 100);
    setup_end(&setup);
}

Test(relay_replay, a_paused_topic_is_waited_for_and_other_replays_go_on__P5)
{
    replay_paused(false);
}

Test(relay_replay, a_paused_topic_is_waited_for_and_other_replays_go_on_exactly_once__P3_P5)
{
    replay_paused(true);
}

/* It ends at the newest id of its beginning, also where that was not published by then. */
Test(relay_replay, what_waits_for_a_paused_topic_is_published_first_and_then_by_the_replay_too__P5)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "paused", 1, NULL);
    struct records records = {0};
    setup_run(&setup, setup_and(NULL, "lease=1s"));
    emit_many(&setup, topic, 50);
    setup_wait_confirmed(&setup, 20000);
    command(&setup, (const char *[]){"pause", topic, NULL});
    wait_for(daemon_log_contains(setup.relay, "topic paused by hand"), 10000);
    emit_many(&setup, topic, 50);
    setup_wait_confirmed(&setup, 20000);
    command(&setup, (const char *[]){"replay", "--since", "1h", "--yes", "--no-wait", NULL});
    wait_for(wait_for_topic(&setup, topic, 1), 10000);
    expect_marked(&setup, topic, 0, 50);
    command(&setup, (const char *[]){"resume", topic, NULL});
    wait_for(all_done(&setup), 30000);
    expect_marked(&setup, topic, 100, 100);
    consumer_read_all(&records, broker_bootstrap(setup.broker), (const char *[]){topic, NULL}, false);
    for (size_t i = 0; i < records.count; i++)
        cr_expect_eq(record_header(&records.list[i], "replay") != NULL, i >= 100, "record %zu", i);
    records_free(&records);
    setup_end(&setup);
}

static double
refusals(const struct setup *setup)
{
    return daemon_metric(setup->relay, "outbox_errors_total{kind=\"topic\"}");
}

/* Of the next few attempts, one is so late. */
static bool
rests(const struct setup *setup, int64_t us)
{
    int64_t last_us = clock_monotonic_us();
    for (int i = 0; i < 4; i++) {
        double before = refusals(setup);
        wait_for(refusals(setup) > before, 45000);
        if (clock_monotonic_us() - last_us >= us)
            return true;
        last_us = clock_monotonic_us();
    }
    return false;
}

/* Each attempt may end the producer's instance: from 5 s on, each comes twice as late, half of which is left to chance. */
Test(relay_replay, a_deleted_topic_is_tried_ever_more_rarely_until_it_is_there_again__P5)
{
    struct setup setup = setup_begin();
    const char *good = setup_topic(&setup, "good", 1, NULL),
               *deleted = setup_topic(&setup, "deleted", 1, NULL);
    setup_run(&setup, NULL);
    emit_many(&setup, good, 50);
    emit_many(&setup, deleted, 50);
    emit_many(&setup, good, 50);
    setup_wait_confirmed(&setup, 20000);
    broker_delete_topic(setup.broker, deleted);
    command(&setup, (const char *[]){"replay", "--since", "1h", "--yes", "--no-wait", NULL});
    wait_for(wait_for_topic(&setup, deleted, 1), 60000);
    cr_expect_eq(postgres_int(setup.admin,
                              "select count(*) from outbox.relay where trouble #>> '{waits,0,message}'"
                              " like '%%outboxd check --create%%'"),
                 1);
    cr_expect(rests(&setup, 9900000));
    emit_many(&setup, good, 10); /* the stream flows */
    setup_wait_confirmed(&setup, 20000);
    broker_create_topic(setup.broker, deleted, 1, NULL);
    wait_for(all_done(&setup), 60000);
    expect_marked(&setup, deleted, 50, 0);
    cr_expect_geq(consumer_count(broker_bootstrap(setup.broker), good), 210);
    setup_end(&setup);
}

/* ---- copies ---- */

Test(relay_replay, a_dead_letter_is_copied_with_its_reason_and_retried_from_the_command_line__P5)
{
    struct setup setup = setup_begin();
    const char *compacted =
        setup_topic(&setup, "compacted", 1, (const char *[]){"cleanup.policy", "compact", NULL});
    const char *copies = setup_missing_topic(&setup, "copies");
    char override[300];
    struct records records = {0};
    snprintf(override, sizeof override, "dead_letter/topic=%s", copies);
    broker_create_topic(setup.broker, copies, 1, NULL);
    setup_run(&setup, setup_and(NULL, override));
    postgres_exec(setup.app, "select outbox.emit('%s', null, '2', '{\"kind\": \"test\"}')", compacted);
    wait_for(postgres_int(setup.admin,
                          "select count(*) from outbox.request where kind = 'copy' and outcome = 'done'") ==
                 1,
             20000);
    consumer_read_all(&records, broker_bootstrap(setup.broker), (const char *[]){copies, NULL}, false);
    cr_assert_eq(records.count, 1);
    cr_expect(header_is(&records.list[0], "kind", "test"));
    cr_expect(header_is(&records.list[0], "outbox-dead-topic", compacted));
    cr_expect(header_is(&records.list[0], "outbox-dead-error", "KEY_REQUIRED"));
    cr_expect_not_null(record_header(&records.list[0], "outbox-dead-message"));
    records_free(&records);
    broker_configure_topic(setup.broker, compacted, "cleanup.policy", "delete");
    command(&setup, (const char *[]){"dead", "retry", "--all", NULL});
    cr_expect_eq(postgres_int(setup.admin, "select count(*) from outbox.dead_letter"), 0);
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), compacted), 1);
    setup_end(&setup);
}

/* More copies than are made at a time. */
Test(relay_replay, copies_that_cannot_be_made_keep_no_retry_and_no_replay_waiting__P5)
{
    struct setup setup = setup_begin();
    const char *compacted =
        setup_topic(&setup, "compacted", 1, (const char *[]){"cleanup.policy", "compact", NULL});
    const char *wanted = setup_topic(&setup, "wanted", 1, NULL);
    char override[300];
    snprintf(override, sizeof override, "dead_letter/topic=%s", setup_missing_topic(&setup, "copies"));
    setup_run(&setup, setup_and(NULL, override));
    postgres_exec(
        setup.app,
        "select outbox.emit('%s', null, to_jsonb(i), '{\"kind\": \"test\"}') from generate_series(1, 20) i",
        compacted);
    emit_many(&setup, wanted, 10);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.request where kind = 'copy'") == 20,
             20000);
    setup_wait_confirmed(&setup, 20000);
    broker_configure_topic(setup.broker, compacted, "cleanup.policy", "delete");
    command(&setup, (const char *[]){"replay", "--from", "1", "--topic", wanted, "--yes", NULL});
    command(&setup, (const char *[]){"dead", "retry", "--all", NULL});
    cr_expect_eq(consumer_count(broker_bootstrap(setup.broker), compacted), 20);
    expect_marked(&setup, wanted, 10, 10);
    setup_end(&setup);
}
