/* relay_refused.c: refused or survived, never a silent loss: what administrators, restores and poolers do to the database.
 * A refusal ends the process with the exit code of design 3.3 and names the cause and the cure; what is survived is judged by the
 * checker. */
#include "relay_setup.h"

#include "support/postgres_standby.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

TestSuite(relay_refused, .timeout = 180);

enum { EXIT_UNUSABLE = 69, EXIT_BROKEN = 70, EXIT_WRONG_CONFIGURATION = 78 };

/* A relay that runs and has published `count` events. */
static struct setup
published(int count)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "refused", 1, NULL);
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, %d) i",
                  topic, count);
    setup_expect_all_once(&setup, 10000);
    return setup;
}

static void
stop(struct setup *setup)
{
    cr_assert_eq(daemon_terminate(setup->relay), 0);
}

/* Starts again after `stop`. */
static void
expect_refused_again(struct setup *setup, int exit_code, const char *cause, const char *cure)
{
    daemon_again(setup->relay);
    setup_expect_end(setup, exit_code, cause, cure);
}

/* ---- the ids go backwards ---- */

/* Then every event of the outbox must arrive, under an id of its own. */
static void
expect_cure_of_sequence(struct setup *setup)
{
    setup_rebase(setup, NULL, "80 events that were never sent get new ids");
    daemon_again(setup->relay);
    setup_wait_confirmed(setup, 10000);
    cr_expect_eq(setup_judge(setup).duplicates, 0);
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '\"next\"')", setup->topics[0]);
    setup_wait_confirmed(setup, 10000);
    cr_expect_eq(setup_count(setup), 50 + 80 + 1);
}

Test(relay_refused, TRUNCATE_RESTART_IDENTITY_under_a_running_relay_ends_it_with_70__P1__row_70)
{
    struct setup setup = published(50);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.event_id_seq", "outboxd rebase");
    setup_end(&setup);
}

Test(relay_refused, TRUNCATE_RESTART_IDENTITY_while_stopped_ends_the_next_start_with_70__P1__row_70)
{
    struct setup setup = published(50);
    stop(&setup);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "outboxd rebase");
    setup_end(&setup);
}

/* The sequence has passed its old value again before the relay looks: the ids that were drawn meanwhile give it away. */
Test(relay_refused,
     TRUNCATE_RESTART_IDENTITY_and_more_events_than_before_end_the_next_start_with_70__P1__row_70)
{
    struct setup setup = published(50);
    stop(&setup);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 80) i",
                  setup.topics[0]);
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "outboxd rebase");
    setup_rebase(&setup, NULL, "80 events that were never sent get new ids");
    daemon_again(setup.relay);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(setup_count(&setup), 50 + 80);
    cr_expect_gt(postgres_int(setup.admin, "select min(id) from outbox.event"), 50, "an id means two events");
    setup_end(&setup);
}

/* A standby that has been looking on all the time: it takes over from a leader that died just before. */
Test(relay_refused,
     TRUNCATE_RESTART_IDENTITY_and_more_events_than_before_stop_a_standby_before_it_leads__P1__row_70)
{
    static const char *const patient[] = {"lease=5s", NULL};
    struct setup setup = published(50);
    stop(&setup);
    setup_run(&setup, patient);
    struct daemon *leader = setup.relay;
    setup.relay = NULL;
    setup_run(&setup, patient);
    daemon_kill(leader);
    postgres_exec(setup.admin,
                  "begin; truncate outbox.event restart identity; insert into outbox.event (topic, key)"
                  " select '%s', 'k' from generate_series(1, 80); commit",
                  setup.topics[0]);
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    cr_expect_eq(setup_count(&setup), 50);
    cr_expect_eq(postgres_int(setup.admin, "select max(epoch) from outbox.journal"), 2, "the standby led");
    daemon_free(leader);
    setup_end(&setup);
}

Test(relay_refused, setval_backwards_ends_a_running_relay_and_the_next_start_with_70__P1__row_71)
{
    struct setup setup = published(50);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 10)");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.event_id_seq", "outboxd rebase");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 80) i",
                  setup.topics[0]);
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "outboxd rebase");
    expect_cure_of_sequence(&setup);
    setup_end(&setup);
}

Test(relay_refused, a_sequence_that_hands_out_ranges_is_refused_at_start__P1__row_71)
{
    struct setup setup = setup_begin();
    postgres_exec(setup.admin, "alter sequence outbox.event_id_seq cache 20");
    setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, "outbox.event_id_seq", "cache 1");
    setup_end(&setup);
}

