/* schema_migrate.c: `outboxd migrate` can be run by any administrator, at any time, any number of times, and leaves a schema
 * that belongs to its owner and to nobody else. */
#include "schema_fixture.h"

#include "command/command.h"
#include "support/postgres_standby.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROLE_ODD "Re\"l 'ay \\ \xc3\xa9" /* what a shell or an SQL literal would trip over */

Test(schema_migrate, twice_is_the_same_as_once)
{
    struct outbox outbox = outbox_open();
    char *once = outbox_fingerprint(outbox.admin);
    struct schema_wish wish = outbox_wish();
    outbox_migrate(outbox.server, outbox.database, POSTGRES_ADMIN, &wish);
    char *twice = outbox_fingerprint(outbox.admin);
    cr_assert_str_eq(once, twice);
    cr_assert(strstr(once, "function CREATE OR REPLACE FUNCTION outbox.emit(") != NULL,
              "the fingerprint sees functions");
    free(once);
    free(twice);
    outbox_close(&outbox);
}

/* Runs the command in this process with its standard output in a file. */
static int
run_command(const char *output, int argc, char **argv)
{
    cr_assert(freopen(output, "w", stdout) != NULL);
    int exit_code = command_migrate(argc, argv);
    fflush(stdout);
    return exit_code;
}

Test(schema_migrate, printed_sql_applied_by_psql_makes_the_same_schema)
{
    struct outbox outbox = outbox_open();
    const char *other = postgres_create_database(outbox.server);
    char *directory = scratch_directory("print");
    char *script = must_format("%s/script.sql", directory);
    char *argv[] = {"migrate", "--print", "--writer", POSTGRES_WRITER, "--relay", POSTGRES_RELAY, NULL};
    cr_assert_eq(run_command(script, 6, argv), 0);
    const char *psql[] = {
        "psql", "-X", "-q", "-f", script, postgres_conninfo(outbox.server, other, POSTGRES_ADMIN), NULL};
    for (int time = 0; time < 2; time++) /* it may be applied again, like migrate */
        cr_assert_eq(process_run(&(struct process_options){.argv = psql, .output_path = "/dev/null"}, 30000),
                     0);

    PGconn *there = postgres_open(outbox.server, other, POSTGRES_ADMIN);
    char *migrated = outbox_fingerprint(outbox.admin), *printed = outbox_fingerprint(there);
    cr_assert_str_eq(migrated, printed);
    free(migrated);
    free(printed);
    PQfinish(there);
    free(script);
    scratch_remove_tree(directory);
    free(directory);
    outbox_close(&outbox);
}

Test(schema_migrate, needs_no_superuser_and_makes_what_is_missing)
{
    struct postgres *server = postgres_start(NULL);
    PGconn *root = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(root, "create role dba login createrole");
    postgres_exec(root, "create database bank");
    postgres_exec(root, "grant create on database bank to dba");
    static const char *const writers[] = {POSTGRES_WRITER, "new \"app\""}, *const relays[] = {ROLE_ODD};
    struct schema_wish wish = {.logins = {[SCHEMA_WRITERS] = {writers, 2}, [SCHEMA_RELAYS] = {relays, 1}},
                               .create_roles = true};
    outbox_migrate(server, "bank", "dba", &wish);
    outbox_migrate(server, "bank", "dba", &wish);
    cr_assert_eq(
        postgres_int(root, "select count(*) from pg_roles where rolname in ('outbox_owner', 'outbox_writer',"
                           " 'outbox_relay') and not rolcanlogin"),
        3);
    cr_assert_eq(
        postgres_int(root, "select count(*) from pg_roles where rolcanlogin and not rolsuper and rolname in"
                           " ('new \"app\"', e'Re\"l ''ay \\\\ \\u00e9')"),
        2, "role names are taken literally");
    PGconn *app = postgres_open(server, "bank", POSTGRES_WRITER);
    postgres_exec(app, "select outbox.emit('welcome', 'k', '{}')");
    PGconn *dba = postgres_open(server, "bank", "dba");
    cr_assert_eq(postgres_int(dba, "select count(*) from pg_namespace where nspname = 'outbox' and"
                                   " nspowner = 'outbox_owner'::regrole"),
                 1);
    PQfinish(dba);
    PQfinish(app);
    PQfinish(root);
    postgres_free(server);
}

