/* schema_forbidden.c: what neither a writer nor a relay nor a stranger may do to the outbox (rows 86 and 87). Tables, sequences and
 * functions are those that the catalog names, so one that is added later is tried, too; each statement is tried, not looked up. */
#include "schema_fixture.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define DENIED "42501"
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const char *const roles[] = {POSTGRES_WRITER, POSTGRES_RELAY, POSTGRES_STRANGER};

static void
expect_denied(PGconn *connection, const char *statement)
{
    postgres_exec(connection, "begin");
    const char *got = postgres_sqlstate(connection, "%s", statement);
    cr_expect_str_eq(got, DENIED, "%s: %s: %s", PQuser(connection), statement, got);
    postgres_exec(connection, "rollback");
}

/* Each of the statements that this query of the administrator gives; at least `least` of them. */
static void
expect_all_denied(struct outbox *outbox, const char *role, int least, const char *query)
{
    PGconn *connection = outbox_session(outbox, role);
    PGresult *statements = PQexec(outbox->admin, query);
    cr_assert_eq(PQresultStatus(statements), PGRES_TUPLES_OK, "%s", PQerrorMessage(outbox->admin));
    cr_assert_geq(PQntuples(statements), least);
    for (int i = 0; i < PQntuples(statements); i++)
        expect_denied(connection, PQgetvalue(statements, i, 0));
    PQclear(statements);
    PQfinish(connection);
}

/* ---- objects ---- */

/* "select outbox.emit(null::text, ..)" of each function whose name is not among these. */
static void
expect_functions_denied(struct outbox *outbox, const char *role, int least, const char *allowed)
{
    char *query =
        must_format("select format('select outbox.%%I(%%s)', p.proname, (select string_agg('null::' ||"
                    " format_type(t.type, null), ', ' order by t.at) from unnest(p.proargtypes)"
                    " with ordinality t(type, at))) from pg_proc p"
                    " where p.pronamespace = 'outbox'::regnamespace and p.proname <> all ('{%s}')",
                    allowed);
    expect_all_denied(outbox, role, least, query);
    free(query);
}

Test(schema_forbidden, each_function_is_for_those_whom_it_is_for__row_86)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    expect_functions_denied(&outbox, POSTGRES_WRITER, 10, "emit,emit_bytes");
    expect_functions_denied(&outbox, POSTGRES_RELAY, 7,
                            "relay_register,relay_trouble,slot_state,slot_empty,journal_trim,relay_add,relay_"
                            "retire,sequence_pass,"
                            "put_aside,request_settle,topic_settle,side_apply,dead_retry,dead_discard,replay,"
                            "request_cancel,pause,"
                            "resume");
    expect_functions_denied(&outbox, POSTGRES_STRANGER, 12, "");
    outbox_close(&outbox);
}

/* Every act on every table but these; a column is enough to be refused for. */
static void
expect_tables_denied(struct outbox *outbox, const char *role, const char *acts, const char *excepted)
{
    char *query = must_format(
        "select format(act, c.oid::regclass, (select quote_ident(attname) from pg_attribute"
        " where attrelid = c.oid and attnum = 1)) from pg_class c cross join unnest(array[%s]) act"
        " where c.relnamespace = 'outbox'::regnamespace and c.relkind in ('r', 'p')"
        " and c.relname <> all ('{%s}')",
        acts, excepted);
    expect_all_denied(outbox, role, 10, query);
    free(query);
}

#define WRITE_ACTS                                                                                           \
    "'update %1$s set %2$I = null', 'delete from %1$s', 'truncate %1$s',"                                    \
    " 'lock table %1$s in exclusive mode', 'lock table %1$s in access exclusive mode',"                      \
    " 'select 1 from %1$s for update', 'select 1 from %1$s for key share'"
#define READ_ACTS                                                                                            \
    "'select * from %1$s', 'copy %1$s to stdout', 'lock table %1$s in access share mode',"                   \
    " 'copy (select * from %1$s) to stdout'"
#define INSERT_ACTS "'insert into %1$s default values', 'copy %1$s from stdin'"

