/* schema_privileges.c: what the roles of writers and relays may do, and that they may do nothing else (fault rows 71, 86
 * and 87). The statements are tried, not looked up. */
#include "schema_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define DENIED "42501"
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void
expect(PGconn *connection, const char *sqlstate, const char *const *statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        postgres_exec(connection, "begin");
        const char *got = postgres_sqlstate(connection, "%s", statements[i]);
        cr_expect_str_eq(got, sqlstate, "%s: %s instead of %s", statements[i], got, sqlstate);
        postgres_exec(connection, "rollback");
    }
}

Test(schema_privileges, a_writer_may_insert_events_and_learn_their_ids)
{
    static const char *const allowed[] = {
        "insert into outbox.event (topic) values ('a')",
        "insert into outbox.event (topic, key, payload, headers) values ('a', 'k', 'p', '{\"h\": \"v\"}') "
        "returning id",
        "insert into outbox.event (headers, topic) select null, 'a' from generate_series(1, 3)",
        "insert into outbox.event (topic, payload) values ('a', default), ('b', 'x') on conflict do nothing",
        "insert into outbox.event (topic) overriding user value values ('a')", /* the sequence's id all the same */
        "select outbox.emit('a', 'k', '{}')",
        "select outbox.emit_bytes('a', 'k', 'p', '{\"h\": null}')",
        "select max(id) from outbox.event",
    };
    struct outbox outbox = outbox_open();
    expect(outbox.writer, "00000", allowed, COUNT(allowed));
    outbox_close(&outbox);
}

Test(schema_privileges, a_writer_may_do_nothing_else)
{
    static const char *const forbidden[] = {
        "select payload from outbox.event",
        "select * from outbox.event",
        "insert into outbox.event (topic) values ('a') returning xid",
        "update outbox.event set topic = 'b'",
        "delete from outbox.event",
        "truncate outbox.event",
        "select id from outbox.event for update",
        "lock table outbox.event in share mode",
        "lock table outbox.event_3 in row exclusive mode",
        "insert into outbox.event (topic, xid) values ('a', '3')",
        "insert into outbox.event (topic, slot) values ('a', 3)",
        "insert into outbox.event (topic, created_at) values ('a', now())",
        "insert into outbox.event (topic, id) values ('a', default)",
        "insert into outbox.event (topic, id) overriding system value values ('a', 7)",
        "insert into outbox.event (topic, id) overriding user value values ('a', 7)",
        "insert into outbox.event values ('3', 7, 1, now(), 'a')",
        "copy outbox.event (topic, id) from stdin",
        "copy outbox.event (topic, xid) from stdin",
        "copy outbox.event from stdin",
        "copy outbox.event (topic, payload) to stdout",
        "insert into outbox.event_3 (topic) values ('a')",
        "select id from outbox.event_3",
        "copy outbox.event_3 (topic) from stdin",
        "select nextval('outbox.event_id_seq')",
        "select setval('outbox.event_id_seq', 1)",
        "select last_value from outbox.event_id_seq",
        "alter table outbox.event add column c int",
        "create table outbox.mine ()",
        "create trigger t before insert on outbox.event execute function "
        "pg_catalog.suppress_redundant_updates_trigger()",
        "drop table outbox.event",
        "comment on table outbox.event is 'x'",
        "select * from outbox.journal",
        "insert into outbox.journal (relay, seq) values ('main', 1)",
        "select * from outbox.relay",
        "select * from outbox.schema_version",
        "select outbox.relay_register('main', 'shop', '{*}', '1 h')",
        "select outbox.relay_trouble('main', null)",
        "select outbox.slot_state(1)",
        "select outbox.slot_empty(1)",
        "select outbox.journal_trim('main')",
        "select outbox.relay_add('b', 'shop', '{*}', '1 h', true)",
        "select outbox.relay_retire('main')",
        "select outbox.place()",
        "set role outbox_owner",
        "grant select on outbox.event to public",
    };
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    for (size_t i = 0; i < COUNT(forbidden); i++) {
        postgres_exec(outbox.writer, "begin");
        const char *got = postgres_sqlstate(outbox.writer, "%s", forbidden[i]);
        /* no column list is a column list with everything in it, which Postgres refuses before it looks at rights */
        cr_expect(strcmp(got, DENIED) == 0 || strcmp(got, "428C9") == 0, "%s: %s", forbidden[i], got);
        postgres_exec(outbox.writer, "rollback");
    }
    cr_assert_eq(postgres_int(outbox.admin, "select count(*) from outbox.event"), 0);
    outbox_close(&outbox);
}