Test(schema_migrate, says_which_right_the_administrator_lacks)
{
    struct postgres *server = postgres_start(NULL);
    PGconn *root = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(root, "create role dba login createrole");
    struct schema_wish wish = {.create_roles = true};
    struct error error;
    cr_assert_not(
        schema_migrate(postgres_conninfo(server, "postgres", "dba"), &wish, NULL, NULL, NULL, &error));
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
    cr_assert(strstr(error.message, "grant create on database postgres to dba") != NULL, "%s", error.message);
    cr_assert_eq(postgres_int(root, "select count(*) from pg_roles where rolname like 'outbox%%'"), 0,
                 "nothing is left of a failed migration");
    PQfinish(root);
    postgres_free(server);
}

Test(schema_migrate, without_making_roles_it_grants_to_the_named_ones)
{
    struct postgres *server = postgres_start(NULL);
    PGconn *root = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(root, "create role managed_owner");
    postgres_exec(root, "create role dba login in role managed_owner");
    postgres_exec(root, "create database bank");
    postgres_exec(root, "grant create on database bank to dba");
    static const char *const writers[] = {POSTGRES_WRITER}, *const relays[] = {POSTGRES_RELAY};
    struct schema_wish wish = {.owner = "managed_owner",
                               .logins = {[SCHEMA_WRITERS] = {writers, 1}, [SCHEMA_RELAYS] = {relays, 1}}};
    outbox_migrate(server, "bank", "dba", &wish);
    /* an upgrade that names nobody takes nothing away */
    outbox_migrate(server, "bank", "dba", &(struct schema_wish){.owner = "managed_owner"});

    cr_assert_eq(postgres_int(root, "select count(*) from pg_roles where rolname like 'outbox%%'"), 0);
    cr_assert_eq(
        postgres_int(root, "select count(*) from pg_auth_members where roleid = 'managed_owner'::regrole"),
        1);
    PGconn *app = postgres_open(server, "bank", POSTGRES_WRITER),
           *relay = postgres_open(server, "bank", POSTGRES_RELAY);
    postgres_exec(app, "insert into outbox.event (topic) values ('welcome')");
    cr_assert_eq(postgres_int(relay, "select count(*) from outbox.event"), 1);

    const char *nobody[] = {"nobody here"};
    wish.logins[SCHEMA_WRITERS].names = nobody;
    cr_assert(strstr(outbox_migrate_refused(server, "bank", &wish), "role \"nobody here\" does not exist") !=
              NULL);
    PQfinish(app);
    PQfinish(relay);
    PQfinish(root);
    postgres_free(server);
}

/* The owner of the database has laid a trap: a function of its own where the administrator would look. */
Test(schema_migrate, a_schema_that_somebody_else_has_made_before_is_refused_and_nothing_of_it_is_run)
{
    struct postgres *server = postgres_shared();
    const char *database = postgres_create_database(server);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    postgres_exec(admin, "create schema outbox authorization " POSTGRES_STRANGER);
    postgres_exec(admin, "create table outbox.sprung (by name)");
    postgres_exec(admin, "create function outbox.spring() returns int language sql security definer as"
                         " 'insert into outbox.sprung values (current_user) returning 1'");
    postgres_exec(
        admin, "create view outbox.schema_version as select outbox.spring() as version, 1 as readable_since");
    postgres_exec(admin, "alter view outbox.schema_version owner to " POSTGRES_STRANGER);
    const char *said = outbox_migrate_refused(server, database, &(struct schema_wish){.create_roles = true});
    cr_assert(strstr(said, "is not outboxd's") != NULL, "%s", said);
    postgres_exec(admin, "drop view outbox.schema_version;"
                         " create table outbox.schema_version (version int, readable_since int)");
    said = outbox_migrate_refused(server, database, &(struct schema_wish){.create_roles = true});
    cr_assert(strstr(said, "belongs to " POSTGRES_STRANGER) != NULL, "%s", said);
    cr_assert_eq(postgres_int(admin, "select count(*) from outbox.sprung"), 0);
    PQfinish(admin);
    postgres_free(server);
}

