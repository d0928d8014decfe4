/* support_load.c: the hostile load, its ledger and the checker together on a real server: the ledger agrees with the table,
 * ids in order are clean, and a poller of `id > last` is caught losing events. */
#include "support/checker.h"
#include "support/checker_judge.h"
#include "support/load.h"
#include "support/postgres.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE "control"

TestSuite(support_load, .timeout = 180);

static const char *const topics[] = {"orders", "customers", NULL};

struct fixture {
    struct postgres *postgres;
    PGconn *admin;
    struct load_options options;
};

static struct fixture
fixture_open(struct postgres *postgres)
{
    const char *database = postgres_create_outbox(postgres);
    struct fixture fixture = {
        .postgres = postgres,
        .admin = postgres_open(postgres, database, POSTGRES_ADMIN),
        .options = {.admin = postgres_conninfo(postgres, database, POSTGRES_ADMIN),
                    .writer = postgres_conninfo(postgres, database, POSTGRES_WRITER),
                    .topics = topics},
    };
    load_prepare(fixture.admin);
    return fixture;
}

static void
fixture_close(struct fixture *fixture)
{
    PQfinish(fixture->admin);
    postgres_free(fixture->postgres);
}

/* What a faultless relay would publish that sends in the order of the ids. */
static void
publish_all(struct records *records, const struct expected_events *events)
{
    for (size_t i = 0; i < events->count; i++)
        checker_record_of(records, &events->list[i], SOURCE, (int64_t)i);
}

Test(support_load, control_reader_loses_events_and_the_checker_sees_it)
{
    struct fixture fixture = fixture_open(postgres_shared());
    struct control *control = control_start(fixture.options.admin, SOURCE);
    struct load *load = load_start(&fixture.options);
    wait_for(load_committed_events(load) > 8000, 60000);
    struct load_totals totals = load_stop(load);
    load_totals_print(&totals, stderr);
    struct records seen = {0};
    control_stop(control, &seen);
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, fixture.admin);

    struct verdict naive = checker_judge(&ledger, &seen, SOURCE);
    verdict_print(&naive, stderr);
    cr_assert_gt(naive.lost, 0);
    cr_assert_eq(naive.phantom + naive.changed + naive.duplicates, 0);
    cr_assert_eq(naive.records + naive.lost, naive.expected);

    struct records all = {0};
    publish_all(&all, &ledger);
    struct verdict faultless = checker_judge(&ledger, &all, SOURCE);
    cr_assert(verdict_clean(&faultless), "%s", faultless.examples);
    cr_assert_eq(faultless.duplicates, 0);
    records_free(&all);
    records_free(&seen);
    expected_free(&ledger);
    fixture_close(&fixture);
}

Test(support_load, does_everything_that_it_says_on_the_writers_grants)
{
    struct fixture fixture = fixture_open(postgres_shared());
    struct load *load = load_start(&fixture.options);
    static const char *const kinds[] = {
        "key is null",         "key = ''",        "substr(key, 1, 1) = '\\x00'",
        "payload is null",     "payload = ''",    "counter > 1",
        "length(payload) > 0", "headers is null", "headers = '{}'",
        "counter = 0",         "headers ? 'b'",   "key = convert_to('key-10000', 'UTF8')",
    };
    wait_for(load_committed_events(load) > 8000, 60000);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) /* sooner or later */
        wait_for(postgres_int(fixture.admin, "select count(*) from load.ledger where %s", kinds[i]) > 0,
                 30000);
    /* of so many, one in ten is rolled back and one in twenty-five prepared */
    wait_for(postgres_int(fixture.admin, "select count(distinct xid) from load.ledger") > 300, 60000);
    struct load_totals totals = load_stop(load);
    cr_assert_gt(totals.committed, 0);
    cr_assert_gt(totals.rolled_back, 0);
    cr_assert_gt(totals.prepared, 0);
    cr_assert_gt(totals.kills, 0);
    cr_assert_eq(postgres_int(fixture.admin, "select count(*) from pg_prepared_xacts where database = "
                                             "current_database()"),
                 0);
    fixture_close(&fixture);
}

Test(support_load, ledger_holds_exactly_what_is_in_the_outbox)
{
    struct fixture fixture = fixture_open(postgres_shared());
    struct load *load = load_start(&fixture.options);
    wait_for(load_committed_events(load) > 1000, 60000);
    load_stop(load);
    static const char columns[] = "id, xid, topic, key, payload, headers, created_at";
    cr_assert_eq(
        postgres_int(
            fixture.admin,
            "select count(*) from ((select %s from outbox.event except all select %s from load.ledger)"
            " union all (select %s from load.ledger except all select %s from outbox.event)) d",
            columns, columns, columns, columns),
        0);
    struct expected_events outbox = {0};
    expected_read_outbox(&outbox, fixture.admin);
    cr_assert_eq((int64_t)outbox.count, postgres_int(fixture.admin, "select count(*) from load.ledger"));
    expected_free(&outbox);
    fixture_close(&fixture);
}

/* An order that breaks P2 but keeps every byte: two events of a key, the later commit first. */
Test(support_load, an_inversion_planted_into_a_real_ledger_is_found)
{
    struct fixture fixture = fixture_open(postgres_shared());
    struct load *load = load_start(&fixture.options);
    wait_for(load_committed_events(load) > 1000, 60000);
    load_stop(load);
    struct expected_events ledger = {0};
    load_read_ledger(&ledger, fixture.admin);
    struct records records = {0};
    publish_all(&records, &ledger);
    cr_assert_eq(checker_judge(&ledger, &records, SOURCE).reordered, 0);
    int64_t count = (int64_t)records.count;
    for (size_t i = 0; i < records.count; i++)
        records.list[i].offset = count - (int64_t)i;
    cr_assert_gt(checker_judge(&ledger, &records, SOURCE).reordered, 100);
    records_free(&records);
    expected_free(&ledger);
    fixture_close(&fixture);
}

Test(support_load, goes_on_over_a_crash_of_the_server)
{
    struct postgres *postgres = postgres_start(NULL);
    struct fixture fixture = fixture_open(postgres);
    struct load *load = load_start(&fixture.options);
    wait_for(load_committed_events(load) > 500, 60000);
    postgres_kill(postgres);
    uint64_t before = load_committed_events(load);
    postgres_up(postgres);
    wait_for(load_committed_events(load) > before + 1000,
             60000); /* the crash takes what did not wait for the disk */
    load_stop(load);
    PQreset(fixture.admin);
    cr_assert_gt(postgres_int(fixture.admin, "select count(*) from load.ledger"), 1000);
    fixture_close(&fixture);
}
