/* relay_refused.c: refused or survived, never a silent loss: what administrators, restores and poolers do to the database.
 * A refusal ends the process with the exit code of design 3.3 and names the cause and the cure; what is survived is judged by the
 * checker. */
#include "relay_setup.h"

#include "support/scratch.h"

#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_refused, .timeout = 180);

enum { EXIT_UNUSABLE = 69, EXIT_BROKEN = 70, EXIT_WRONG_CONFIGURATION = 78 };

/* A relay that runs and has published `count` events. */
static struct setup
published(int count)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "refused", 1, NULL);
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, %d) i", topic, count);
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

/* What docs/operations.md says under "The sequence went backwards"; then every event of the outbox must arrive. */
static void
expect_cure_of_sequence(struct setup *setup, int highest)
{
    postgres_exec(setup->admin,
                  "begin;"
                  "select setval('outbox.event_id_seq', greatest(%d, (select coalesce(max(id), 0) from outbox.event)) + 1);"
                  "update outbox.event e set id = default"
                  " where e.xid >= (select w from outbox.journal where relay = 'main' order by seq desc limit 1)"
                  " and e.id <= (select lo_id from outbox.journal where relay = 'main' order by seq desc limit 1);"
                  "commit",
                  highest);
    daemon_again(setup->relay);
    setup_wait_confirmed(setup, 10000);
    cr_expect_eq(postgres_int(setup->admin, "select count(*) from outbox.event where id <= %d and xid >="
                                            " (select w from outbox.journal order by seq desc limit 1)", highest), 0);
}

Test(relay_refused, TRUNCATE_RESTART_IDENTITY_under_a_running_relay_ends_it_with_70__P1__row_70)
{
    struct setup setup = published(50);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    setup_end(&setup);
}

Test(relay_refused, TRUNCATE_RESTART_IDENTITY_while_stopped_ends_the_next_start_with_70__P1__row_70)
{
    struct setup setup = published(50);
    stop(&setup);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    setup_end(&setup);
}

/* The sequence has passed its old value again before the relay looks: the ids that were drawn meanwhile give it away. */
Test(relay_refused, TRUNCATE_RESTART_IDENTITY_and_more_events_than_before_end_the_next_start_with_70__P1__row_70)
{
    struct setup setup = published(50);
    stop(&setup);
    postgres_exec(setup.admin, "truncate outbox.event restart identity");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 80) i", setup.topics[0]);
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    expect_cure_of_sequence(&setup, 50);
    cr_expect_eq(setup_count(&setup), 50 + 80);
    setup_end(&setup);
}

Test(relay_refused, setval_backwards_ends_a_running_relay_and_the_next_start_with_70__P1__row_71)
{
    struct setup setup = published(50);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 10)");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 80) i", setup.topics[0]);
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.event_id_seq", "The sequence went backwards");
    expect_cure_of_sequence(&setup, 50);
    cr_expect_eq(setup_count(&setup), 50 + 80);
    setup_judge(&setup);
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

/* ---- the journal, the schema, the privileges ---- */

Test(relay_refused, a_schema_dropped_under_a_running_relay_ends_it__row_70)
{
    struct setup setup = published(5);
    postgres_exec(setup.admin, "drop schema outbox cascade");
    setup_expect_end(&setup, EXIT_UNUSABLE, "does not exist", NULL);
    expect_refused_again(&setup, EXIT_UNUSABLE, "has no outbox", "outboxd migrate");
    setup_end(&setup);
}

/* Every row is written anew, while a transaction of an older snapshot is open; what the relay reads does not change. */
Test(relay_refused, a_table_rewritten_under_a_running_relay_loses_nothing__P1__row_70)
{
    struct setup setup = published(500);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 5000) i", setup.topics[0]);
    postgres_exec(setup.admin, "set lock_timeout = '20s'; alter table outbox.event add column note int default random()::int;"
                               " vacuum full outbox.event_0; cluster outbox.event using event_id");
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '\"after\"')", setup.topics[0]);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_refused, an_emptied_journal_ends_a_running_relay_and_the_next_start_with_70__P1)
{
    struct setup setup = published(5);
    postgres_exec(setup.admin, "delete from outbox.journal");
    setup_expect_end(&setup, EXIT_BROKEN, "outbox.journal", "The journal is gone");
    expect_refused_again(&setup, EXIT_BROKEN, "outbox.journal", "The journal is gone");
    postgres_exec(setup.admin, "delete from outbox.relay where name = 'main'"); /* the cure: everything comes again */
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
    setup_expect_refusal(&setup, (const char *[]){"relay=other", NULL}, EXIT_WRONG_CONFIGURATION, "is not registered", ": main");
    setup_end(&setup);
}

