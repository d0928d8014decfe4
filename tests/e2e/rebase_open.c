/* rebase_open.c: `outboxd rebase` reads topics back in which a transaction of another producer is open. It hides what was committed behind
 * its beginning, so it is waited for and named: what is not seen is published again (P3). */
#include "relay_setup.h"

#include "base/clock.h"
#include "kafka/published_reader.h"
#include "support/scratch.h"
#include "support/stranger.h"
#include "support/wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(rebase_open, .timeout = 180);

/* ---- another producer ---- */

static void
write_record(rd_kafka_t *producer, const char *topic, const char *id)
{
    stranger_write(producer, topic, id, DAEMON_SOURCE, "x");
}

/* A transaction that is open in the topic. */
static rd_kafka_t *
open_transaction(const struct setup *setup, const char *topic)
{
    rd_kafka_t *other = stranger_begin(broker_bootstrap(setup->broker), topic);
    write_record(other, topic, "none of ours");
    return other;
}

/* ---- the command ---- */

/* The relay is to have published events that only Kafka knows of, behind the beginning of a transaction; and its position is lost, so
 * that their records alone tell of them. */
enum { KNOWN = 30, HELD = 100 };

static void
emit(struct setup *setup, int events)
{
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k' || i %% 7, to_jsonb(i)) from generate_series(1, %d) i",
                  setup->topics[0], events);
}

static rd_kafka_t *
publish_behind_a_transaction(struct setup *setup)
{
    const char *topic = setup_topic(setup, "shared", 1, NULL);
    setup_run(setup, setup_exact(setup, true));
    emit(setup, KNOWN);
    setup_expect_all_once(setup, 20000);
    setup_hold_confirmations(setup);
    rd_kafka_t *other = open_transaction(setup, topic);
    emit(setup, HELD);
    char *published = must_format("outbox_published_total{topic=\"%s\"}", topic);
    wait_for(daemon_metric(setup->relay, published) >= KNOWN + HELD, 20000);
    free(published);
    setup_kill_unconfirmed(setup);
    broker_delete_topic(setup->broker, setup->position);
    wait_for(broker_partition_count(setup->broker, setup->position) == 0, 20000);
    broker_create_topic(setup->broker, setup->position, 1,
                        (const char *[]){"cleanup.policy", "compact", NULL});
    return other;
}

struct rebasing {
    char *directory, *out, *err;
    pid_t pid;
};

static struct rebasing
rebase_begin(const struct setup *setup)
{
    const char *binary = getenv("OUTBOXD_BIN");
    const char *admin = postgres_conninfo(setup->postgres, setup->database, POSTGRES_ADMIN);
    struct rebasing rebasing = {.directory = scratch_directory("rebase")};
    rebasing.out = must_format("%s/out", rebasing.directory);
    rebasing.err = must_format("%s/err", rebasing.directory);
    const char *argv[] = {
        binary != NULL ? binary : "build/outboxd", "rebase",     "--conninfo", admin,   "--config",
        daemon_config_path(setup->relay),          "--position", DAEMON_RELAY, "--yes", NULL};
    struct process_options options = {
        .argv = argv, .output_path = rebasing.out, .error_path = rebasing.err, .death_signal = SIGKILL};
    rebasing.pid = process_start(&options);
    return rebasing;
}

static void
rebase_end(struct rebasing *rebasing)
{
    int exit_code = process_wait(rebasing->pid, 60000);
    char *out = scratch_read_file(rebasing->out), *err = scratch_read_file(rebasing->err);
    cr_assert_eq(exit_code, 0, "%s%s", out, err);
    cr_assert_not_null(strstr(out, "\n100 events are in Kafka although the journal did not know it"), "%s",
                       out);
    free(out), free(err), free(rebasing->out), free(rebasing->err), free(rebasing->directory);
}

Test(rebase_open, position_waits_for_a_transaction_of_another_producer_and_sees_what_is_behind_it__P3)
{
    struct setup setup = setup_begin();
    rd_kafka_t *other = publish_behind_a_transaction(&setup);
    struct rebasing rebasing = rebase_begin(&setup);
    char *says = must_format("waiting for a transaction in %.20s", setup.topics[0]);
    int exit_code;
    wait_for(scratch_file_contains(rebasing.err, says) || process_ended(rebasing.pid, &exit_code), 30000);
    cr_assert(scratch_file_contains(rebasing.err, says), "it was not waited for");
    cr_expect_not(scratch_file_contains(rebasing.out, "are in Kafka"), "counted before all was seen");
    stranger_end(other, false); /* what it wrote is no event */
    rebase_end(&rebasing);
    daemon_again(setup.relay);
    emit(&setup, 1);
    setup_wait_confirmed(&setup, 20000);
    cr_expect_eq(setup_judge(&setup).duplicates, 0);
    free(says);
    setup_end(&setup);
}

