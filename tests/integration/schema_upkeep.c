/* schema_upkeep.c: what waits for long, in great numbers, is looked at no more than it needs (P4): no statement of the leader, who
 * has one session for everything, becomes slower with what others wait for, or with what was deleted while somebody had an old
 * snapshot. Measured in pages of 8 KiB that a statement touches: a clock says little on a busy machine. */
#include "schema_fixture.h"

#include "postgres/statements.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

TestSuite(schema_upkeep, .timeout = 120);

static struct outbox outbox;

/* As dial.c sets up the leader's session, and what counts the pages that a statement touches. */
static void
open_all(void)
{
    outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(
        outbox.admin,
        "set jit = off; set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = "
        "off; set enable_mergejoin = off; set plan_cache_mode = force_generic_plan;"
        "create function pg_temp.pages(statement text) returns bigint language plpgsql as $$"
        " declare plan jsonb;"
        " begin"
        "  execute 'explain (analyze, buffers, timing off, format json) ' || statement into plan;"
        "  return (plan->0->'Plan'->>'Shared Hit Blocks')::bigint"
        "       + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;"
        " end $$; " SQL_PREPARE_HELD);
}

static void
close_all(void)
{
    outbox_close(&outbox);
}

#define RUNS 4

/* The fewest of some runs: the first one is planned, and so is each behind an analyze of the server's own. */
static int64_t
pages_of(const char *statement)
{
    int64_t fewest = INT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        int64_t pages = postgres_int(outbox.admin, "select pg_temp.pages($sql$%s$sql$)", statement);
        fewest = pages < fewest ? pages : fewest;
    }
    return fewest;
}

#define MANY "100000"
/* An event by its id is looked for in twelve slots. */
#define FEW_PAGES 300

/* ---- a topic that catches up ---- */

/* So many dead letters, and an event behind each; two of them are of topic t, none of topic u. */
static void
write_many_holds(void)
{
    postgres_exec(
        outbox.admin,
        "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, created_at, error, message)"
        " select 'main', i, 1, i, case when i <= 2 then 't' else 'other' end, now(), 'E', 'm'"
        " from generate_series(1, " MANY ") i;"
        "insert into outbox.held_event select 'main', 1000000 + i, 10, i, 3"
        " from generate_series(1, " MANY ") i;"
        "insert into outbox.paused_topic (relay, topic, from_seq, to_seq, after_id, error, message)"
        " values ('main', 't', 5, 20, 0, 'E', 'm'), ('main', 'u', 5, 20, 0, 'E', 'm')");
}

static void
expect_few_pages(const char *topic, int64_t progress)
{
    char *statement = must_format("select outbox.topic_settle('main', (select number from outbox.paused_topic"
                                  " where topic = '%s'), %" PRId64 ", null, null, null)",
                                  topic, progress);
    int64_t pages = pages_of(statement);
    cr_expect_lt(pages, FEW_PAGES, "topic %s: %" PRId64 " pages", topic, pages);
    free(statement);
}

Test(schema_upkeep, a_topic_that_catches_up_looks_at_no_hold_of_another_topic__P4, .init = open_all,
     .fini = close_all)
{
    write_many_holds();
    expect_few_pages("u", INT64_MAX - 2);
    expect_few_pages("t", 1000001);
    postgres_exec(outbox.admin, "analyze");
    expect_few_pages("u", INT64_MAX - 2);
    cr_expect_eq(postgres_int(outbox.admin, "select min(event_id) from outbox.held_event"), 1000002,
                 "what its rounds have published waits no more, and nothing else");
}

/* The leader asks for the last tick that has one, and for those that the stream is still to come to. */
Test(schema_upkeep, dead_letters_are_found_by_where_they_stand_in_the_stream__P4, .init = open_all,
     .fini = close_all)
{
    write_many_holds();
    int64_t last = pages_of("select max(tick) from outbox.dead_letter where relay = 'main'");
    int64_t ahead =
        pages_of("select event_id from outbox.dead_letter where relay = 'main' and (tick, event_id) > "
                 "(1, 99990) order by tick, event_id");
    cr_expect_lt(last, FEW_PAGES, "%" PRId64 " pages", last);
    cr_expect_lt(ahead, FEW_PAGES, "%" PRId64 " pages", ahead);
}

/* ---- a retry of a dead letter that holds very many ---- */

/* Event 1 is dead, and all others wait behind it, in ticks of ten; the number of the retry. */
static int64_t
hold_many(void)
{
    postgres_exec(
        outbox.admin,
        "insert into outbox.event (topic, key) select 't', '\\x6b' from generate_series(0, " MANY ");"
        "insert into outbox.dead_letter (relay, event_id, tick, hold, topic, created_at, error, message)"
        " values ('main', 1, 1, 1, 't', now(), 'E', 'm');"
        "insert into outbox.held_event select 'main', 1 + i, 1 + i / 10, 1, 3"
        " from generate_series(1, " MANY ") i");
    return postgres_int(outbox.relay, "select outbox.dead_retry('main', 1)");
}

static void
settle(int64_t number, int64_t progress)
{
    postgres_exec(outbox.relay,
                  "select outbox.request_settle('main', %" PRId64 ", %" PRId64 ", 1, null, null)", number,
                  progress);
}

#define HELD "execute outboxd_held('main', 1, 1, false, 10, 1000000, %" PRId64 ")"