Test(schema_migrate, takes_from_everybody_else_what_they_had)
{
    struct postgres *server = postgres_shared();
    const char *database = postgres_create_database(server);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    char *owner = must_format("owner_%s", database);
    postgres_exec(admin, "create role \"%s\"", owner);
    postgres_exec(admin, "alter default privileges for role \"%s\" grant all on tables to " POSTGRES_STRANGER,
                  owner);
    postgres_exec(admin,
                  "alter default privileges for role \"%s\" grant all on functions to " POSTGRES_STRANGER,
                  owner);
    postgres_exec(admin, "alter default privileges for role \"%s\" grant all on sequences to public", owner);
    struct schema_wish wish = outbox_wish();
    wish.owner = owner;
    for (int time = 0; time < 2; time++) {
        outbox_migrate(server, database, POSTGRES_ADMIN, &wish);
        cr_assert_eq(
            postgres_int(admin,
                         "select count(*) from ("
                         " select relacl as acl from pg_class where relnamespace = 'outbox'::regnamespace"
                         " union all select attacl from pg_attribute a join pg_class c on c.oid = attrelid"
                         "   where relnamespace = 'outbox'::regnamespace"
                         " union all select nspacl from pg_namespace where nspname = 'outbox'"
                         " union all select coalesce(proacl, acldefault('f', proowner)) from pg_proc"
                         "   where pronamespace = 'outbox'::regnamespace) a cross join aclexplode(acl) i"
                         " where grantee in (0, '" POSTGRES_STRANGER "'::regrole)"),
            0);
        postgres_exec(admin, "grant usage, create on schema outbox to " POSTGRES_STRANGER);
        postgres_exec(admin, "grant select on outbox.event to public");
        postgres_exec(admin,
                      "grant update (payload) on outbox.event to " POSTGRES_STRANGER " with grant option");
        postgres_exec(admin, "grant truncate on outbox.event_3 to outbox_writer");
    }
    outbox_migrate(server, database, POSTGRES_ADMIN, &wish);
    cr_assert_eq(
        postgres_int(admin, "select has_table_privilege('outbox_writer', 'outbox.event_3', 'truncate')::int"),
        0);
    free(owner);
    PQfinish(admin);
    postgres_free(server);
}

Test(schema_migrate, leaves_a_foreign_schema_alone)
{
    struct postgres *server = postgres_shared();
    const char *database = postgres_create_database(server);
    PGconn *admin = postgres_open(server, database, POSTGRES_ADMIN);
    postgres_exec(admin, "create schema outbox");
    postgres_exec(admin, "create table outbox.event (id int)");
    struct schema_wish wish = outbox_wish();
    const char *message = outbox_migrate_refused(server, database, &wish);
    cr_assert(strstr(message, "is not outboxd's") != NULL, "%s", message);
    cr_assert_eq(
        postgres_int(admin, "select count(*) from pg_class where relnamespace = 'outbox'::regnamespace"), 1);
    PQfinish(admin);
    postgres_free(server);
}

Test(schema_migrate, refuses_a_newer_schema_and_another_owner)
{
    struct outbox outbox = outbox_open();
    struct schema_wish wish = outbox_wish();
    wish.owner = "somebody";
    const char *message = outbox_migrate_refused(outbox.server, outbox.database, &wish);
    cr_assert(strstr(message, "use --owner outbox_owner") != NULL, "%s", message);
    wish.owner = NULL;
    postgres_exec(outbox.admin, "update outbox.schema_version set version = 99");
    message = outbox_migrate_refused(outbox.server, outbox.database, &wish);
    cr_assert(strstr(message, "the schema is at version 99, and this outboxd knows versions up to") != NULL,
              "%s", message);
    outbox_close(&outbox);
}

Test(schema_migrate, refuses_a_standby_and_an_encoding_without_utf8)
{
    struct postgres *server = postgres_start(NULL);
    PGconn *admin = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(admin, "create database ascii encoding 'SQL_ASCII' locale 'C' template template0");
    struct schema_wish wish = outbox_wish();
    const char *message = outbox_migrate_refused(server, "ascii", &wish);
    cr_assert(strstr(message, "SQL_ASCII") != NULL, "%s", message);

    struct postgres *standby = postgres_start_standby(server, "second");
    message = outbox_migrate_refused(standby, "postgres", &wish);
    cr_assert(strstr(message, "this server is a standby") != NULL, "%s", message);
    PQfinish(admin);
    postgres_free(standby);
    postgres_free(server);
}

Test(schema_migrate, refuses_role_names_that_mean_something_else)
{
    static const char long_name[] =
        "r123456789r123456789r123456789r123456789r123456789r123456789r123"; /* 64 */
    static const char *const bad[] = {"public",   "none",    "pg_monitor",  "",
                                      "\xff\xfe", long_name, "outbox_owner"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct schema_wish wish = {.logins[SCHEMA_WRITERS] = {&bad[i], 1}, .create_roles = true};
        struct error error;
        char *script;
        cr_assert_not(schema_script(&script, &wish, &error), "%s", bad[i]);
        cr_assert_eq(error.kind, ERROR_USAGE);
    }
}

