/* relay_hostile.c: refused or survived, never a silent loss: wrong ways in (password, database, poolers) and what a role's defaults
 * or an application's functions could make of the relay's statements. Faults rows 69, 74, 87. */
#include "relay_setup.h"

#include "support/scratch.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_hostile, .timeout = 180);

enum { EXIT_UNUSABLE = 69 };

/* ---- the way in ---- */

Test(relay_hostile, an_unknown_database_and_an_unknown_role_are_refused)
{
    struct setup setup = setup_begin();
    char *database =
        must_format("postgres/conninfo=\"%s\"", postgres_conninfo(setup.postgres, "nowhere", POSTGRES_RELAY));
    char *role =
        must_format("postgres/conninfo=\"%s\"", postgres_conninfo(setup.postgres, setup.database, "nobody"));
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
    char *path = must_format("%s/password", directory),
         *override = must_format("postgres/password_file=\"%s\"", path);
    scratch_write_file(path, password);
    cr_assert_eq(chmod(path, 0600), 0);
    free(directory);
    free(path);
    return override;
}

Test(relay_hostile, a_wrong_password_is_refused_and_neither_is_logged)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    char *hba = must_format("%s/data/pg_hba.conf", postgres_directory(setup.postgres)),
         *rest = scratch_read_file(hba);
    char *text = must_format("host all relay all scram-sha-256\n%s", rest);
    char *right = password_override("right-hb2\n"), *wrong = password_override("wrong-hb2\n");
    scratch_write_file(hba, text);
    postgres_exec(setup.admin, "alter role relay password 'right-hb2'");
    postgres_exec(setup.admin, "select pg_reload_conf()");
    PGconn *trusted = NULL; /* until the server has read the file */
    wait_for((PQfinish(trusted),
              trusted = PQconnectdb(postgres_conninfo(setup.postgres, setup.database, POSTGRES_RELAY)),
              PQstatus(trusted) == CONNECTION_BAD),
             5000);
    PQfinish(trusted);
    setup_expect_refusal(&setup, (const char *[]){wrong, NULL}, EXIT_UNUSABLE,
                         "password authentication failed", NULL);
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
    char *text = must_format(
        "[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"
        "unix_socket_dir =\nauth_type = trust\nauth_file = %s\npool_mode = %s\n"
        "ignore_startup_parameters = %s\n",
        postgres_port(setup->postgres), port, users, mode, ignore);
    struct process_options options = {.argv = (const char *[]){"pgbouncer", path, NULL},
                                      .output_path = log,
                                      .directory = "/",
                                      .death_signal = SIGKILL};
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

Test(relay_hostile, a_pooler_in_between_is_named_whatever_its_mode__row_74)
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
    postgres_exec(setup->app,
                  "select outbox.emit_bytes('%s', '\\xff00', '\\x5c00') from generate_series(1, 3000)",
                  topic);
    setup_wait_confirmed(setup, 20000);
    postgres_exec(holder, "commit");
    PQfinish(holder);
    setup_expect_all_once(setup, 20000);
    cr_expect_eq(daemon_metric(setup->relay, "outbox_errors_total{kind=\"postgres\"}"), 0,
                 "the connection broke");
    daemon_kill(setup->relay); /* what the next one reads back goes through other statements */
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', '\"last\"')", topic);
    daemon_again(setup->relay);
    setup_wait_confirmed(setup, 20000);
    setup_judge(setup);
}

Test(relay_hostile, hostile_defaults_of_the_role_change_nothing__row_74)
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
Test(relay_hostile, a_role_without_warnings_does_not_publish_what_no_standby_has__I3__row_69)
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
        postgres_exec(setup.admin,
                      "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'relay'"
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
Test(relay_hostile, a_search_path_with_false_functions_changes_nothing__row_87)
{
    struct setup setup = setup_begin();
    postgres_exec(
        setup.admin,
        "create schema evil;"
        "create function evil.pg_current_xact_id() returns xid8 language sql as $$select '3'::xid8$$;"
        "create function evil.pg_current_snapshot() returns pg_snapshot language sql as $$select "
        "'3:3:'::pg_snapshot$$;"
        "create function evil.pg_visible_in_snapshot(xid8, pg_snapshot) returns bool language sql as "
        "$$select false$$;"
        "create function evil.clock_timestamp() returns timestamptz language sql as $$select "
        "'-infinity'::timestamptz$$;"
        "create function evil.convert_to(text, name) returns bytea language sql as $$select ''::bytea$$;"
        "create function evil.ge(xid8, xid8) returns bool language sql as $$select false$$;"
        "create operator evil.>= (leftarg = xid8, rightarg = xid8, function = evil.ge);"
        "create function evil.gt(bigint, bigint) returns bool language sql as $$select false$$;"
        "create operator evil.> (leftarg = bigint, rightarg = bigint, function = evil.gt);"
        "create table evil.pg_database (datname name, oid oid);"
        "grant usage on schema evil to public; grant select on evil.pg_database to public");
    postgres_exec(setup.admin, "alter role relay in database %s set search_path = evil, pg_catalog, outbox",
                  setup.database);
    postgres_exec(setup.admin, "alter role app in database %s set search_path = evil, pg_catalog, outbox",
                  setup.database);
    PQreset(setup.app);
    expect_works(&setup);
    setup_end(&setup);
}

/* All that is left to whoever may only write: locks that are nobody's, messages that nobody hears, an event that never commits. */
Test(relay_hostile, advisory_locks_NOTIFY_and_an_open_transaction_of_a_writer_harm_nobody__P4__row_86)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "calm", 2, NULL);
    PGconn *pest = postgres_open(setup.postgres, setup.database, POSTGRES_WRITER);
    setup_run(&setup, NULL);
    postgres_exec(pest, "select pg_advisory_lock(i), pg_advisory_lock(i, i) from generate_series(0, 2000) i");
    postgres_exec(pest, "select pg_advisory_lock(oid::bigint) from pg_class");
    postgres_exec(pest, "select pg_notify(channel, repeat('x', 7000)) from generate_series(1, 500),"
                        " unnest(array['outbox', 'outboxd', 'event', 'journal', 'main']) channel");
    postgres_exec(pest, "begin; insert into outbox.event (topic) values ('%s')", topic);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '1') from generate_series(1, 100)", topic);
    wait_for(setup_count(&setup) == 100, 10000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    daemon_again(setup.relay);
    daemon_wait_ready(setup.relay);
    postgres_migrate(setup.postgres, setup.database);
    postgres_exec(pest, "rollback");
    PQfinish(pest);
    setup_expect_all_once(&setup, 10000);
    setup_end(&setup);
}
