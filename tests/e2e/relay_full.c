/* relay_full.c: row 73: Postgres has no room, for a connection or on its disk. The relay waits, says why, and goes on by itself;
 * business transactions are not its concern (P4), and nothing is lost or sent twice (P1). */
#include "relay_setup.h"

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
