/* relay_full.c: row 73: Postgres has no room, for a connection or on its disk, or takes no writes. The relay waits, says why, and goes on by
 * itself; business transactions are not its concern (P4), and nothing is lost or sent twice (P1). */
#include "relay_setup.h"

#include "support/postgres_standby.h"
#include "support/scratch.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(relay_full, .timeout = 180);

static int
count_in(char *text, const char *wanted)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        count++;
    free(text);
    return count;
}

static int
refusals(const struct setup *setup, const char *text)
{
    return count_in(scratch_read_file(postgres_log_path(setup->postgres)), text);
}

/* When it breaks, when the reason is another one, and when it heals, however often it was tried in between. */
static void
expect_told(const struct daemon *daemon, int reasons)
{
    cr_expect_eq(count_in(daemon_log(daemon), "warning Postgres is away"), reasons);
    cr_expect_eq(count_in(daemon_log(daemon), "info Postgres is back"), 1);
}

static void
emit(struct setup *setup)
{
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '1')", setup->topics[0]);
}

Test(relay_full, without_a_connection_for_its_role_it_waits_and_goes_on__P1_P4__row_73)
{
    static const char reason[] = "too many connections for role";
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    setup_topic(&setup, "crowded", 1, NULL);
    setup_run(&setup, NULL);
    emit(&setup);
    setup_wait_confirmed(&setup, 10000);

    postgres_exec(setup.admin, "alter role " POSTGRES_RELAY " connection limit 0");
    postgres_exec(setup.admin, "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'",
                  POSTGRES_RELAY);
    wait_for(daemon_readiness_is(setup.relay, 503, reason), 10000);
    emit(&setup);
    struct daemon *late = setup.relay; /* and one that starts into it */
    setup.relay = NULL;
    setup_start(&setup, NULL);
    wait_for(daemon_readiness_is(setup.relay, 503, reason), 10000);
    wait_for(daemon_log_contains(setup.relay, reason) && daemon_log_contains(late, reason), 20000);
    int before = refusals(&setup, reason);
    wait_for(refusals(&setup, reason) >= before + 6, 20000);
    cr_expect(daemon_running(setup.relay) && daemon_running(late));

    postgres_exec(setup.admin, "alter role " POSTGRES_RELAY " connection limit -1");
    daemon_wait_ready(setup.relay);
    daemon_wait_ready(late);
    expect_told(late, 2); /* it was thrown out first, then refused */
    expect_told(setup.relay, 1);
    cr_expect_eq(daemon_terminate(late), 0);
    daemon_free(late);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_full, with_the_disk_of_the_journal_full_it_waits_and_goes_on__P1_P4__row_73)
{
    static const char reason[] = "No space left on device";
    const struct passwd *owner = getpwnam("postgres");
    char *disk = scratch_small_disk("4m"), *filler = must_format("%s/filler", disk);
    if (disk == NULL)
        cr_skip_test("a disk of its own needs root");
    cr_assert(owner != NULL && chown(disk, owner->pw_uid, owner->pw_gid) == 0);
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    setup_topic(&setup, "full", 1, NULL);
    postgres_exec(setup.admin, "create tablespace small location '%s'", disk);
    postgres_exec(setup.admin, "alter table outbox.journal set tablespace small");
    setup_run(&setup, NULL);
    emit(&setup);
    setup_wait_confirmed(&setup, 10000);

    scratch_fill_disk(filler);
    for (int64_t end_us = wait_deadline_us(30000); !daemon_readiness_is(setup.relay, 503, reason);) {
        emit(&setup); /* until the journal's last page is full */
        cr_assert(wait_turn(end_us), "the journal has room");
    }
    int before = refusals(&setup, reason);
    wait_for(refusals(&setup, reason) >= before + 6, 20000);
    emit(&setup); /* the events are on another disk */
    cr_expect(!setup_confirmed(&setup));

    cr_assert_eq(unlink(filler), 0);
    daemon_wait_ready(setup.relay);
    setup_expect_all_once(&setup, 20000);
    expect_told(setup.relay, 1);
    setup_end(&setup);
    free(filler);
    free(disk);
}

/* A server that becomes a standby ends its sessions, and a session of a standby is not taken: no statement meets it. A promotion makes a new
 * timeline: at least once, what was not confirmed is sent again, in one run. */
static void
demoted(bool exact)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    setup_topic(&setup, "demoted", 1, NULL);
    setup_run(&setup, exact ? setup_exact(&setup, true) : NULL);
    for (int i = 0; i < 50; i++)
        emit(&setup);
    PQfinish(setup.admin);
    PQfinish(setup.app);
    postgres_demote(setup.postgres);
    wait_for(daemon_readiness_is(setup.relay, 503, "hot standby mode"), 20000);
    postgres_promote(setup.postgres);
    setup.admin = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    setup.app = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
    for (int i = 0; i < 50; i++)
        emit(&setup);
    setup_wait_confirmed(&setup, 20000);
    cr_expect_leq(setup_judge(&setup).duplicate_runs, exact ? 0 : 1);
    cr_expect_eq(count_in(daemon_log(setup.relay), "info Postgres is back"), 1);
    setup_end(&setup);
}

Test(relay_full, a_primary_that_becomes_a_standby_is_waited_for_until_it_is_promoted__P1_P2__row_73)
{
    demoted(false);
}

Test(relay_full,
     a_primary_that_becomes_a_standby_is_waited_for_until_it_is_promoted_exactly_once__P1_P3__row_73)
{
    demoted(true);
}

/* Some services make a primary a standby without ending its sessions: each statement that writes fails then. Postgres itself does so in a
 * transaction that is read-only, which a trigger makes of those that write to the journal. */
static void
writes_fail(bool exact)
{
    static const char reason[] = "read-only transaction (SQLSTATE 25006)";
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    setup_topic(&setup, "readonly", 1, NULL);
    setup_run(&setup, exact ? setup_exact(&setup, true) : NULL);
    emit(&setup);
    setup_wait_confirmed(&setup, 10000);

    postgres_exec(setup.admin,
                  "create function public.read_only() returns trigger language plpgsql as 'begin"
                  " set transaction read only; update outbox.relay set name = name where false; end';"
                  " create trigger read_only before insert or update on outbox.journal"
                  " execute function public.read_only()");
    for (int i = 0; i < 50; i++)
        emit(&setup);
    wait_for(daemon_readiness_is(setup.relay, 503, reason), 20000);
    int before = refusals(&setup, "cannot execute UPDATE in a read-only transaction");
    wait_for(refusals(&setup, "cannot execute UPDATE in a read-only transaction") >= before + 6, 20000);
    cr_expect(daemon_running(setup.relay) && !setup_confirmed(&setup));

    postgres_exec(setup.admin, "drop trigger read_only on outbox.journal");
    daemon_wait_ready(setup.relay);
    setup_expect_all_once(&setup, 20000);
    expect_told(setup.relay, 1);
    setup_end(&setup);
}

Test(relay_full, statements_that_fail_as_read_only_are_tried_again_until_they_do_not__P1_P4__row_73)
{
    writes_fail(false);
}

Test(relay_full,
     statements_that_fail_as_read_only_are_tried_again_until_they_do_not_exactly_once__P1_P3__row_73)
{
    writes_fail(true);
}
