/* relay_record.c: the position record: what is written is read again, nothing else is believed, and its chain reaches far back. */
#include "relay/record.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct record
make_record(void)
{
    struct record record = {.relay = "main",
                            .at = {.seq = 41, .id = 17},
                            .epoch = 7,
                            .commit = 9,
                            .place = {.sysid = -7301, .timeline = 2, .dbid = 4294967295},
                            .cluster = "MkU3OEVBNTcwNTJENDM2Qk"};
    record_chain_add(&record.chain, (struct journal_name){34, 5});
    record_chain_add(&record.chain, (struct journal_name){42, 9223372036854775807});
    (void)record_sides_set(&record.sides, (struct record_side){12, 880});
    (void)record_sides_set(&record.sides, (struct record_side){13, INT64_MAX});
    return record;
}

static void
expect_refused(const char *text)
{
    struct record record;
    struct error error;
    cr_expect_not(record_parse(&record, text, &error), "taken: %s", text);
    cr_expect(error.kind == ERROR_CONFIG && strstr(error.message, "position record") != NULL, "%s",
              error.message);
}

Test(relay_record, what_is_written_is_read_again)
{
    struct record record = make_record(), again;
    struct error error;
    char text[RECORD_TEXT_SIZE];
    record_format(&record, text);
    cr_assert_str_eq(text,
                     "v1 relay=main seq=41 id=17 epoch=7 commit=9 sysid=-7301 timeline=2 dbid=4294967295"
                     " cluster=MkU3OEVBNTcwNTJENDM2Qk sides=12:880,13:9223372036854775807 "
                     "chain=42:9223372036854775807,34:5 end");
    cr_assert(record_parse(&again, text, &error), "%s", error.message);
    cr_expect_eq(record_compare(again.at, record.at), 0);
    cr_expect_str_eq(again.relay, "main");
    cr_expect_eq(again.epoch, 7);
    cr_expect_eq(again.commit, 9);
    cr_expect(again.place.sysid == -7301 && again.place.timeline == 2 && again.place.dbid == 4294967295);
    cr_expect_str_eq(again.cluster, record.cluster);
    cr_expect_eq(again.chain.count, 2);
    cr_expect_eq(again.chain.names[1].nonce, 5);
}

Test(relay_record, names_the_row_by_which_something_was_put_aside_and_is_read_without_it)
{
    struct record record = make_record(), again;
    struct error error;
    char text[RECORD_TEXT_SIZE];
    record_format(&record, text);
    cr_assert(record_parse(&again, text, &error), "%s", error.message);
    cr_expect_eq(again.aside.seq, 0);
    record.aside = (struct journal_name){40, -7};
    record_format(&record, text);
    cr_assert_not_null(strstr(text, " aside=40:-7 chain="), "%s", text);
    cr_assert(record_parse(&again, text, &error), "%s", error.message);
    cr_expect(again.aside.seq == 40 && again.aside.nonce == -7);
    cr_expect_eq(again.chain.count, 2);
}

Test(relay_record, a_cluster_without_a_name_is_none)
{
    struct record record = make_record(), again;
    struct error error;
    char text[RECORD_TEXT_SIZE];
    record.cluster[0] = '\0';
    record_format(&record, text);
    cr_assert(record_parse(&again, text, &error), "%s", error.message);
    cr_expect_str_empty(again.cluster);
}