Test(schema_privileges, a_relay_may_read_append_and_call_its_functions)
{
    static const char *const allowed[] = {
        "select * from outbox.event",
        "select last_value, is_called from outbox.event_id_seq",
        "select * from outbox.journal",
        "select * from outbox.relay",
        "select * from outbox.schema_version",
        "select outbox.relay_register('main', 'shop', '{*}', '1 h')",
        "select outbox.relay_trouble('main', '{}')",
        "select outbox.slot_state(1)",
        "select outbox.slot_empty(1)",
        "select outbox.journal_trim('main')",
        "select outbox.relay_add('b', 'shop', '{*}', '1 h', true)",
        "select outbox.relay_retire('main')",
    };
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    expect(outbox.relay, "00000", allowed, COUNT(allowed));
    outbox_confirm_all(&outbox, "main");
    outbox_close(&outbox);
}

Test(schema_privileges, a_relay_may_do_nothing_else)
{
    static const char *const forbidden[] = {
        "insert into outbox.event (topic) values ('a')",
        "select outbox.emit('a', 'k', '{}')",
        "select outbox.emit_bytes('a', 'k', 'p')",
        "update outbox.event set topic = 'b'",
        "delete from outbox.event",
        "truncate outbox.event_3",
        "lock table outbox.event_3 in access exclusive mode",
        "select nextval('outbox.event_id_seq')",
        "select setval('outbox.event_id_seq', 1)",
        "update outbox.journal set seq = 2",
        "delete from outbox.journal",
        "truncate outbox.journal",
        "insert into outbox.relay (name, source, topics, retention) values ('b', 's', '{*}', '1 h')",
        "update outbox.relay set retired_at = now()",
        "delete from outbox.relay",
        "update outbox.schema_version set version = 2",
        "create table outbox.mine ()",
        "alter table outbox.event add column c int",
        "drop function outbox.slot_empty(int)",
        "set role outbox_owner",
    };
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    expect(outbox.relay, DENIED, forbidden, COUNT(forbidden));
    outbox_close(&outbox);
}

Test(schema_privileges, a_stranger_may_do_nothing)
{
    static const char *const forbidden[] = {
        "select id from outbox.event",        "insert into outbox.event (topic) values ('a')",
        "select outbox.emit('a', 'k', '{}')", "select * from outbox.journal",
        "select outbox.slot_empty(1)",
    };
    struct outbox outbox = outbox_open();
    PGconn *stranger = outbox_session(&outbox, POSTGRES_STRANGER);
    expect(stranger, DENIED, forbidden, COUNT(forbidden));
    PQfinish(stranger);
    outbox_close(&outbox);
}

/* Row 87: functions, types and tables with the names of those that the outbox uses, in schemas that come first. */
Test(schema_privileges, names_put_in_front_by_a_writer_have_no_effect)
{
    static const char *const traps[] = {
        "create function public.pg_current_xact_id() returns xid8 language sql as $$ select '3'::xid8 $$",
        "create function public.clock_timestamp() returns timestamptz language sql as $$ select "
        "'1970-01-01'::timestamptz $$",
        "create function public.now() returns timestamptz language sql as $$ select "
        "'1970-01-01'::timestamptz $$",
        "create function public.convert_to(text, name) returns bytea language sql as $$ select "
        "'forged'::bytea $$",
        "create function public.octet_length(bytea) returns int language sql as $$ select 0 $$",
        "create function public.octet_length(text) returns int language sql as $$ select 0 $$",
        "create function public.starts_with(text, text) returns bool language sql as $$ select false $$",
        "create function public.jsonb_typeof(jsonb) returns text language sql as $$ select 'object' $$",
        "create function public.yes(text, text) returns bool language sql as $$ select true $$",
        "create operator public.~ (function = public.yes, leftarg = text, rightarg = text)",
        "create temp table event (topic text, key bytea, payload bytea, headers jsonb, id bigint)",
        "create temp table schema_version (slots int)",
        "set search_path = pg_temp, public, outbox, pg_catalog",
    };
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.admin, "grant create on schema public to " POSTGRES_WRITER);
    for (size_t i = 0; i < COUNT(traps); i++)
        postgres_exec(outbox.writer, "%s", traps[i]);
    postgres_exec(outbox.writer, "select outbox.emit('t', 'text', '{}')");
    postgres_exec(outbox.writer, "insert into outbox.event (topic) values ('t')");
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, "insert into outbox.event (topic) values ('no topic')"),
                     "23514");
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, "select outbox.emit('__t', null, null)"), "23514");
    cr_assert_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.event where xid <> '3' and created_at > now() -"
                              " interval '1 h' and (key = 'text' or key is null)"),
                 2);
    cr_assert_eq(postgres_int(outbox.writer, "select count(*) from pg_temp.event"), 0);
    outbox_close(&outbox);
}
