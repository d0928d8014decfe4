/* checker_planted.c: every fault that the checker exists for is planted once and must be found, and what is
 * allowed must not be reported: a checker that sees nothing would make every fault test pass. */
#include "checker_fixture.h"

#include "base/error.h"
#include "support/checker_judge.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(checker, .fini = planted_forget);

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
    planted_three();
    planted_publish(1), planted_publish(2), planted_publish(3);
    return &planted_records.list[1];
}

static void
expect_changed(const char *what)
{
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.changed, 1, "%zu", verdict.changed);
    cr_assert_not(verdict_clean(&verdict));
    cr_assert(strstr(verdict.examples, what) != NULL, "%s", verdict.examples);
    cr_assert_eq(verdict.lost + verdict.phantom + verdict.duplicates + verdict.reordered, 0);
}

Test(checker, finds_nothing_in_a_faithful_copy)
{
    publish_three();
    struct verdict verdict = planted_judge();
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
    cr_assert_eq(verdict.duplicates, 0);
    cr_assert_eq(verdict.expected, 3);
    cr_assert_eq(verdict.records, 3);
    cr_assert_str_eq(verdict.examples, "");
}

Test(checker, finds_a_lost_event)
{
    planted_three();
    planted_publish(1), planted_publish(3);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.lost, 1);
    cr_assert(strstr(verdict.examples, "lost: id=2 ") != NULL);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker, finds_everything_lost_when_kafka_is_empty)
{
    planted_three();
    cr_assert_eq(planted_judge().lost, 3);
}

Test(checker, finds_a_phantom_by_its_unknown_id)
{
    publish_three();
    replace(&planted_records.list[2].headers[3].value, "99", 2);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.phantom, 1);
    cr_assert_eq(verdict.lost, 1);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker, finds_a_phantom_whose_id_is_no_number)
{
    publish_three();
    replace(&planted_records.list[0].headers[3].value, "1x", 2);
    replace(&planted_records.list[1].headers[3].value, "2\0", 2);
    replace(&planted_records.list[2].headers[3].value, NULL, 0);
    cr_assert_eq(planted_judge().phantom, 3);
}

Test(checker, finds_a_duplicate)
{
    publish_three();
    planted_publish(2);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.duplicates, 1);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "P3 allows it; the test's own count decides");
}

Test(checker, sees_a_resent_run_as_one_run)
{
    planted_three();
    planted_add(4, "k");
    planted_publish(1), planted_publish(2), planted_publish(3);
    planted_publish(2), planted_publish(3), planted_publish(4);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.duplicates, 2);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker, does_not_take_a_copy_without_a_key_for_the_break_of_a_run)
{
    planted_add(1, "k");
    planted_add(2, NULL);
    planted_add(3, "k");
    planted_publish(1), planted_publish(2), planted_publish(3);
    planted_publish(2), planted_publish(1), planted_publish(2), planted_publish(3);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.duplicates, 4);
    cr_assert_eq(verdict.duplicate_runs, 1);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker, sees_scattered_duplicates_as_many_runs)
{
    publish_three();
    planted_publish(3), planted_publish(1), planted_publish(3);
    cr_assert_eq(planted_judge().duplicate_runs, 3);
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
    replace(&planted_events.list[1].payload, NULL, 0);
    replace(&record->value, "", 0);
    expect_changed("changed payload");
}

Test(checker, tells_an_empty_key_from_none)
{
    struct record *record = publish_three();
    replace(&planted_events.list[1].key, "", 0);
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
    records_add_shape(&planted_records, "wrong", 1);
    free(record->topic);
    record->topic = must_strdup("wrong");
    expect_changed("changed topic");
}

Test(checker, finds_a_partition_that_java_would_not_choose)
{
    struct record *record = publish_three();
    planted_records.shapes[0].partitions = 64;
    for (size_t i = 0; i < planted_records.count; i++)
        planted_records.list[i].partition = checker_partition(planted_records.list[i].key, 64);
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