Test(schema_forbidden, each_table_is_changed_by_its_owner_alone__row_86)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    for (size_t i = 0; i < COUNT(roles); i++)
        expect_tables_denied(&outbox, roles[i], WRITE_ACTS, "");
    expect_tables_denied(&outbox, POSTGRES_WRITER, READ_ACTS, "");
    expect_tables_denied(&outbox, POSTGRES_STRANGER, READ_ACTS "," INSERT_ACTS, "");
    /* no column list is one with everything in it, which of an identity column is refused as a mistake */
    expect_tables_denied(&outbox, POSTGRES_WRITER, INSERT_ACTS, "event");
    expect_tables_denied(&outbox, POSTGRES_RELAY, INSERT_ACTS, "journal");
    outbox_close(&outbox);
}

/* ---- acts ---- */

/* The owner's, or the administrator's. */
static const char *const acts[] = {
    "select nextval('outbox.event_id_seq')",
    "select setval('outbox.event_id_seq', 1)",
    "select setval('outbox.event_id_seq', 1, false)",
    "alter sequence outbox.event_id_seq restart",
    "alter sequence outbox.event_id_seq cache 20",
    "alter table outbox.event alter column id restart",
    "alter table outbox.event alter column id set generated by default",
    "alter table outbox.event alter column created_at drop default",
    "alter table outbox.event drop constraint event_topic_legal",
    "alter table outbox.event enable row level security",
    "alter table outbox.event disable trigger all",
    "alter table outbox.event detach partition outbox.event_0",
    "alter table outbox.event owner to stranger",
    "alter table outbox.journal add column c int",
    "alter table outbox.journal set (fillfactor = 50)",
    "alter function outbox.emit(text, text, jsonb, jsonb) security invoker",
    "alter function outbox.emit(text, text, jsonb, jsonb) set search_path = public",
    "alter function outbox.slot_empty(integer) owner to stranger",
    "alter schema outbox rename to mine",
    "create or replace function outbox.emit(topic text, key text, payload jsonb, headers jsonb default '{}')"
    " returns bigint language sql as 'select 1::bigint'",
    "create function outbox.mine() returns int language sql as 'select 1'",
    "create operator outbox.= (function = pg_catalog.texteq, leftarg = text, rightarg = text)",
    "create table outbox.mine ()",
    "create view outbox.mine as select 1 as one",
    "create type outbox.mine as (one int)",
    "create sequence outbox.mine",
    "create index on outbox.event (topic)",
    "create unique index on outbox.journal (nonce)",
    "create statistics mine on xid, topic from outbox.event",
    "create rule mine as on insert to outbox.event do instead nothing",
    "create policy mine on outbox.event using (true)",
    "create trigger mine before insert on outbox.event execute function"
    " pg_catalog.suppress_redundant_updates_trigger()",
    "create trigger mine before insert on outbox.journal execute function"
    " pg_catalog.suppress_redundant_updates_trigger()",
    "create publication mine for table outbox.event",
    "create extension dblink",
    "drop table outbox.event",
    "drop table outbox.event_0",
    "drop table outbox.journal",
    "drop index outbox.journal_pkey",
    "drop function outbox.slot_empty(integer)",
    "drop schema outbox cascade",
    "comment on function outbox.slot_empty(integer) is 'x'",
    "reindex table outbox.event_0",
    "grant outbox_owner to stranger",
    "grant outbox_relay to stranger",
    "set role outbox_owner",
    "set role postgres",
    "set session authorization postgres",
    "set session_replication_role = replica",
    "alter role relay superuser",
    "alter role postgres password 'x'",
    "copy outbox.event (topic) from program 'id'",
    "copy (select 1) to program 'id'",
    "copy (select 1) to '/tmp/outboxd-forbidden'",
};

/* Refused with an error, or with a warning that nothing was granted. */
static const char *const gifts[] = {
    "grant select on outbox.event to stranger",
    "grant insert on outbox.journal to stranger",
    "grant usage on schema outbox to stranger",
    "grant execute on function outbox.slot_empty(integer) to stranger",
    "grant usage on schema evil to public",
    "grant all on all tables in schema outbox to stranger",
    "grant all on all functions in schema outbox to public",
    "revoke all on outbox.event from app",
};

