/* rebase_records.c: since when `outboxd rebase` reads back what was published before a failover, what it makes of the times in records,
 * and how far it moves the id sequence (rows 59 and 72). */
#include "rebase_fixture.h"

#include "postgres/rebase_kafka.h"

TestSuite(rebase_records, .timeout = 60);

/* ---- since when ---- */

/* A transaction writes an event between two ticks, and is open in the second, which is the last that the new timeline has. */
static struct outbox
fail_over_with_an_open_transaction(PGconn **open_one)
{
    struct outbox outbox = rebase_open_own();
    struct driver *driver = rebase_lead(&outbox, "main");
    int64_t first = rebase_emit(outbox.writer);
    rebase_expect_tick(driver, REBASE_IDS(first));
    *open_one = outbox_session(&outbox, POSTGRES_WRITER);
    postgres_exec(*open_one, "begin");
    rebase_emit(*open_one);
    int64_t second = rebase_emit(outbox.writer);
    rebase_expect_tick(driver, REBASE_IDS(second));
    confirm_tick(driver, driver->self.seq, 0, false);
    driver_close(driver);
    postgres_exec(outbox.admin, "update outbox.journal set timeline = 0, written_at = '2026-01-01 12:00+00'::"
                                "timestamptz + interval '1 minute' * seq");
    return outbox;
}

static int64_t
since_of_row(const struct outbox *outbox)
{
    return postgres_int(outbox->admin, "select extract(epoch from outbox.rebase_since('main', true)"
                                       " - '2026-01-01 12:00+00')::bigint / 60");
}

Test(rebase_records, what_was_lost_is_looked_for_since_before_the_oldest_transaction_that_was_open__row_59)
{
    PGconn *open_one;
    struct outbox outbox = fail_over_with_an_open_transaction(&open_one);
    int64_t before = postgres_int(outbox.admin, "select max(seq) from outbox.journal where w <= (select"
                                                " pg_snapshot_xmin(snapshot) from outbox.journal order by seq"
                                                " desc limit 1)");
    cr_assert_lt(before, postgres_int(outbox.admin, "select max(seq) - 1 from outbox.journal"));
    cr_expect_eq(since_of_row(&outbox), before);
    /* no row that is kept is older than it */
    postgres_exec(outbox.admin, "delete from outbox.journal where seq <= %lld", (long long)before);
    cr_expect_eq(since_of_row(&outbox), before + 1);
    postgres_exec(outbox.admin, "update outbox.journal set timeline = 1");
    cr_expect_eq(postgres_int(outbox.admin, "select (outbox.rebase_since('main', true) is null)::int"), 1);
    PQfinish(open_one);
    outbox_close(&outbox);
}

/* ---- records ---- */

static struct rebase *
open_rebase(const struct outbox *outbox)
{
    struct rebase *rebase;
    struct error error;
    cr_assert(
        rebase_open(&rebase, postgres_conninfo(outbox->server, outbox->database, POSTGRES_ADMIN), &error),
        "%s", error.message);
    return rebase;
}

Test(rebase_records, a_time_that_Postgres_does_not_have_is_taken_for_the_last_one_that_it_has)
{
    static const int64_t times_ms[] = {INT64_MAX, INT64_C(253402300800000), -1, 0};
    struct outbox outbox = rebase_open_own();
    struct error error;
    struct rebase_found found;
    outbox_register(&outbox);
    struct rebase *rebase = open_rebase(&outbox);
    cr_assert(rebase_kafka_begin(rebase, &error), "%s", error.message);
    for (size_t i = 0; i < sizeof times_ms / sizeof *times_ms; i++) {
        struct published record = {
            .id = (int64_t)i + 1, .topic = "t", .offset = (int64_t)i, .time_ms = times_ms[i]};
        cr_assert(rebase_kafka_add(rebase, &record, &error), "%s", error.message);
    }
    cr_assert(rebase_kafka_judge(rebase, &found, &error), "%s", error.message);
    cr_expect_eq(found.records, 4);
    rebase_close(rebase);
    outbox_close(&outbox);
}

Test(rebase_records, the_id_sequence_is_moved_as_far_as_somebody_says)
{
    struct outbox outbox = rebase_open_own();
    struct error error;
    struct rebase *rebase = open_rebase(&outbox);
    cr_expect(rebase_pass_ids(rebase, 100, &error), "%s", error.message);
    cr_expect_eq(rebase_emit(outbox.writer), 101);
    cr_expect(rebase_pass_ids(rebase, PUBLISHED_ID_MOST, &error), "%s", error.message);
    cr_expect(rebase_pass_ids(rebase, 200, &error), "%s", error.message);
    cr_expect_eq(rebase_emit(outbox.writer), PUBLISHED_ID_MOST + 1);
    rebase_close(rebase);
    outbox_close(&outbox);
}
