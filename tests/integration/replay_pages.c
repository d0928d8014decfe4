/* replay_pages.c: pages of a replay, as the leader asks the database for them: what they are made of, and what they cost. */
#include "commands_fixture.h"

#include "base/clock.h"
#include "postgres/waiting.h"

#include <criterion/criterion.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

TestSuite(replay_pages, .timeout = 60);

static struct outbox outbox;
static struct driver *driver;

static void
open_all(void)
{
    outbox = outbox_open();
    driver = lead_outbox(&outbox);
}

static void
close_all(void)
{
    driver_close(driver);
    outbox_close(&outbox);
}

/* All of it, with these topics; the caller frees its page. */
static struct waiting_page
read_page(const struct waiting_request *request, struct topic_table *topics)
{
    struct error error;
    struct waiting_page read;
    waiting_ask_replay(driver->session, "main", request, 0, INT64_MAX, 10000, 1 << 20, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read_page(driver->session, topics, REQUEST_KIND_REPLAY, &read, &error), "%s",
              error.message);
    return read;
}

/* ---- topics that are not selected ---- */

Test(replay_pages, names_of_unselected_topics_do_not_fill_the_memory_and_are_not_counted_twice__I6,
     .init = open_all, .fini = close_all)
{
    char pattern[] = "wanted", *patterns[] = {pattern};
    struct topic_table *topics = topic_table_new(patterns, 1);
    postgres_exec(
        outbox.writer,
        "insert into outbox.event (topic, payload) select 'other-' || i, 'x' from generate_series(1, "
        "%d) i; insert into outbox.event (topic, payload) values ('wanted', 'y'), ('other-1', 'z')",
        TOPICS_PASSED_OVER + 500);
    outbox_confirm_all(&outbox, "main");
    struct waiting_page read = read_page(&(struct waiting_request){.kind = REQUEST_KIND_REPLAY}, topics);
    cr_expect_eq(read.rows, TOPICS_PASSED_OVER + 502);
    cr_expect_eq(read.last_id, TOPICS_PASSED_OVER + 502);
    cr_assert_eq(read.page->count, 1);
    cr_expect_str_eq(read.page->events[0].topic->name, "wanted");
    cr_expect_eq(topic_count(topics), TOPICS_PASSED_OVER + 2, "%zu topics are kept", topic_count(topics));
    for (size_t i = 0; i < topic_count(topics); i++)
        cr_expect_eq(topic_at(topics, i)->passed_over, 0);
    page_free(read.page);
    topic_table_free(topics);
}

/* ---- what was never published ---- */

/* Event 2 waits, 4 was discarded, 6 only for another relay. */
Test(replay_pages, what_waits_and_what_was_discarded_is_not_read__I2, .init = open_all, .fini = close_all)
{
    static const int64_t wanted[] = {1, 3, 5, 6};
    char every[] = "*", *patterns[] = {every};
    struct topic_table *topics = topic_table_new(patterns, 1);
    emit_events(outbox.writer, "t", 6);
    outbox_confirm_all(&outbox, "main");
    postgres_exec(outbox.relay,
                  "select outbox.put_aside('main', '{\"dead\": [{\"id\": 2, \"tick\": 1, \"hold\":"
                  " null, \"error\": \"E\", \"message\": \"m\"}, {\"id\": 4, \"tick\": 1, \"hold\":"
                  " null, \"error\": \"E\", \"message\": \"m\"}]}');"
                  " select outbox.dead_discard('main', 4, 'x');"
                  " select outbox.request_settle('main', 1, 9223372036854775807, 0, 'done', null)");
    postgres_exec(outbox.admin,
                  "insert into outbox.discarded (relay, event_id, topic, created_at, error, message,"
                  " attempts, refused_at, reason, discarded_by)"
                  " values ('other', 6, 't', now(), 'E', 'm', 1, now(), 'x', 'y')");
    struct waiting_page read = read_page(&(struct waiting_request){.kind = REQUEST_KIND_REPLAY}, topics);
    cr_assert_eq(read.page->count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < read.page->count; i++)
        cr_expect_eq(read.page->events[i].id, wanted[i]);
    page_free(read.page);
    topic_table_free(topics);
}