Test(relay_refused, an_id_that_is_not_generated_always_is_refused_at_start__P1__row_71)
{
    struct setup setup = setup_begin();
    postgres_exec(setup.admin, "alter table outbox.event alter column id set generated by default");
    setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, "outbox.event.id", "set generated always");
    setup_end(&setup);
}

/* ---- the registry ---- */

Test(relay_refused, another_source_than_the_registered_one_is_78_and_changes_nothing__P3)
{
    struct setup setup = published(10);
    stop(&setup);
    setup_expect_refusal(&setup, (const char *[]){"source=tset", NULL}, EXIT_WRONG_CONFIGURATION,
                         "was registered with the source", "source: " DAEMON_SOURCE "; or");
    cr_expect_eq(
        postgres_int(setup.admin, "select count(*) from outbox.relay where source = '" DAEMON_SOURCE "'"), 1);
    /* what docs/operations.md says under "Another source" */
    postgres_exec(setup.admin, "update outbox.relay set source = 'tset' where name = 'main'");
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    setup_end(&setup);
}

static struct daemon *
start_with_source(struct setup *setup, const char *source)
{
    return daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(setup->postgres, setup->database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(setup->broker),
        .overrides = (const char *[]){source, NULL}});
}

/* Both have found an empty registry. */
Test(relay_refused, of_two_first_starts_with_different_sources_one_leads_and_the_other_is_78__P3)
{
    struct setup setup = setup_begin();
    PGconn *locker = postgres_open(setup.postgres, setup.database, POSTGRES_ADMIN);
    postgres_exec(locker, "begin; lock table outbox.relay in share row exclusive mode");
    struct daemon *one = start_with_source(&setup, "source=one"),
                  *two = start_with_source(&setup, "source=two");
    wait_for(postgres_int(setup.admin,
                          "select count(*) from pg_locks where relation = 'outbox.relay'::regclass and"
                          " not granted") == 2,
             10000);
    postgres_exec(locker, "commit");
    wait_for(daemon_running(one) != daemon_running(two), 10000);
    bool first = daemon_running(one);
    setup.relay = first ? two : one;
    setup_expect_end(&setup, EXIT_WRONG_CONFIGURATION,
                     first ? "was registered with the source \\\"one\\\", the configuration says \\\"two\\\""
                           : "was registered with the source \\\"two\\\", the configuration says \\\"one\\\"",
                     first ? "source: one; or" : "source: two; or");
    daemon_free(setup.relay);
    setup.relay = first ? one : two;
    daemon_wait_ready(setup.relay);
    PQfinish(locker);
    setup_end(&setup);
}

/* ---- the journal, the schema, the privileges ---- */

Test(relay_refused, a_schema_dropped_under_a_running_relay_ends_it__row_70)
{
    struct setup setup = published(5);
    daemon_pause(setup.relay); /* tables are locked in another order than by its statements */
    wait_for(postgres_int(setup.admin, "select count(*) from pg_stat_activity where state = 'active'"
                                       " and datname = current_database() and pid <> pg_backend_pid()") == 0,
             20000);
    postgres_exec(setup.admin, "drop schema outbox cascade");
    daemon_continue(setup.relay);
    setup_expect_end(&setup, EXIT_UNUSABLE, "does not exist", NULL);
    expect_refused_again(&setup, EXIT_UNUSABLE, "has no outbox", "outboxd migrate");
    setup_end(&setup);
}

/* Every row is written anew; what the relay reads does not change. */
Test(relay_refused, a_table_rewritten_under_a_running_relay_loses_nothing__P1__row_70)
{
    struct setup setup = published(500);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 5000) i",
                  setup.topics[0]);
    postgres_exec(setup.admin, "alter table outbox.event add column note int default random()::int");
    postgres_exec(setup.admin, "vacuum full outbox.event");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"after\"')", setup.topics[0]);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_refused, an_emptied_journal_ends_a_running_relay_and_the_next_start_with_70__P1)
{
    struct setup setup = published(5);
    /* the lock waits for a row that is on its way to be committed, and what comes behind it sees none */
    postgres_exec(setup.admin, "begin; lock table outbox.journal in exclusive mode;"
                               " delete from outbox.journal; commit");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.journal", "outboxd rebase");
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.journal", "outboxd rebase");
    setup_rebase(&setup, NULL, "its journal is gone"); /* the cure: everything comes again */
    daemon_again(setup.relay);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(setup_judge(&setup).duplicates, 5);
    setup_end(&setup);
}

Test(relay_refused, a_database_without_the_outbox_is_refused_with_the_command_that_installs_it)
{
    struct postgres *postgres = postgres_shared();
    struct setup setup = setup_begin_in(postgres, broker_shared(), postgres_create_database(postgres));
    setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, "has no outbox", "outboxd migrate");
    setup_end(&setup);
}

