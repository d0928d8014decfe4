/* exact_broker.c: P3 with delivery: exactly-once, and what a broker loses, forgets, refuses or slows down; where the rule is the same for
 * delivery at least once, that too. */
#include "e2e/relay_setup.h"
#include "e2e/relay_story.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(exact_broker, .timeout = 240);

static void
run(const char *const *argv)
{
    cr_assert_eq(process_run(&(struct process_options){.argv = argv}, 30000), 0, "%s", argv[0]);
}

static void
finish(struct story *story)
{
    story_finish(story, story->relay);
    struct verdict verdict = story_judge(story);
    if (story->exact)
        cr_expect_eq(verdict.duplicates, 0);
    story_end(story);
}

/* Some events, all of them confirmed. */
static void
publish(struct story *story)
{
    PGconn *admin = story_admin(story);
    postgres_exec(admin,
                  "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 20), 'x'"
                  " from generate_series(1, 100) g",
                  story->topics[1]);
    PQfinish(admin);
    story_await_confirmed(story);
}

/* ---- row 3 ---- */

/* Below and above socket.timeout.ms (10 s) and transaction.timeout.ms (30 s); 40 s is in relay_exact. */
Test(exact_broker, a_broker_held_for_5_s_and_for_90_s_repeats_nothing__P1_P3__row_3)
{
    static const int held_ms[] = {5000, 90000};
    struct story story;
    story_begin(&story,
                &(struct story_options){.exact = true, .own_broker = true, .keys = 20, .pause_us = 50000});
    story_start_load(&story);
    for (size_t i = 0; i < sizeof held_ms / sizeof *held_ms; i++) {
        story_await_events(&story, 300);
        broker_pause(story.broker);
        story_await_moment(&story, held_ms[i], held_ms[i]);
        broker_continue(story.broker);
        story_await_events(&story, 100);
        story_await_confirmed(&story);
    }
    finish(&story);
}

/* ---- row 22 ---- */

#define FORGETFUL                                                                                            \
    "transactional.id.expiration.ms=1000\ntransaction.remove.expired.transaction.cleanup.interval.ms=500\n"  \
    "producer.id.expiration.ms=1000\nproducer.id.expiration.check.interval.ms=500\n"
#define FORGOTTEN_MS 5000

static void
publish_and_be_forgotten(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .properties = FORGETFUL});
    for (int i = 0; i < 3; i++) {
        publish(&story);
        story_await_moment(&story, FORGOTTEN_MS, FORGOTTEN_MS);
    }
    publish(&story);
    if (exact)
        wait_for(story_instances(&story) >= 4, 20000); /* else it was not forgotten */
    finish(&story);
}

Test(exact_broker, a_producer_that_Kafka_has_forgotten_gets_another_id_and_repeats_nothing__P3__row_22)
{
    publish_and_be_forgotten(true);
}

Test(exact_broker, at_least_once_a_producer_that_Kafka_has_forgotten_goes_on__P1__row_22)
{
    publish_and_be_forgotten(false);
}

/* ---- row 24 ---- */

/* Moves what a broker has, which is down, to a disk of 48 MiB. */
static char *
move_to_small_disk(const struct broker *broker)
{
    char *disk = scratch_small_disk("48m");
    if (disk == NULL)
        cr_skip_test("a disk of its own needs root");
    char *data = must_format("%s/data", broker_directory(broker)), *moved = must_format("%s/data", disk);
    run((const char *[]){"cp", "-a", data, moved, NULL});
    scratch_remove_tree(data);
    cr_assert_eq(symlink(moved, data), 0);
    free(moved), free(data);
    return disk;
}

/* Seen: a broker without room fails within an append, and gives the same offsets to others; then its log has some of them twice. In which
 * order consumers read that is not ours to judge. */
static void
finish_with_a_broken_log(struct story *story)
{
    struct expected_events events = {0};
    PGconn *admin = story_admin(story);
    printf("the broker has given offsets twice: the order is not judged\n");
    story_finish(story, story->relay);
    load_read_ledger(&events, admin);
    struct verdict verdict = story_compare(story, &events);
    cr_expect_eq(verdict.phantom + verdict.changed, 0);
    expected_free(&events);
    PQfinish(admin);
    story_end(story);
}

static void
fill_the_disk_of_a_broker(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .own_broker = true, .pause_us = 20000});
    broker_stop(story.broker);
    char *disk = move_to_small_disk(story.broker), *filler = must_format("%s/filler", disk);
    broker_up(story.broker);
    story_start_load(&story);
    story_await_events(&story, 500);
    story_await_confirmed(&story);
    daemon_wait_ready(story.relay);
    scratch_fill_disk(filler);
    wait_for(broker_log_contains(story.broker, "No space left on device"), 40000);
    wait_for(daemon_readiness_is(story.relay, 503, "Kafka"), 40000);
    cr_expect_eq(unlink(filler), 0);
    broker_kill(story.broker); /* it has given up, perhaps it has not ended yet */
    broker_up(story.broker);
    story_await_events(&story, 500);
    story_await_confirmed(&story);
    free(filler), free(disk);
    if (broker_log_contains(story.broker, "InvalidOffsetException"))
        finish_with_a_broken_log(&story);
    else
        finish(&story);
}

Test(exact_broker,
     the_disk_of_the_broker_full_stops_it_until_there_is_room_and_repeats_nothing__P1_P3__row_24)
{
    fill_the_disk_of_a_broker(true);
}