/* How many events are in the retry's next page, ten at most; the first of them. */
static int
next_page(int64_t number, int64_t *first)
{
    char *statement = must_format(HELD, number);
    PGresult *result = PQexec(outbox.admin, statement);
    int count = PQntuples(result);
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQerrorMessage(outbox.admin));
    *first = count > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    free(statement);
    return count;
}

Test(schema_upkeep, a_retry_does_not_become_slower_by_what_it_has_published__P4, .init = open_all,
     .fini = close_all)
{
    int64_t number = hold_many(), first;
    PGconn *old = outbox_session(&outbox, POSTGRES_ADMIN);
    postgres_exec(old, "begin isolation level repeatable read; select count(*) from outbox.held_event");
    settle(number, 90000);
    cr_expect_eq(next_page(number, &first), 10);
    cr_expect_eq(first, 90001);
    char *read = must_format(HELD, number);
    char *free_ten = must_format("select outbox.request_settle('main', %" PRId64
                                 ", (select freed_id + 10 from outbox.request), 10, null, null)",
                                 number);
    int64_t read_pages = pages_of(read), free_pages = pages_of(free_ten);
    cr_expect_lt(read_pages, FEW_PAGES, "%" PRId64 " pages", read_pages);
    cr_expect_lt(free_pages, FEW_PAGES, "%" PRId64 " pages", free_pages);
    cr_expect_eq(postgres_int(outbox.admin, "select min(event_id) from outbox.held_event"),
                 90001 + RUNS * 10);
    free(free_ten);
    free(read);
    PQfinish(old);
}

/* Nothing comes to be held before what was published. If it did, it would not be lost. */
Test(schema_upkeep, what_is_held_before_the_freed_ones_is_published_too__P1, .init = open_all,
     .fini = close_all)
{
    int64_t number = hold_many(), first;
    settle(number, 100001);
    cr_expect_eq(next_page(number, &first), 0);
    postgres_exec(outbox.admin, "insert into outbox.held_event values ('main', 5, 1, 1, 3)");
    cr_expect_eq(next_page(number, &first), 1);
    cr_expect_eq(first, 5);
    settle(number, 5);
    cr_expect_eq(next_page(number, &first), 0);
}

/* ---- requests that are done ---- */

static void
write_replays(int count, const char *done_at)
{
    postgres_exec(outbox.admin,
                  "insert into outbox.request (relay, kind, asked_at, done_at) select 'main', 'replay',"
                  " now() - interval '50 days', %s from generate_series(1, %d)",
                  done_at, count);
}

#define AGO(days) "now() - interval '" days " days'"

Test(schema_upkeep, requests_go_when_they_have_been_done_for_long__P4, .init = open_all, .fini = close_all)
{
    write_replays(1500, AGO("40"));
    write_replays(1, AGO("31"));
    write_replays(1, AGO("29"));
    write_replays(1, "null"); /* it goes on */
    static const int64_t left[] = {503, 2, 2};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        (void)postgres_int(outbox.relay, "select outbox.journal_trim('main')");
        cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.request"), left[i]);
    }
    write_replays(1, AGO("35"));
    write_replays(1, AGO("45"));
    postgres_exec(outbox.admin, "update outbox.relay set retention = interval '40 days'");
    (void)postgres_int(outbox.relay, "select outbox.journal_trim('main')");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.request"), 3);
}

/* One that is forgotten before its request would begin again. */
Test(schema_upkeep, a_cancelled_replay_goes_with_its_request__P4, .init = open_all, .fini = close_all)
{
    write_replays(2, "null");
    postgres_exec(outbox.relay, "select outbox.request_cancel('main', number) from outbox.request");
    postgres_exec(outbox.admin, "update outbox.cancelled set asked_at = " AGO("40") " where number = 1");
    (void)postgres_int(outbox.relay, "select outbox.journal_trim('main')");
    cr_expect_eq(postgres_int(outbox.admin, "select sum(number) from outbox.cancelled"), 2);
    cr_expect_eq(postgres_int(outbox.admin, "select sum(number) from outbox.request"), 2);
}

/* A psql session that waits for its person. */
Test(schema_upkeep, an_old_request_that_somebody_has_locked_stops_no_trim__P4, .init = open_all,
     .fini = close_all)
{
    write_replays(2, AGO("40"));
    PGconn *person = outbox_session(&outbox, POSTGRES_ADMIN);
    postgres_exec(person, "begin; select from outbox.request where number = 1 for update");
    postgres_exec(outbox.relay, "set lock_timeout = '1s'; select outbox.journal_trim('main')");
    cr_expect_eq(postgres_int(outbox.admin, "select sum(number) from outbox.request"), 1);
    PQfinish(person);
}

Test(schema_upkeep, requests_that_stay_cost_a_trim_nothing__P4, .init = open_all, .fini = close_all)
{
    write_replays(100000, AGO("1"));
    postgres_exec(outbox.admin, "insert into outbox.cancelled select relay, number from outbox.request");
    for (int analyzed = 0; analyzed < 2; analyzed++) {
        int64_t pages = pages_of("select outbox.journal_trim('main')");
        cr_expect_lt(pages, FEW_PAGES, "%" PRId64 " pages", pages);
        postgres_exec(outbox.admin, "analyze");
    }
}
