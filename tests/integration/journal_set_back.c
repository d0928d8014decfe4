/* journal_set_back.c: a sequence that was set back is seen by the events that contradict the journal, wherever they are; what a
 * standby asks five times a second looks at no event. */
#include "integration/journal_driver.h"
#include "support/postgres.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct postgres *server;
static struct driver *driver;
static PGconn *admin, *writer;

static void
open_all(void)
{
    server = postgres_shared();
    const char *database = postgres_create_outbox(server);
    driver = driver_open(postgres_conninfo(server, database, POSTGRES_RELAY), "main");
    admin = postgres_open(server, database, POSTGRES_ADMIN);
    writer = postgres_open(server, database, POSTGRES_WRITER);
}

static void
close_all(void)
{
    PQfinish(writer);
    PQfinish(admin);
    driver_close(driver);
    postgres_free(server);
}

TestSuite(journal_set_back, .init = open_all, .fini = close_all, .timeout = 60);

static void
emit(int64_t count)
{
    postgres_exec(writer, "insert into outbox.event (topic) select 't' from generate_series(1, %lld)",
                  (long long)count);
}

/* Two ticks: the bounds of the second one lie above the events of the first. */
static void
publish(int64_t count)
{
    struct ids ids;
    for (int i = 0; i < 2; i++) {
        emit(count);
        cr_assert(driver_step(driver, 1000, 1 << 20, &ids));
        driver_ids_free(&ids);
    }
}

static bool
set_back(void)
{
    struct error error;
    bool answer = false, numbers_back = false;
    journal_ask_set_back(driver->session, "main", clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_set_back(driver->session, &answer, &numbers_back, &error), "%s", error.message);
    cr_expect_not(numbers_back);
    return answer;
}

Test(journal_set_back, events_late_and_new_ones_alike_contradict_nothing)
{
    PGconn *late = postgres_open(server, PQdb(admin), POSTGRES_WRITER);
    cr_expect_not(set_back());
    postgres_exec(late, "begin; insert into outbox.event (topic) values ('t')");
    publish(50);
    cr_expect_not(set_back());
    postgres_exec(late, "insert into outbox.event (topic) values ('t'); commit");
    emit(10);
    cr_expect_not(set_back());
    PQfinish(late);
}

Test(journal_set_back, a_restart_that_has_passed_the_old_value_is_seen)
{
    publish(50);
    postgres_exec(admin, "truncate outbox.event restart identity");
    cr_expect_not(set_back(), "no event yet");
    emit(500);
    cr_expect(set_back());
}

Test(journal_set_back, a_setval_is_seen_behind_older_events_and_before_newer_ones)
{
    publish(50);
    postgres_exec(admin, "select setval('outbox.event_id_seq', 10)");
    emit(1);
    postgres_exec(admin, "select setval('outbox.event_id_seq', 1000)");
    emit(1);
    cr_expect(set_back());
}

Test(journal_set_back, the_look_of_a_standby_reads_no_event)
{
    struct error error;
    bool events = false;
    session_ask(driver->session, "explain execute outboxd_newest('main')", clock_monotonic_us());
    driver_wait(driver);
    PGresult *plan = session_answer(driver->session, &error);
    cr_assert_not_null(plan, "%s", error.message);
    for (int i = 0; i < PQntuples(plan); i++)
        events = events || strstr(PQgetvalue(plan, i, 0), " on event_0") != NULL;
    PQclear(plan);
    cr_expect_not(events);
}