/* ---- the reader ---- */

struct story {
    rd_kafka_t *other; /* NULL: it has ended */
    const char *topic;
    char ids[64]; /* of the records that came; 0: what it says is none */
    int waits;
};

static bool
note(void *context, const struct published *record, struct error *error)
{
    struct story *story = context;
    size_t used = strlen(story->ids);
    (void)error;
    cr_assert_lt(used + 24, sizeof story->ids);
    snprintf(story->ids + used, sizeof story->ids - used, "%lld ", (long long)record->id);
    return true;
}

/* The transaction is committed when somebody hears that it is waited for. */
static void
hear(void *context, const char *topic, int32_t partition)
{
    struct story *story = context;
    if (topic == NULL)
        return;
    cr_expect_str_eq(topic, story->topic);
    cr_expect_eq(partition, 0);
    story->waits++;
    if (story->other != NULL)
        stranger_end(story->other, true);
    story->other = NULL;
}

static void
hear_only(void *context, const char *topic, int32_t partition)
{
    struct story *story = context;
    (void)partition;
    story->waits += topic != NULL;
}

static bool
read_back(const struct setup *setup, struct story *story, int64_t since_ms, int64_t patience_us,
          published_listener *listener, struct error *error)
{
    struct property property = {
        .name = "bootstrap.servers", .value = (char *)(uintptr_t)broker_bootstrap(setup->broker), .line = 1};
    struct settings settings = {.file = "c.yaml",
                                .source = DAEMON_SOURCE,
                                .relay = DAEMON_RELAY,
                                .kafka = &property,
                                .kafka_count = 1};
    struct published_reading reading = {.topics = &story->topic,
                                        .count = 1,
                                        .since_ms = (const int64_t[]){since_ms},
                                        .patience_us = patience_us,
                                        .sink = note,
                                        .listener = listener,
                                        .context = story};
    return published_read(&settings, &reading, error);
}

/* The record of this id, with a time that is later than that of all before. */
static int64_t
write_later(rd_kafka_t *producer, const char *topic, const char *id)
{
    int64_t now_ms = clock_wall_us() / 1000;
    wait_for(clock_wall_us() / 1000 > now_ms, 1000);
    now_ms = clock_wall_us() / 1000;
    write_record(producer, topic, id);
    return now_ms;
}

Test(rebase_open, what_is_committed_behind_an_open_transaction_is_found_by_its_time_too__P3)
{
    struct setup setup = setup_begin();
    struct error error;
    struct story story = {.topic = setup_topic(&setup, "shared", 1, NULL)};
    rd_kafka_t *plain = stranger_open(broker_bootstrap(setup.broker));
    write_record(plain, story.topic, "1");
    story.other = open_transaction(&setup, story.topic);
    write_record(plain, story.topic, "2");
    int64_t since_ms = write_later(plain, story.topic, "3");
    write_record(plain, story.topic, "4");
    cr_assert(read_back(&setup, &story, since_ms, INT64_C(30) * 1000000, hear, &error), "%s", error.message);
    cr_expect_str_eq(story.ids, "3 4 ");
    cr_expect_gt(story.waits, 0);
    story.ids[0] = '\0';
    cr_assert(read_back(&setup, &story, 1, INT64_C(30) * 1000000, hear, &error), "%s", error.message);
    cr_expect_str_eq(story.ids, "1 0 2 3 4 ");
    stranger_close(plain);
    setup_end(&setup);
}

Test(rebase_open, a_transaction_that_stays_open_is_named_and_nothing_behind_it_counts_as_missing__P3)
{
    struct setup setup = setup_begin();
    struct error error;
    struct story story = {.topic = setup_topic(&setup, "shared", 1, NULL)};
    rd_kafka_t *plain = stranger_open(broker_bootstrap(setup.broker));
    write_record(plain, story.topic, "1");
    story.other = open_transaction(&setup, story.topic);
    write_record(plain, story.topic, "2");
    cr_assert_not(read_back(&setup, &story, 1, (int64_t)(1e6 * wait_patience()), hear_only, &error));
    cr_expect_str_eq(story.ids, "1 ");
    cr_expect_gt(story.waits, 0);
    char *what = must_format("topic %s, partition 0: a transaction stays open at offset 1 ", story.topic);
    cr_expect(error.kind == ERROR_UNUSABLE && strstr(error.message, what) != NULL &&
                  strstr(error.message, "kafka-transactions.sh") != NULL,
              "%s", error.message);
    free(what);
    stranger_end(story.other, false);
    stranger_close(plain);
    setup_end(&setup);
}