Test(relay_refused, an_older_schema_is_refused_and_a_newer_one_used_when_it_may_be__row_75)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "newer", 1, NULL);
    postgres_exec(setup.admin, "update outbox.schema_version set version = 0, readable_since = 0");
    setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, "version 0", "outboxd migrate");
    postgres_exec(setup.admin, "update outbox.schema_version set version = 99, readable_since = 99");
    setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, "version 99", "newer outboxd");
    postgres_exec(setup.admin, "update outbox.schema_version set readable_since = 1");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    setup_run(&setup, NULL);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_refused, a_privilege_missing_at_start_is_named__row_75)
{
    static const struct missing {
        const char *revoke, *named;
    } list[] = {
        {"revoke select on outbox.event from", "SELECT on table event"},
        {"revoke insert on outbox.journal from", "INSERT on table journal"},
        {"revoke select on sequence outbox.event_id_seq from", "event_id_seq"},
        {"revoke execute on function outbox.journal_trim(text, bigint) from", "journal_trim"},
        {"revoke usage on schema outbox from", "USAGE on schema"},
    };
    struct setup setup = setup_begin();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        postgres_exec(setup.admin, "begin; %s outbox_relay, relay, public; commit", list[i].revoke);
        setup_expect_refusal(&setup, NULL, EXIT_UNUSABLE, list[i].named, "outboxd migrate");
        postgres_migrate(setup.postgres, setup.database);
    }
    setup_run(&setup, NULL);
    setup_end(&setup);
}

Test(relay_refused, a_privilege_revoked_under_a_running_relay_ends_it_and_loses_nothing__P1__row_75)
{
    struct setup setup = published(5);
    postgres_exec(setup.admin, "revoke select on outbox.event from outbox_relay, relay");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"after\"')", setup.topics[0]);
    setup_expect_end(&setup, EXIT_UNUSABLE, "permission denied", NULL);
    postgres_migrate(setup.postgres, setup.database);
    daemon_again(setup.relay);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}

Test(relay_refused, an_unknown_relay_name_is_refused_and_the_known_ones_are_listed)
{
    struct setup setup = published(1);
    stop(&setup);
    setup_expect_refusal(&setup, (const char *[]){"relay=other", NULL}, EXIT_WRONG_CONFIGURATION,
                         "is not registered", ": main");
    setup_end(&setup);
}

/* ---- not the same database ---- */

Test(relay_refused, a_hot_standby_is_refused_until_it_is_promoted__row_61)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "standby", 1, NULL);
    struct postgres *primary = setup.postgres, *standby = postgres_start_standby(primary, "standby");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1')", topic);
    int64_t at = postgres_int(setup.admin, "select pg_current_wal_lsn() - '0/0'");
    PQfinish(setup.admin);
    PQfinish(setup.app);
    setup.postgres = standby;
    setup.admin = postgres_open(standby, setup.database, POSTGRES_ADMIN);
    setup.app = NULL;
    wait_for(postgres_int(setup.admin, "select pg_last_wal_replay_lsn() - '0/0'") >= at, 10000);
    setup_start(&setup, NULL);
    wait_for(daemon_log_contains(setup.relay, "hot standby mode"), 10000);
    wait_for(daemon_readiness_is(setup.relay, 503, "hot standby mode"), 5000);
    cr_expect_eq(setup_count(&setup), 0);
    postgres_free(primary);
    postgres_promote(standby);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_refused, a_copy_of_the_database_in_the_same_cluster_is_refused_with_70__P1__row_72)
{
    struct setup setup = published(20);
    stop(&setup);
    PQfinish(setup.app);
    PQfinish(setup.admin);
    PGconn *server = postgres_open(setup.postgres, "postgres", POSTGRES_ADMIN);
    char *copy = must_format("%s_copy", setup.database);
    postgres_exec(server, "create database %s template %s", copy, setup.database);
    PQfinish(server);
    setup.admin = postgres_open(setup.postgres, copy, POSTGRES_ADMIN);
    setup.app = postgres_open(setup.postgres, copy, POSTGRES_WRITER);
    setup.database = copy;
    setup_expect_refusal(&setup, NULL, EXIT_BROKEN, "another cluster or database", "outboxd rebase");
    setup_rebase(&setup, NULL, "no event is changed");
    daemon_again(setup.relay);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"in the copy\"')", setup.topics[0]);
    setup_expect_all_once(&setup, 10000);
    free(copy);
    setup_end(&setup);
}