Test(schema_migrate, command_line_mistakes_exit_64)
{
    char nonsense[] = "nonsense=1"; /* is overwritten */
    char *none[] = {"migrate", NULL}, *unknown[] = {"migrate", "--frobnicate", NULL},
         *extra[] = {"migrate", "--print", "more", NULL}, *incomplete[] = {"migrate", "--conninfo", NULL},
         *conninfo[] = {"migrate", "--conninfo", nonsense, NULL};
    cr_assert_eq(command_migrate(1, none), 64);
    cr_assert_eq(command_migrate(2, unknown), 64);
    cr_assert_eq(command_migrate(3, extra), 64);
    cr_assert_eq(command_migrate(2, incomplete), 64);
    cr_assert_eq(command_migrate(3, conninfo), 64);
}

Test(schema_migrate, command_says_what_it_did_and_exits_69_without_a_server)
{
    struct postgres *server = postgres_shared();
    char *conninfo = must_strdup(postgres_conninfo(server, postgres_create_database(server), POSTGRES_ADMIN));
    char *directory = scratch_directory("command");
    char *output = must_format("%s/output", directory);
    char *argv[] = {"migrate", "--conninfo", conninfo, "--writer", POSTGRES_WRITER, NULL};
    cr_assert_eq(run_command(output, 5, argv), 0);
    char *text = scratch_read_file(output);
    cr_assert(strstr(text, "created schema outbox\n") && strstr(text, "applied 001_outbox\n") &&
                  strstr(text, "outbox_writer may write events\n"),
              "%s", text);
    char nobody[] = "host=127.0.0.1 port=1 connect_timeout=2",
         *away[] = {"migrate", "--conninfo", nobody, NULL};
    cr_assert_eq(command_migrate(3, away), 69);
    free(text);
    free(output);
    scratch_remove_tree(directory);
    free(directory);
    free(conninfo);
    postgres_free(server);
}

/* P4: no lock that a business transaction could meet, and no waiting behind one. */
Test(schema_migrate, goes_on_while_events_are_being_written)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.writer, "begin");
    postgres_exec(outbox.writer, "insert into outbox.event (topic) values ('open')");
    struct schema_wish wish = outbox_wish();
    outbox_migrate(outbox.server, outbox.database, POSTGRES_ADMIN, &wish);
    postgres_exec(outbox.writer, "insert into outbox.event (topic) values ('open')");
    postgres_exec(outbox.writer, "commit");
    outbox_close(&outbox);
}

struct migration {
    char *conninfo;
    struct error error;
    bool done;
    int blocker, named; /* the process in the way; how often it was said to be */
};

static void
hear_blocker(void *context, const char *line)
{
    struct migration *migration = context;
    char *process = must_format("waiting for process %d (user ", migration->blocker);
    migration->named += strstr(line, process) != NULL;
    free(process);
}

static void *
migrate_in_thread(void *context)
{
    struct migration *migration = context;
    struct schema_wish wish = outbox_wish();
    migration->done =
        schema_migrate(migration->conninfo, &wish, NULL, hear_blocker, migration, &migration->error);
    return NULL;
}

Test(schema_migrate, tries_again_until_a_lock_is_free_and_says_who_holds_it)
{
    struct outbox outbox = outbox_open();
    struct migration migration = {
        .conninfo = must_strdup(postgres_conninfo(outbox.server, outbox.database, POSTGRES_ADMIN)),
        .blocker = PQbackendPID(outbox.admin)};
    postgres_exec(outbox.admin, "begin");
    postgres_exec(outbox.admin, "lock table outbox.schema_version in access exclusive mode");
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, migrate_in_thread, &migration), 0);
    wait_for(migration.named > 1, 10000);
    postgres_exec(outbox.admin, "commit");
    pthread_join(thread, NULL);
    cr_assert(migration.done, "%s", migration.error.message);
    free(migration.conninfo);
    outbox_close(&outbox);
}

Test(schema_migrate, several_at_once_all_succeed)
{
    struct postgres *server = postgres_start(NULL); /* roles are common to all databases of a server */
    const char *one = postgres_create_database(server), *two = postgres_create_database(server);
    struct migration migrations[6];
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        migrations[i] = (struct migration){
            .conninfo = must_strdup(postgres_conninfo(server, i % 2 ? one : two, POSTGRES_ADMIN))};
        cr_assert_eq(pthread_create(&threads[i], NULL, migrate_in_thread, &migrations[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(migrations[i].done, "%s", migrations[i].error.message);
        free(migrations[i].conninfo);
    }
    postgres_free(server);
}