/* ---- the pattern ---- */

/* An event of each name that a pattern may mistake for another. */
static const char *const names[] = {"a",     "ab", "abc", "a_c", "a.c", "a-c", "Abc",    "b",
                                    "axbxc", "_",  "-",   ".a",  "a1",  "a]",  "mail.in"};
#define NAMES (sizeof names / sizeof *names)

static void
expect_pattern(const char *pattern, bool exact)
{
    char every[] = "*", *patterns[] = {every};
    struct topic_table *topics = topic_table_new(patterns, 1);
    struct waiting_page read =
        read_page(&(struct waiting_request){.kind = REQUEST_KIND_REPLAY, .topic = pattern}, topics);
    for (size_t i = 0; i < NAMES; i++) {
        bool found = false, wanted = fnmatch(pattern, names[i], 0) == 0;
        for (size_t event = 0; event < read.page->count; event++)
            found = found || strcmp(read.page->events[event].topic->name, names[i]) == 0;
        cr_expect(found || !wanted, "%s is not read, which %s means", names[i], pattern);
        cr_expect(!found || wanted || !exact, "%s is read, which %s does not mean", names[i], pattern);
    }
    page_free(read.page);
    topic_table_free(topics);
}

/* All names are there, also those that the table refuses: LIKE is not to rest on its CHECK. */
static void
emit_names(void)
{
    postgres_exec(outbox.admin, "alter table outbox.event drop constraint event_topic_legal");
    for (size_t i = 0; i < NAMES; i++)
        postgres_exec(outbox.admin, "insert into outbox.event (topic, payload) values ('%s', 'x')", names[i]);
    outbox_confirm_all(&outbox, "main");
}

Test(replay_pages, events_of_other_topics_are_not_read, .init = open_all, .fini = close_all)
{
    static const char *const exact[] = {"a",    "abc",    "a_c",    "a%c", "a*", "*c",    "a?c",   "*",
                                        "",     "?",      "a*c*",   "**",  "?*", "a\\bc", "a\\*c", "\\a*",
                                        "*.in", "mail.*", "m*l.i?", "_",   "%",  "a\\_c", "\\%",   "nobody"};
    emit_names();
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        expect_pattern(exact[i], true);
}

Test(replay_pages, nothing_that_a_pattern_means_is_left_out, .init = open_all, .fini = close_all)
{
    static const char *const odd[] = {
        "[ab]",    "[!a]",  "[^a]", "a[b_]c",       "a[b-z]*",  "[a",      "[]a]",    "a[]]", "a]",
        "[!]a]*",  "[a-]*", "[-a]", "[[:alpha:]]*", "[[.a.]]*", "[[=a=]]", "[z-a]",   "a\\",  "[\\a]*",
        "[a\\]]*", "[]",    "[!]",  "[.a]*",        "[a/b]",    "a[",      "[A-Z]bc", "*[c]", "?[b]?"};
    emit_names();
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        expect_pattern(odd[i], false);
}

/* ---- when, and which key ---- */

/* Event i was created i seconds behind a thousand million of 1970. */
static void
emit_moments(void)
{
    postgres_exec(outbox.admin,
                  "insert into outbox.event (created_at, topic, key, payload)"
                  " select to_timestamp(1000000000 + i), 't', k, 'x'"
                  " from unnest(array['a', 'b', null, 'ab', 'a', '', 'A']::bytea[]) with ordinality e (k, i)"
                  " order by i");
    outbox_confirm_all(&outbox, "main");
}

/* Somebody asks for a replay of all that is so; `ids` are those of the events that come, a digit each. */
static void
expect_replayed(const char *since, const char *until, const char *key, const char *ids)
{
    char found[16] = "", every[] = "*", *patterns[] = {every};
    struct topic_table *topics = topic_table_new(patterns, 1);
    struct waiting waiting = {0};
    struct error error;
    postgres_exec(
        outbox.admin,
        "delete from outbox.request;"
        " select outbox.replay('main', null, null, to_timestamp(%s), to_timestamp(%s), null, %s, null)",
        since, until, key);
    waiting_ask(driver->session, "main", &(struct waiting_wish){.without = "{}"}, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read(driver->session, &waiting, &error), "%s", error.message);
    cr_assert_eq(waiting.request_count, 1);
    struct waiting_page read = read_page(&waiting.requests[0], topics);
    for (size_t i = 0; i < read.page->count && i < sizeof found - 1; i++)
        found[i] = (char)('0' + read.page->events[i].id);
    cr_expect_str_eq(found, ids, "%s instead of %s, since %s until %s of key %s", found, ids, since, until,
                     key);
    page_free(read.page);
    waiting_clear(&waiting);
    topic_table_free(topics);
}

