/* checker_planted.c: every fault that the checker exists for is planted once and must be found, and what is
 * allowed must not be reported: a checker that sees nothing would make every fault test pass. */
#include "support/checker.h"

#include "base/error.h"
#include "support/checker_judge.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE "unit"

static struct expected_events events;
static struct records records;

/* An event of the topic `orders`, in a transaction of its own unless the test says otherwise. */
static struct expected_event *
plant(int64_t id, const char *key)
{
    struct expected_event *event = expected_add(&events);
    event->id = id;
    event->xid = (uint64_t)(1000 + id);
    event->topic = must_strdup("orders");
    event->key = bytes_copy(key, key ? strlen(key) : 0);
    event->payload = bytes_copy("payload", 7);
    event->headers = must_strdup("{\"a\": [\"1\", \"2\"], \"b\": null}");
    event->created_at_us = 1700000000123999;
    return event;
}

static struct record *
publish(int64_t id)
{
    for (size_t i = 0; i < events.count; i++)
        if (events.list[i].id == id)
            return checker_record_of(&records, &events.list[i], SOURCE, (int64_t)records.count);
    cr_assert_fail("no event %ld", (long)id);
    return NULL;
}

static struct verdict
judge(void)
{
    return checker_judge(&events, &records, SOURCE);
}

static void
plant_three(void)
{
    plant(1, "k");
    plant(2, "k");
    plant(3, "other");
}

static void
forget(void)
{
    expected_free(&events);
    records_free(&records);
}

TestSuite(checker, .fini = forget);

static void
replace(struct bytes *bytes, const void *data, size_t size)
{
    free(bytes->data);
    *bytes = bytes_copy(data, size);
}

/* Publishes all three faithfully and hands out the second record to be spoilt. */
static struct record *
publish_three(void)
{
    plant_three();
    publish(1), publish(2), publish(3);
    return &records.list[1];
}

static void
expect_changed(const char *what)
{
    struct verdict verdict = judge();
    cr_assert_eq(verdict.changed, 1, "%zu", verdict.changed);
    cr_assert_not(verdict_clean(&verdict));
    cr_assert(strstr(verdict.examples, what) != NULL, "%s", verdict.examples);
    cr_assert_eq(verdict.lost + verdict.phantom + verdict.duplicates + verdict.reordered, 0);
}

Test(checker, finds_nothing_in_a_faithful_copy)
{
    publish_three();
    struct verdict verdict = judge();
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
    cr_assert_eq(verdict.duplicates, 0);
    cr_assert_eq(verdict.expected, 3);
    cr_assert_eq(verdict.records, 3);
    cr_assert_str_eq(verdict.examples, "");
}

Test(checker, finds_a_lost_event)
{
    plant_three();
    publish(1), publish(3);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.lost, 1);
    cr_assert(strstr(verdict.examples, "lost: id=2 ") != NULL);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker, finds_everything_lost_when_kafka_is_empty)
{
    plant_three();
    cr_assert_eq(judge().lost, 3);
}

Test(checker, finds_a_phantom_by_its_unknown_id)
{
    publish_three();
    replace(&records.list[2].headers[3].value, "99", 2);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.phantom, 1);
    cr_assert_eq(verdict.lost, 1);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker, finds_a_phantom_whose_id_is_no_number)
{
    publish_three();
    replace(&records.list[0].headers[3].value, "1x", 2);
    replace(&records.list[1].headers[3].value, "2\0", 2);
    replace(&records.list[2].headers[3].value, NULL, 0);
    cr_assert_eq(judge().phantom, 3);
}

Test(checker, finds_a_duplicate)
{
    publish_three();
    publish(2);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.duplicates, 1);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "P3 allows it; the test's own count decides");
}

Test(checker, sees_a_resent_run_as_one_run)
{
    plant_three();
    plant(4, "k");
    publish(1), publish(2), publish(3);
    publish(2), publish(3), publish(4);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.duplicates, 2);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker, does_not_take_a_copy_without_a_key_for_the_break_of_a_run)
{
    plant(1, "k");
    plant(2, NULL);
    plant(3, "k");
    publish(1), publish(2), publish(3);
    publish(2), publish(1), publish(2), publish(3);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.duplicates, 4);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker, sees_scattered_duplicates_as_many_runs)
{
    publish_three();
    publish(3), publish(1), publish(3);
    cr_assert_eq(judge().duplicate_runs, 3);
}

Test(checker, finds_a_changed_key)
{
    struct record *record = publish_three();
    replace(&record->key, "K", 1);
    expect_changed("changed key");
}

Test(checker, finds_one_changed_byte_of_the_payload)
{
    struct record *record = publish_three();
    record->value.data[6] ^= 1;
    expect_changed("changed payload");
}

Test(checker, tells_an_empty_payload_from_none)
{
    struct record *record = publish_three();
    replace(&events.list[1].payload, NULL, 0);
    replace(&record->value, "", 0);
    expect_changed("changed payload");
}

Test(checker, tells_an_empty_key_from_none)
{
    struct record *record = publish_three();
    replace(&events.list[1].key, "", 0);
    replace(&record->key, NULL, 0);
    expect_changed("changed key");
}

Test(checker, finds_a_timestamp_that_is_a_millisecond_off)
{
    struct record *record = publish_three();
    record->timestamp_ms++;
    expect_changed("changed timestamp");
}

Test(checker, finds_a_changed_header_value)
{
    struct record *record = publish_three();
    replace(&record->headers[1].value, "3", 1);
    expect_changed("changed headers");
}

Test(checker, tells_a_header_without_value_from_an_empty_one)
{
    struct record *record = publish_three();
    replace(&record->headers[2].value, "", 0);
    expect_changed("changed headers");
}