/* ---- the way in ---- */

Test(relay_refused, an_unknown_database_and_an_unknown_role_are_refused)
{
    struct setup setup = setup_begin();
    char *database = must_format("postgres/conninfo=\"%s\"", postgres_conninfo(setup.postgres, "nowhere", POSTGRES_RELAY));
    char *role = must_format("postgres/conninfo=\"%s\"", postgres_conninfo(setup.postgres, setup.database, "nobody"));
    setup_expect_refusal(&setup, (const char *[]){database, NULL}, EXIT_UNUSABLE, "nowhere", NULL);
    setup_expect_refusal(&setup, (const char *[]){role, NULL}, EXIT_UNUSABLE, "nobody", NULL);
    free(database);
    free(role);
    setup_end(&setup);
}

/* The override for a password file with this text, in a directory of its own. */
static char *
password_override(const char *password)
{
    char *directory = scratch_directory("password");
    char *path = must_format("%s/password", directory), *override = must_format("postgres/password_file=\"%s\"", path);
    scratch_write_file(path, password);
    cr_assert_eq(chmod(path, 0600), 0);
    free(directory);
    free(path);
    return override;
}

Test(relay_refused, a_wrong_password_is_refused_and_neither_is_logged)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    char *hba = must_format("%s/data/pg_hba.conf", postgres_directory(setup.postgres)), *rest = scratch_read_file(hba);
    char *text = must_format("host all relay all scram-sha-256\n%s", rest);
    char *right = password_override("right-hb2\n"), *wrong = password_override("wrong-hb2\n");
    scratch_write_file(hba, text);
    postgres_exec(setup.admin, "alter role relay password 'right-hb2'");
    postgres_exec(setup.admin, "select pg_reload_conf()");
    PGconn *trusted = NULL; /* until the server has read the file */
    wait_for((PQfinish(trusted), trusted = PQconnectdb(postgres_conninfo(setup.postgres, setup.database, POSTGRES_RELAY)),
              PQstatus(trusted) == CONNECTION_BAD),
             5000);
    PQfinish(trusted);
    setup_expect_refusal(&setup, (const char *[]){wrong, NULL}, EXIT_UNUSABLE, "password authentication failed", NULL);
    cr_expect_not(daemon_log_contains(setup.relay, "wrong-hb2"));
    setup_run(&setup, (const char *[]){right, NULL});
    cr_expect_not(daemon_log_contains(setup.relay, "right-hb2"));
    free(hba), free(rest), free(text), free(right), free(wrong);
    setup_end(&setup);
}

/* pgbouncer before the server; dies with the test. Returns the override that sends the relay through it. */
static char *
start_pooler(struct setup *setup, const char *mode, const char *ignore)
{
    char *directory = scratch_directory("pgbouncer"), *path = must_format("%s/ini", directory);
    char *users = must_format("%s/users", directory), *log = must_format("%s/log", directory);
    int port = scratch_port();
    char *text = must_format("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"
                             "unix_socket_dir =\nauth_type = trust\nauth_file = %s\npool_mode = %s\n"
                             "ignore_startup_parameters = %s\n",
                             postgres_port(setup->postgres), port, users, mode, ignore);
    struct process_options options = {
        .argv = (const char *[]){"pgbouncer", path, NULL}, .output_path = log, .directory = "/", .death_signal = SIGKILL};
    const struct passwd *user = getpwnam("postgres");
    if (geteuid() == 0 && user != NULL)
        options.uid = user->pw_uid, options.gid = user->pw_gid; /* it refuses to run as root */
    scratch_write_file(path, text);
    scratch_write_file(users, "\"relay\" \"\"\n\"app\" \"\"\n");
    process_start(&options);
    char *conninfo = must_format("host=127.0.0.1 port=%d dbname=%s user=relay", port, setup->database);
    char *override = must_format("postgres/conninfo=\"%s\"", conninfo);
    wait_for(PQping(conninfo) == PQPING_OK, 10000);
    free(directory), free(path), free(users), free(log), free(text), free(conninfo);
    return override;
}