Test(exact_broker, at_least_once_the_disk_of_the_broker_full_stops_it_until_there_is_room__P1_P2__row_24)
{
    fill_the_disk_of_a_broker(false);
}

/* ---- row 25 ---- */

/* As a machine without battery does: what the broker has acknowledged from `keep_disk` on, and not yet written to its disk, is gone. With
 * three replicas that takes all three at once; with one, this. */
static void
keep_disk(struct story *story)
{
    char *data = must_format("%s/data", broker_directory(story->broker)), *old = must_format("%s.old", data);
    broker_stop(story->broker);
    run((const char *[]){"cp", "-a", data, old, NULL});
    broker_up(story->broker);
    free(old), free(data);
}

static void
lose_acknowledged(struct story *story)
{
    char *data = must_format("%s/data", broker_directory(story->broker)), *old = must_format("%s.old", data);
    broker_kill(story->broker);
    scratch_remove_tree(data);
    run((const char *[]){"mv", old, data, NULL});
    broker_up(story->broker);
    free(old), free(data);
}

static void
insert(struct story *story, size_t topic, size_t size)
{
    PGconn *admin = story_admin(story);
    postgres_exec(
        admin, "insert into outbox.event (topic, key, payload) values ('%s', 'k', repeat('x', %zu)::bytea)",
        story->topics[topic], size);
    PQfinish(admin);
}

Test(exact_broker, a_broker_that_has_lost_what_it_acknowledged_stops_the_relay_with_70__P5__row_25)
{
    struct story story;
    struct expected_events events = {0};
    story_begin(&story, &(struct story_options){.exact = true, .own_broker = true});
    publish(&story);
    keep_disk(&story);
    publish(&story);
    lose_acknowledged(&story);
    insert(&story, 1, 1);
    story_expect_end(story.relay, 70, "Kafka says tick", "rebase --position");
    PGconn *admin = story_admin(&story);
    const char *conninfo = postgres_conninfo(story.postgres, story.database, POSTGRES_ADMIN);
    struct outboxd_result result =
        outboxd_run((const char *[]){"rebase", "--config", daemon_config_path(story.relay), "--conninfo",
                                     conninfo, "--position", DAEMON_RELAY, "--yes", NULL});
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    outboxd_result_free(&result);
    daemon_again(story.relay);
    story_await_confirmed(&story);
    cr_assert_eq(daemon_terminate(story.relay), 0);
    load_read_ledger(&events, admin);
    struct verdict verdict = story_compare(&story, &events);
    cr_expect_eq(verdict.duplicates + verdict.phantom + verdict.reordered + verdict.changed, 0);
    cr_expect_eq(verdict.lost, 101, "%zu: what Kafka has lost, and nothing that came later", verdict.lost);
    expected_free(&events);
    PQfinish(admin);
    story_end(&story);
}

static void
wait_letters(struct story *story, int64_t count)
{
    PGconn *admin = story_admin(story);
    wait_for(postgres_int(admin, "select count(*) from outbox.dead_letter") == count, 30000);
    PQfinish(admin);
}

/* The retry of a dead letter leaves the position as it is: only the transaction that has it is missing. */
Test(exact_broker, a_broker_that_has_lost_a_retry_alone_stops_the_relay_with_70__P5__row_25)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = true, .own_broker = true});
    broker_configure_topic(story.broker, story.topics[1], "max.message.bytes", "1000");
    insert(&story, 1, 5000);
    wait_letters(&story, 1);
    broker_configure_topic(story.broker, story.topics[1], "max.message.bytes", "10000");
    publish(&story);
    keep_disk(&story);
    daemon_wait_ready(story.relay);
    PGconn *admin = story_admin(&story);
    cr_assert_gt(postgres_int(admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter"),
                 0);
    PQfinish(admin);
    wait_letters(&story, 0);
    lose_acknowledged(&story);
    insert(&story, 1, 1);
    story_expect_end(story.relay, 70, "Kafka says transaction", "rebase --position");
    story_end(&story);
}

/* ---- row 28 ---- */

enum { QUOTA = 100000, LOAD = 2000 };

static void
publish_by_quota(bool exact)
{
    struct story story;
    story_begin(&story, &(struct story_options){.exact = exact, .own_broker = true});
    publish(&story);
    broker_limit_producers(story.broker, QUOTA);
    int64_t begin_us = clock_monotonic_us();
    PGconn *admin = story_admin(&story);
    for (int i = 0; i < 4; i++)
        postgres_exec(admin,
                      "insert into outbox.event (topic, key, payload) select '%s', int8send(g %% 20),"
                      " convert_to(repeat('x', 1000), 'UTF8') from generate_series(1, %d) g",
                      story.topics[0], LOAD / 4);
    PQfinish(admin);
    story_await_confirmed(&story);
    publish(&story); /* the broker answers at once and is silent afterwards, so the next ones wait */
    double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;
    fprintf(stderr, "quota: %.1f s\n", seconds);
    cr_expect_gt(seconds, 3, "there was no quota");
    finish(&story);
}

Test(exact_broker, a_quota_makes_it_slower_and_nothing_else__P1_P3__row_28)
{
    publish_by_quota(true);
}

Test(exact_broker, at_least_once_a_quota_makes_it_slower_and_nothing_else__P1__row_28)
{
    publish_by_quota(false);
}