Test(relay_record, whatever_is_no_such_line_is_refused)
{
    static const char *const wrong[] = {
        "",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides=0:1 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides=1:0 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= "
        "sides=1:2,1:3 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= "
        "sides=1:2, "
        "chain=41:1 end",
        "v1 seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= chain=41:1 "
        "end", /* whose? */
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1", /* cut */
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end ",
        "v2 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain= "
        "end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1  end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1, end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1,41:2 end", /* not older */
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=40:1 end", /* not the newest tick */
        "v1 relay=main seq=41 id=3 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end", /* id 3 is of tick 42 */
        "v1 relay=main seq=-1 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end",
        "v1 relay=main seq=041 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end", /* not as we write it */
        "v1 relay=main seq=41 id=-0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end",
        "v1 relay=main seq=9223372036854775807 id=3 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 "
        "cluster= sides= chain=41:1 "
        "end", /* of no tick */
        "v1 relay=main seq= 41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "chain=41:1 end",
        "v1 relay=main seq=99999999999999999999 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 "
        "cluster= sides= chain=41:1 "
        "end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= aside= "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= aside=0:1 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= aside=40 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1 cluster= sides= "
        "aside=40:1,39:2 "
        "chain=41:1 end",
        "v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=4294967296 cluster= "
        "sides= chain=41:1 end",
        ("v1 relay=main seq=41 id=0 epoch=7 commit=9 sysid=1 timeline=1 dbid=1"
         " cluster=0123456789012345678901234567890123456789012345678901234567890123 sides= "
         "chain=41:1 end"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(wrong[i]);
}

Test(relay_record, every_prefix_of_a_record_is_refused)
{
    struct record record = make_record();
    char text[RECORD_TEXT_SIZE];
    record_format(&record, text);
    for (size_t size = strlen(text); size-- > 0;) {
        text[size] = '\0';
        expect_refused(text);
    }
}

Test(relay_record, the_longest_record_fits)
{
    struct record record = {.at = {.seq = INT64_MAX - 1, .id = INT64_MAX},
                            .epoch = INT64_MAX,
                            .aside = {INT64_MAX, INT64_MIN},
                            .place = {.sysid = INT64_MIN, .timeline = INT32_MAX, .dbid = UINT32_MAX}};
    struct record again;
    struct error error;
    char text[RECORD_TEXT_SIZE];
    memset(record.relay, 'x', sizeof record.relay - 1);
    memset(record.cluster, 'x', sizeof record.cluster - 1);
    for (int i = 0; i < RECORD_CHAIN; i++)
        record_chain_add(&record.chain, (struct journal_name){INT64_MAX - RECORD_CHAIN + 1 + i, INT64_MIN});
    record_format(&record, text);
    cr_assert(record_parse(&again, text, &error), "%s", error.message);
}

Test(relay_record, after_ten_million_ticks_the_chain_has_neighbours_and_the_first_tick__faults_row_59)
{
    struct record_chain chain = {0};
    enum { TICKS = 10000000 };
    for (int64_t seq = 1; seq <= TICKS; seq++)
        record_chain_add(&chain, (struct journal_name){seq, seq * 3});
    cr_assert_eq(chain.count, RECORD_CHAIN);
    cr_expect_eq(chain.names[0].seq, TICKS);
    cr_expect_eq(chain.names[1].seq, TICKS - 1);
    cr_expect_eq(chain.names[RECORD_CHAIN - 1].seq, 1);
    for (size_t i = 1; i < chain.count; i++) {
        int64_t back = TICKS - chain.names[i].seq, before = TICKS - chain.names[i - 1].seq;
        cr_expect_leq(back, before * 2 + 2, "a step from %lld to %lld ticks back", (long long)before,
                      (long long)back);
        cr_expect_eq(chain.names[i].nonce, chain.names[i].seq * 3);
    }
}

Test(relay_record, a_tick_that_is_there_already_changes_nothing)
{
    struct record_chain chain = {0};
    record_chain_add(&chain, (struct journal_name){7, 1});
    record_chain_add(&chain, (struct journal_name){7, 2});
    record_chain_add(&chain, (struct journal_name){6, 3});
    cr_assert_eq(chain.count, 1);
    cr_assert_eq(chain.names[0].nonce, 1);
}

Test(relay_record, asks_the_journal_for_its_chain_and_for_the_tick_of_what_is_confirmed)
{
    struct record record = {.chain = {.count = 2, .names = {{9, 1}, {INT64_MAX, 2}}}};
    char seqs[RECORD_SEQS_SIZE];
    record_seqs(&record, (struct journal_position){11, 7}, seqs);
    cr_expect_str_eq(seqs, "{11,12,9,9223372036854775807}");
    record_seqs(NULL, (struct journal_position){0, 0}, seqs);
    cr_expect_str_eq(seqs, "{0,1}");
    record.aside.seq = INT64_MAX;
    record_seqs(&record, (struct journal_position){11, 7}, seqs);
    cr_expect_str_eq(seqs, "{11,12,9223372036854775807,9,9223372036854775807}");
    record.chain.count = RECORD_CHAIN;
    for (size_t i = 0; i < RECORD_CHAIN; i++)
        record.chain.names[i].seq = INT64_MAX;
    record_seqs(&record, (struct journal_position){INT64_MAX - 1, 0}, seqs);
    cr_expect_eq(seqs[strlen(seqs) - 1], '}', "%s", seqs);
}

Test(relay_record, asks_the_database_for_its_side_work)
{
    struct record record = {.chain.count = 1};
    char numbers[RECORD_SEQS_SIZE];
    record_side_numbers(&record, numbers);
    cr_expect_str_eq(numbers, "{}");
    for (size_t i = 0; i < RECORD_SIDES; i++)
        cr_assert(record_sides_set(&record.sides, (struct record_side){INT64_MAX - (int64_t)i, 1}));
    record_side_numbers(&record, numbers);
    cr_expect_eq(strncmp(numbers, "{9223372036854775807,9223372036854775806,", 41), 0, "%s", numbers);
    cr_expect_eq(numbers[strlen(numbers) - 1], '}');
    record_side_numbers(NULL, numbers);
    cr_expect_str_eq(numbers, "{}");
}

Test(relay_record, of_a_position_names_the_tick_that_holds_it_or_is_none)
{
    static const struct journal_name names[] = {{12, 120}, {11, 110}};
    struct record record;
    cr_expect(record_make(&record, (struct journal_position){11, 0}, names, 2));
    cr_expect(record.chain.count == 1 && record.chain.names[0].nonce == 110);
    cr_expect(record_make(&record, (struct journal_position){11, 7}, names, 2));
    cr_expect(record.chain.count == 1 && record.chain.names[0].nonce == 120);
    cr_expect_not(record_make(&record, (struct journal_position){12, 7}, names, 2));
}