Test(checker, finds_headers_in_another_order)
{
    struct record *record = publish_three();
    struct record_header first = record->headers[0];
    record->headers[0] = record->headers[2];
    record->headers[2] = first;
    expect_changed("changed headers");
}

Test(checker, finds_another_source)
{
    struct record *record = publish_three();
    replace(&record->headers[4].value, "elsewhere", 9);
    expect_changed("changed headers");
}

Test(checker, finds_a_header_too_many)
{
    struct record *record = publish_three();
    record_add_header(record, "extra", "1", 1);
    expect_changed("changed headers");
}

Test(checker, finds_another_topic)
{
    struct record *record = publish_three();
    records_add_shape(&records, "wrong", 1);
    free(record->topic);
    record->topic = must_strdup("wrong");
    expect_changed("changed topic");
}

Test(checker, finds_a_partition_that_java_would_not_choose)
{
    struct record *record = publish_three();
    records.shapes[0].partitions = 64;
    for (size_t i = 0; i < records.count; i++)
        records.list[i].partition = checker_partition(records.list[i].key, 64);
    record->partition = (record->partition + 1) % 64;
    expect_changed("changed partition");
}

Test(checker, computes_the_java_clients_murmur2)
{
    /* hashes by org.apache.kafka.common.utils.Utils.murmur2, as its own tests state them */
    static const struct {
        char key[64];
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct bytes key = bytes_copy(known[i].key, strlen(known[i].key));
        cr_assert_eq(checker_partition(key, INT32_MAX), (known[i].hash & INT32_MAX) % INT32_MAX, "%s",
                     known[i].key);
        free(key.data);
    }
}

/* P2: events of one (topic, key) whose counter was advanced under the row's lock. */
Test(checker, finds_an_inversion_by_the_counter)
{
    plant(1, "k")->counter = 2;
    plant(2, "k")->counter = 1;
    plant(3, "k")->counter = 3;
    publish(1), publish(2), publish(3);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.reordered, 1);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker, judges_order_on_first_copies_only)
{
    plant(1, "k")->counter = 1;
    plant(2, "k")->counter = 2;
    publish(1), publish(2), publish(1);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.reordered, 0);
    cr_assert_eq(verdict.duplicates, 1);
}

Test(checker, does_not_compare_different_keys_or_topics)
{
    plant(1, "k")->counter = 2;
    plant(2, "l")->counter = 1;
    struct expected_event *elsewhere = plant(3, "k");
    elsewhere->counter = 1;
    free(elsewhere->topic);
    elsewhere->topic = must_strdup("customers");
    publish(1), publish(2), publish(3);
    cr_assert_eq(judge().reordered, 0);
}

Test(checker, does_not_judge_the_order_of_events_without_a_key)
{
    plant(1, NULL)->counter = 2;
    plant(2, NULL)->counter = 1;
    publish(1), publish(2);
    struct verdict verdict = judge();
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

/* P2: inside one transaction, the order of the inserts. */
Test(checker, finds_an_inversion_inside_one_transaction)
{
    plant(1, "k")->xid = 5;
    plant(2, "k")->xid = 5;
    plant(3, "k")->xid = 5;
    publish(1), publish(3), publish(2);
    cr_assert_eq(judge().reordered, 1);
}

/* P2: what had committed before the insert comes first. Transaction 1002 is visible in 1001's snapshot. */
Test(checker, finds_an_inversion_by_the_snapshot)
{
    plant(1, "k")->snapshot = must_strdup("1003:1003:");
    plant(2, "k");
    publish(1), publish(2);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.reordered, 1);
    cr_assert(strstr(verdict.examples, "an earlier commit") != NULL, "%s", verdict.examples);
}

Test(checker, finds_it_between_running_transactions_too)
{
    plant(1, "k")->snapshot = must_strdup("900:1010:900,1001,1009");
    plant(2, "k");
    publish(1), publish(2);
    cr_assert_eq(judge().reordered, 1);
}

Test(checker, allows_any_order_of_transactions_that_ran_side_by_side)
{
    plant(1, "k")->snapshot = must_strdup("1002:1010:1002,1009");
    plant(2, "k")->snapshot = must_strdup("1001:1010:1001");
    plant(20, "k")->snapshot = must_strdup("1001:1002:1001");
    publish(20), publish(1), publish(2);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.reordered, 0, "%s", verdict.examples);
}

Test(checker, does_not_take_a_transactions_own_events_for_earlier_commits)
{
    for (int64_t id = 1; id <= 2; id++) {
        struct expected_event *event = plant(id, "k");
        event->xid = 1001;
        event->snapshot = must_strdup("1005:1005:");
    }
    publish(1), publish(2);
    cr_assert_eq(judge().reordered, 0);
}

Test(checker, keeps_replays_apart)
{
    plant_three();
    publish(1), publish(2), publish(3);
    record_add_header(publish(1), "replay", "1", 1);
    struct verdict verdict = judge();
    cr_assert_eq(verdict.replayed, 1);
    cr_assert_eq(verdict.duplicates, 0);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker, judges_the_bytes_of_replays)
{
    plant_three();
    publish(1), publish(2), publish(3);
    struct record *replayed = publish(1);
    record_add_header(replayed, "replay", "1", 1);
    replayed->value.data[0] ^= 1;
    cr_assert_eq(judge().changed, 1);
}

Test(checker, does_not_count_a_replay_as_the_event_itself)
{
    plant(1, "k");
    record_add_header(publish(1), "replay", "1", 1);
    cr_assert_eq(judge().lost, 1);
}