Test(replay_pages, only_events_of_the_time_that_is_given_are_read, .init = open_all, .fini = close_all)
{
    emit_moments();
    expect_replayed("null", "null", "null", "1234567");
    expect_replayed("1000000003", "null", "null", "34567");
    expect_replayed("1000000003.000001", "null", "null", "4567");
    expect_replayed("1000000008", "null", "null", "");
    expect_replayed("null", "1000000003", "null", "12");
    expect_replayed("null", "1000000003.000001", "null", "123");
    expect_replayed("null", "1000000001", "null", "");
    expect_replayed("1000000002", "1000000006", "null", "2345");
}

Test(replay_pages, only_events_of_the_key_that_is_given_are_read, .init = open_all, .fini = close_all)
{
    emit_moments();
    expect_replayed("null", "null", "'a'", "15");
    expect_replayed("null", "null", "'ab'", "4");
    expect_replayed("null", "null", "''", "6");
    expect_replayed("null", "null", "'nobody'", "");
    expect_replayed("1000000002", "null", "'a'", "5");
    expect_replayed("null", "1000000005", "'a'", "1");
}

/* ---- where it goes on ---- */

static int64_t
first(int64_t since_us, int64_t after, int64_t upto)
{
    struct error error;
    int64_t id;
    waiting_ask_first(driver->session,
                      &(struct waiting_request){.kind = REQUEST_KIND_REPLAY, .since_us = since_us}, after,
                      upto, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(waiting_read_first(driver->session, &id, &error), "%s", error.message);
    return id;
}

/* Slots 3, 4 and 5 have ids from 11, 21 and 31 on, three each, of 9, 6 and 3 hours ago. */
static void
emit_slots(void)
{
    postgres_exec(
        outbox.admin,
        "insert into outbox.event (id, slot, created_at, topic) overriding system value"
        " select 10 * s + i, s + 2, now() - (12 - 3 * s) * interval '1 h' + i * interval '1 min', 't'"
        " from generate_series(1, 3) s, generate_series(1, 3) i");
}

static int64_t
ago_us(int minutes)
{
    return clock_wall_us() - minutes * INT64_C(60000000);
}

Test(replay_pages, reading_begins_at_the_first_event_of_a_slot_that_may_have_some, .init = open_all,
     .fini = close_all)
{
    cr_expect_eq(first(0, 0, INT64_MAX), 0);
    emit_slots();
    cr_expect_eq(first(0, 0, INT64_MAX), 11);
    cr_expect_eq(first(0, 11, INT64_MAX), 12);
    cr_expect_eq(first(0, 13, INT64_MAX), 21);
    cr_expect_eq(first(0, 13, 20), 0);
    cr_expect_eq(first(0, 33, INT64_MAX), 0);
    cr_expect_eq(first(ago_us(10 * 60), 0, INT64_MAX), 11);    /* before all */
    cr_expect_eq(first(ago_us(9 * 60 - 2), 0, INT64_MAX), 11); /* amid a slot */
    cr_expect_eq(first(ago_us(9 * 60 - 5), 0, INT64_MAX), 21); /* between two */
    cr_expect_eq(first(ago_us(6 * 60 - 5), 0, INT64_MAX), 31);
    cr_expect_eq(first(ago_us(6 * 60 - 5), 32, INT64_MAX), 33);
    cr_expect_eq(first(ago_us(6 * 60 - 5), 0, 30), 0);
    cr_expect_eq(first(ago_us(60), 0, INT64_MAX), 0); /* behind all */
    cr_expect_eq(first(1, 0, INT64_MAX), 11);
}