Test(schema_forbidden, what_is_the_owners_business_is_nobody_elses__row_86)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    char *before = outbox_fingerprint(outbox.admin);
    for (size_t role = 0; role < COUNT(roles); role++) {
        PGconn *connection = outbox_session(&outbox, roles[role]);
        for (size_t i = 0; i < COUNT(acts); i++)
            expect_denied(connection, acts[i]);
        for (size_t i = 0; i < COUNT(gifts); i++)
            (void)postgres_sqlstate(connection, "%s", gifts[i]);
        PQfinish(connection);
    }
    char *after = outbox_fingerprint(outbox.admin);
    cr_expect_str_eq(before, after);
    free(after), free(before);
    outbox_close(&outbox);
}

/* A role can end sessions of its own only, and read what they are doing. */
Test(schema_forbidden, the_sessions_of_a_relay_are_its_own__row_86)
{
    static const char *const others[] = {POSTGRES_WRITER, POSTGRES_STRANGER};
    struct outbox outbox = outbox_open();
    for (size_t i = 0; i < COUNT(others); i++) {
        PGconn *connection = outbox_session(&outbox, others[i]);
        char *end = must_format("select pg_terminate_backend(%d)", PQbackendPID(outbox.relay)),
             *stop = must_format("select pg_cancel_backend(%d)", PQbackendPID(outbox.relay));
        expect_denied(connection, end);
        expect_denied(connection, stop);
        free(stop), free(end);
        PQfinish(connection);
    }
    postgres_exec(outbox.relay, "select 1");
    outbox_close(&outbox);
}

/* ---- a hostile search_path ---- */

/* Functions that run with the owner's rights, called by a relay in whose path others come first, among them its own temporary
 * tables: what they do is the same. */
Test(schema_forbidden, names_in_front_have_no_effect_on_what_runs_with_the_owners_rights__row_87)
{
    static const char *const traps[] = {
        "create schema evil",
        "create function evil.pg_current_xact_id() returns xid8 language sql as $$select '3'::xid8$$",
        "create function evil.pg_current_snapshot() returns pg_snapshot language sql as"
        " $$select '3:3:'::pg_snapshot$$",
        "create function evil.pg_visible_in_snapshot(xid8, pg_snapshot) returns bool language sql as"
        " $$select true$$",
        "create function evil.clock_timestamp() returns timestamptz language sql as"
        " $$select 'infinity'::timestamptz$$",
        "create function evil.now() returns timestamptz language sql as $$select 'infinity'::timestamptz$$",
        "create function evil.yes(timestamptz, timestamptz) returns bool language sql as $$select true$$",
        "create operator evil.< (function = evil.yes, leftarg = timestamptz, rightarg = timestamptz)",
        "create operator evil.> (function = evil.yes, leftarg = timestamptz, rightarg = timestamptz)",
        "create function evil.same(text, text) returns bool language sql as $$select true$$",
        "create operator evil.= (function = evil.same, leftarg = text, rightarg = text)",
        "create function evil.format(text, variadic \"any\") returns text language internal as 'text_format'",
        "create table evil.event (slot smallint)",
        "create table evil.journal (relay text)",
        "grant all on all tables in schema evil to public",
    };
    static const char *const own[] = {
        "create temp table event (slot smallint, created_at timestamptz)",
        "create temp table event_0 ()",
        "create temp table journal (relay text, seq bigint)",
        "create temp table relay (name text)",
        "create temp table schema_version (version int)",
        "create temp table pg_class (relname text)",
        "set search_path = pg_temp, evil, outbox, pg_catalog",
    };
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    for (size_t i = 0; i < COUNT(traps); i++)
        postgres_exec(outbox.admin, "%s", traps[i]);
    postgres_exec(outbox.writer, "select outbox.emit('t', 'k', '1') from generate_series(1, 5)");
    for (size_t i = 0; i < COUNT(own); i++)
        postgres_exec(outbox.relay, "%s", own[i]);
    postgres_exec(outbox.relay, "select outbox.slot_empty(slot) from generate_series(0, 11) slot");
    postgres_exec(outbox.relay, "select outbox.relay_trouble('other', '{}'), outbox.journal_trim('main')");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.event"), 5, "a slot was emptied");
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.relay where trouble is not null"),
                 0);
    cr_expect_eq(postgres_int(outbox.admin, "select count(*) from outbox.journal"), 1);
    cr_expect_eq(postgres_int(outbox.relay, "select (select count(*) from pg_temp.event) +"
                                            " (select count(*) from pg_temp.journal)"),
                 0);
    outbox_close(&outbox);
}