Test(relay_refused, a_pooler_in_between_is_named_whatever_its_mode__row_74)
{
    struct setup setup = setup_begin();
    for (int i = 0; i < 4; i++) {
        char *through = start_pooler(&setup, i % 2 ? "session" : "transaction",
                                     i / 2 ? "extra_float_digits,options" : "extra_float_digits");
        setup_expect_refusal(&setup, (const char *[]){through, NULL}, EXIT_UNUSABLE, "pooler", "direct");
        free(through);
    }
    setup_end(&setup);
}

/* ---- defaults of the role ---- */

static const char *const hostile[] = {
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_read_only = on",
    "default_transaction_deferrable = on",
    "statement_timeout = '50ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '10ms'",
    "idle_session_timeout = '100ms'",
    "client_encoding = 'SQL_ASCII'",
    "\"TimeZone\" = 'Asia/Kathmandu'",
    "\"DateStyle\" = 'German, DMY'",
    "\"IntervalStyle\" = 'sql_standard'",
    "bytea_output = 'escape'",
    "enable_indexscan = off",
    "enable_indexonlyscan = off",
    "enable_sort = off",
    "enable_material = off",
    "enable_nestloop = off",
    "synchronous_commit = off",
    "jit = on",
    "jit_above_cost = 0",
    "force_parallel_mode = on",
    "plan_cache_mode = 'force_custom_plan'",
    "work_mem = '64kB'",
    "client_min_messages = 'error'",
    "extra_float_digits = 0",
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "array_nulls = off",
    "row_security = off",
    "quote_all_identifiers = on",
    "from_collapse_limit = 1",
    "join_collapse_limit = 1",
    "constraint_exclusion = off",
    "enable_partition_pruning = off",
    "cursor_tuple_fraction = 0",
    NULL,
};

/* 200 single events, a tick that is read by COPY, a retained open transaction: every statement of the relay runs. */
static void
expect_works(struct setup *setup)
{
    const char *topic = setup_topic(setup, "hostile", 2, NULL);
    PGconn *holder = postgres_open(setup->postgres, setup->database, POSTGRES_WRITER);
    postgres_exec(holder, "begin; select outbox.emit('%s', 'late', '0')", topic);
    setup_run(setup, NULL);
    for (int i = 0; i < 20; i++)
        postgres_exec(setup->app, "select outbox.emit('%s', 'k', '%d', '{\"h\": \"\\u017e\"}')", topic, i);
    postgres_exec(setup->app, "select outbox.emit_bytes('%s', '\\xff00', '\\x5c00') from generate_series(1, 3000)", topic);
    setup_wait_confirmed(setup, 20000);
    postgres_exec(holder, "commit");
    PQfinish(holder);
    setup_expect_all_once(setup, 20000);
    cr_expect_eq(daemon_metric(setup->relay, "outbox_errors_total{kind=\"postgres\"}"), 0, "the connection broke");
    daemon_kill(setup->relay); /* what the next one reads back goes through other statements */
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '\"last\"')", topic);
    daemon_again(setup->relay);
    setup_wait_confirmed(setup, 20000);
    setup_judge(setup);
}

Test(relay_refused, hostile_defaults_of_the_role_change_nothing__row_74)
{
    struct setup setup = setup_begin();
    for (size_t i = 0; hostile[i] != NULL; i++)
        postgres_exec(setup.admin, "alter role relay in database %s set %s", setup.database, hostile[i]);
    expect_works(&setup);
    setup_end(&setup);
}

static int64_t
waits_for_standby(struct setup *setup)
{
    return postgres_int(setup->admin, "select count(*) from pg_stat_activity where usename = 'relay'"
                                      " and datname = current_database() and wait_event = 'SyncRep'");
}

