/* journal_durable.c: I3: a row of the journal is durable unless the server says that it did not wait for its synchronous
 * standbys; whatever else the server warns of means nothing for it. */
#include "integration/journal_driver.h"
#include "support/postgres.h"
#include "support/wait.h"

#include "base/clock.h"

#include <criterion/criterion.h>

static struct postgres *server;
static struct driver *driver;
static PGconn *admin;

static void
open_all(void)
{
    server = postgres_start(NULL); /* our own: the standbys are the whole server's */
    const char *database = postgres_create_outbox(server);
    driver = driver_open(postgres_conninfo(server, database, POSTGRES_RELAY), "main");
    admin = postgres_open(server, database, POSTGRES_ADMIN);
    postgres_exec(admin, "set synchronous_commit = local");
    postgres_exec(admin,
                  "create function public.chatter() returns trigger language plpgsql as"
                  " $$ begin raise warning 'canceling wait for synchronous replication, says a trigger';"
                  " return new; end $$");
}

static void
close_all(void)
{
    PQfinish(admin);
    driver_close(driver);
    postgres_free(server);
}

TestSuite(journal_durable, .init = open_all, .fini = close_all, .timeout = 60);

/* What an audit extension would do at each insert into the journal. */
static void
add_chatter(const char *when)
{
    postgres_exec(
        admin, "create trigger chatter %s on outbox.journal for each row execute function public.chatter()",
        when);
}

/* From now on every commit waits for a standby that is not there. */
static void
miss_standby(void)
{
    postgres_exec(admin, "alter system set synchronous_standby_names = 'missing'");
    postgres_exec(admin, "select pg_reload_conf()");
}

static int64_t
waiting(void)
{
    return postgres_int(admin, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'");
}

static void
ask_confirm(void)
{
    const struct journal_exact exact = {0};
    const struct journal_row_next next = {&driver->self, driver->confirmed, &exact};
    journal_ask_confirm(driver->session, &next, false, clock_monotonic_us());
}

/* The answer to the confirmation that was asked: appended, and whether it is durable. */
static bool
durable(void)
{
    struct error error;
    struct journal_stepped stepped = {0};
    driver_wait(driver);
    cr_assert(journal_read_confirm(driver->session, &driver->self, &stepped, &error), "%s", error.message);
    cr_assert(stepped.appended);
    bool is_durable = stepped.durable;
    journal_stepped_clear(&stepped);
    return is_durable;
}

/* Confirms until a commit waits: the server takes notice of its new configuration by and by. */
static void
ask_until_it_waits(void)
{
    int64_t deadline_us = wait_deadline_us(10000);
    ask_confirm();
    while (waiting() == 0) {
        session_turn(driver->session, clock_monotonic_us());
        if (session_state(driver->session) == SESSION_ANSWERED) {
            cr_assert(durable());
            ask_confirm();
        }
        cr_assert(wait_turn(deadline_us), "no commit waits for the standby");
    }
}

Test(journal_durable, I3_a_warning_of_a_trigger_leaves_the_row_durable)
{
    add_chatter("before insert");
    ask_confirm();
    cr_expect(durable());
}

Test(journal_durable, I3_a_deferred_trigger_that_warns_at_commit_leaves_the_row_durable)
{
    postgres_exec(admin, "create constraint trigger chatter after insert on outbox.journal"
                         " deferrable initially deferred for each row execute function public.chatter()");
    ask_confirm();
    cr_expect(durable());
}

Test(journal_durable, I3_a_cancelled_wait_is_seen_among_other_warnings_and_only_for_its_own_row)
{
    add_chatter("after insert");
    miss_standby();
    ask_until_it_waits();
    postgres_exec(admin, "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
    cr_expect_not(durable());

    postgres_exec(admin, "alter system reset synchronous_standby_names");
    postgres_exec(admin, "select pg_reload_conf()");
    ask_confirm();
    cr_expect(durable(), "the next row has waited for everybody there is");
}

Test(journal_durable, I3_a_backend_that_is_terminated_while_it_waits_gives_no_answer)
{
    struct session *session = driver->session;
    miss_standby();
    ask_until_it_waits();
    int64_t rows = postgres_int(admin, "select count(*) from outbox.journal");
    postgres_exec(admin,
                  "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
    wait_for((session_turn(session, clock_monotonic_us()), session_state(session) != SESSION_BUSY), 10000);
    cr_expect_eq(session_state(session), SESSION_CLOSED);
    wait_for(postgres_int(admin, "select count(*) from outbox.journal") == rows + 1, 10000);
}
