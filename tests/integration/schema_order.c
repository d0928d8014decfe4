/* schema_order.c: the transaction's number is assigned before the event's id is drawn, however an event is inserted: the
 * relay's reading rests on it. Proven on the real table: when the sequence is used up, drawing an id fails; the savepoint
 * undoes the statement but not the assignment of the number, which must then be there. */
#include "schema_fixture.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCE_LIMIT "2200H"

static bool
has_xid(PGconn *connection)
{
    return postgres_int(connection, "select (pg_current_xact_id_if_assigned() is not null)::int") == 1;
}

/* The SQLSTATE of a COPY of two rows. */
static void
copy_two(PGconn *connection, const char *statement, const char *rows, char sqlstate[6])
{
    PGresult *result = PQexec(connection, statement);
    cr_assert_eq(PQresultStatus(result), PGRES_COPY_IN, "%s: %s", statement, PQresultErrorMessage(result));
    PQclear(result);
    cr_assert_eq(PQputCopyData(connection, rows, (int)strlen(rows)), 1);
    cr_assert_eq(PQputCopyEnd(connection, NULL), 1);
    while ((result = PQgetResult(connection)) != NULL) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        memcpy(sqlstate, state ? state : "00000", 6);
        PQclear(result);
    }
}

static void
expect_xid_first(PGconn *connection, const char *statement, const char *rows)
{
    char sqlstate[6];
    postgres_exec(connection, "begin");
    postgres_exec(connection, "savepoint before");
    if (rows != NULL)
        copy_two(connection, statement, rows, sqlstate);
    else
        memcpy(sqlstate, postgres_sqlstate(connection, "%s", statement), sizeof sqlstate);
    cr_expect_str_eq(sqlstate, SEQUENCE_LIMIT, "%s: %s, it should have failed at the id", statement,
                     sqlstate);
    postgres_exec(connection, "rollback to before");
    cr_expect(has_xid(connection), "%s: the id is drawn before the xid is assigned", statement);
    postgres_exec(connection, "rollback");
}

static void
use_up_sequence(PGconn *admin)
{
    postgres_exec(admin, "insert into outbox.event (topic) values ('first'), ('second')");
    postgres_exec(admin, "alter sequence outbox.event_id_seq maxvalue 2");
}

Test(schema_order, xid_before_id_in_every_kind_of_insert)
{
    static const char *const statements[] = {
        "insert into outbox.event (topic) values ('a')",
        "insert into outbox.event (payload, topic) values ('1', 'a'), ('2', 'b'), ('3', 'c')",
        "insert into outbox.event (topic, key, payload, headers) values ('a', default, '1', default), ('b', "
        "'k', default, null)",
        "insert into outbox.event (topic) select 'a' from generate_series(1, 3)",
        "insert into outbox.event (topic, payload) select 'a', g::text::bytea from generate_series(1, 3) g "
        "order by random()",
        "insert into outbox.event (topic) select distinct 'a' || g from generate_series(1, 3) g",
        "insert into outbox.event (topic) select 'a' union all select 'b'",
        "insert into outbox.event (topic) values ('a') on conflict do nothing",
        "insert into outbox.event (topic) values ('a') returning id",
        "with a as (insert into outbox.event (topic) values ('a') returning id) select * from a",
        "select outbox.emit('a', 'k', '{}')",
        "select outbox.emit_bytes('a', 'k', 'p')",
        "execute one('a')",
        "insert into short_view (topic) values ('a')",
        "insert into short_view (payload, topic) values ('1', 'a'), ('2', 'b')",
        "select through_sql('a')",
        "select through_plpgsql('a')",
    };
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.admin, "grant create on schema public to " POSTGRES_WRITER);
    postgres_exec(outbox.admin, "create view short_view as select topic, payload from outbox.event");
    postgres_exec(outbox.admin, "grant insert on short_view to " POSTGRES_WRITER);
    postgres_exec(outbox.writer, "prepare one(text) as insert into outbox.event (topic) values ($1)");
    postgres_exec(outbox.writer, "create function through_sql(text) returns void language sql as"
                                 " $$ insert into outbox.event (payload, topic) values ('p', $1) $$");
    postgres_exec(outbox.writer, "create function through_plpgsql(text) returns void language plpgsql as"
                                 " $$ begin insert into outbox.event (topic) values ($1); end $$");
    use_up_sequence(outbox.admin);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        expect_xid_first(outbox.writer, statements[i], NULL);
    if (PQserverVersion(outbox.writer) >= 150000)
        expect_xid_first(outbox.admin,
                         "merge into outbox.event using (values ('a')) s(t) on false"
                         " when not matched then insert (topic) values (s.t)",
                         NULL);
    expect_xid_first(outbox.writer, "copy outbox.event (topic, payload) from stdin", "a\t1\nb\t2\n");
    expect_xid_first(outbox.writer, "copy outbox.event (payload, topic) from stdin (format csv)",
                     "1,a\n2,b\n");
    outbox_close(&outbox);
}

/* The control: the probe sees the wrong order, and "generated always" is what prevents it. */
Test(schema_order, generated_by_default_would_draw_the_id_first)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.admin, "alter table outbox.event alter column id set generated by default");
    use_up_sequence(outbox.admin);
    postgres_exec(outbox.admin, "begin");
    postgres_exec(outbox.admin, "savepoint before");
    cr_assert_str_eq(
        postgres_sqlstate(outbox.admin,
                          "insert into outbox.event (topic, id, xid) values ('a', default, default),"
                          " ('b', default, default)"),
        SEQUENCE_LIMIT);
    postgres_exec(outbox.admin, "rollback to before");
    cr_assert_not(has_xid(outbox.admin));
    outbox_close(&outbox);
}

Test(schema_order, ids_follow_the_order_of_inserts_within_a_transaction)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.writer,
                  "insert into outbox.event (topic, payload) values ('a', '1'), ('a', '2'), ('a', '3')");
    postgres_exec(outbox.writer, "insert into outbox.event (topic, payload) select 'a', g::text::bytea"
                                 " from generate_series(4, 6) g order by g");
    char *order = postgres_text(
        outbox.admin, "select string_agg(convert_from(payload, 'UTF8'), '' order by id) from outbox.event");
    cr_assert_str_eq(order, "123456");
    free(order);
    outbox_close(&outbox);
}