/* That a wait was cut short is said by a warning: a role that silences warnings must not make the relay deaf. */
Test(relay_refused, a_role_without_warnings_does_not_publish_what_no_standby_has__I3__row_69)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "durable", 1, NULL);
    postgres_exec(setup.admin, "alter role relay set client_min_messages = 'error'");
    postgres_exec(setup.admin, "set synchronous_commit = local");
    setup_run(&setup, NULL);
    postgres_exec(setup.admin, "alter system set synchronous_standby_names = 'missing'");
    postgres_exec(setup.admin, "select pg_reload_conf()");
    wait_for(waits_for_standby(&setup) == 1, 10000); /* a heartbeat */
    postgres_exec(setup.admin, "select outbox.emit('%s', 'k', '1')", topic);
    for (int i = 0; i < 5; i++) {
        int64_t rows = postgres_int(setup.admin, "select count(*) from outbox.journal");
        postgres_exec(setup.admin, "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'relay'"
                                   " and wait_event = 'SyncRep'");
        wait_for(postgres_int(setup.admin, "select count(*) from outbox.journal") > rows, 10000);
        wait_for(waits_for_standby(&setup) == 1, 10000);
    }
    cr_assert_eq(setup_count(&setup), 0, "published although no standby has the tick");
    postgres_exec(setup.admin, "alter system reset synchronous_standby_names");
    postgres_exec(setup.admin, "select pg_reload_conf()");
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

/* Row 87: functions and operators of the application's, found first by whoever does not name the schema. */
Test(relay_refused, a_search_path_with_false_functions_changes_nothing__row_87)
{
    struct setup setup = setup_begin();
    postgres_exec(setup.admin,
                  "create schema evil;"
                  "create function evil.pg_current_xact_id() returns xid8 language sql as $$select '3'::xid8$$;"
                  "create function evil.pg_current_snapshot() returns pg_snapshot language sql as $$select '3:3:'::pg_snapshot$$;"
                  "create function evil.pg_visible_in_snapshot(xid8, pg_snapshot) returns bool language sql as $$select false$$;"
                  "create function evil.clock_timestamp() returns timestamptz language sql as $$select '-infinity'::timestamptz$$;"
                  "create function evil.convert_to(text, name) returns bytea language sql as $$select ''::bytea$$;"
                  "create function evil.ge(xid8, xid8) returns bool language sql as $$select false$$;"
                  "create operator evil.>= (leftarg = xid8, rightarg = xid8, function = evil.ge);"
                  "create function evil.gt(bigint, bigint) returns bool language sql as $$select false$$;"
                  "create operator evil.> (leftarg = bigint, rightarg = bigint, function = evil.gt);"
                  "create table evil.pg_database (datname name, oid oid);"
                  "grant usage on schema evil to public; grant select on evil.pg_database to public");
    postgres_exec(setup.admin, "alter role relay in database %s set search_path = evil, pg_catalog, outbox", setup.database);
    postgres_exec(setup.admin, "alter role app in database %s set search_path = evil, pg_catalog, outbox", setup.database);
    PQreset(setup.app);
    expect_works(&setup);
    setup_end(&setup);
}

/* ---- not the same database ---- */

Test(relay_refused, a_hot_standby_is_refused_until_it_is_promoted__row_61)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "standby", 1, NULL);
    struct postgres *primary = setup.postgres, *standby = postgres_start_standby(primary, "standby");
    char *reason = NULL;
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
    cr_expect_eq(daemon_http(setup.relay, "/health/ready", &reason), 503);
    cr_expect_not_null(strstr(reason, "hot standby mode"), "%s", reason);
    cr_expect_eq(setup_count(&setup), 0);
    postgres_free(primary);
    postgres_promote(standby);
    setup_expect_all_once(&setup, 20000);
    free(reason);
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
    setup_expect_refusal(&setup, NULL, EXIT_BROKEN, "another cluster or database", "Not the same database any more");
    /* the cure: everything comes again */
    postgres_exec(setup.admin, "begin; update outbox.event set xid = default; delete from outbox.journal;"
                               " delete from outbox.relay; commit");
    daemon_again(setup.relay);
    setup_wait_confirmed(&setup, 10000);
    cr_expect_eq(setup_judge(&setup).duplicates, 20);
    free(copy);
    setup_end(&setup);
}
