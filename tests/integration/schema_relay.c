/* schema_relay.c: the registry: one first relay, its first journal row, and what a leader writes beside it. */
#include "schema_fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CONTENDERS 8

Test(schema_relay, the_first_relay_begins_at_the_beginning)
{
    struct outbox outbox = outbox_open();
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'shop', '{a.*,b}', '24 h')::int"),
        1);
    char *relay = postgres_text(
        outbox.relay, "select format('%%s %%s %%s %%s %%s', name, source, topics, retention, paused)"
                      " from outbox.relay where retired_at is null and trouble is null");
    cr_assert_str_eq(relay, "main shop {a.*,b} 24:00:00 f");
    char *row = postgres_text(
        outbox.relay,
        "select format('%%s %%s %%s %%s %%s %%s %%s %%s %%s %%s %%s', relay, seq, epoch, holder, snapshot,"
        " w, lo_id, hi_id, confirmed_seq, confirmed_id is null, released) from outbox.journal");
    cr_assert_str_eq(row, "main 0 0 boot 3:3: 3 0 0 0 t t");
    cr_assert_eq(postgres_int(outbox.admin,
                              "select count(*) from outbox.journal where sysid = (select system_identifier"
                              " from pg_control_system()) and timeline = (select timeline_id from"
                              " pg_control_checkpoint()) and dbid = (select oid from pg_database where"
                              " datname = current_database()) and nonce <> 0"),
                 1);
    free(relay);
    free(row);
    outbox_close(&outbox);
}

Test(schema_relay, a_known_relay_is_updated_and_its_journal_left_alone)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    int64_t nonce = postgres_int(outbox.relay, "select nonce from outbox.journal");
    char *version = postgres_text(outbox.admin, "select xmin from outbox.relay");
    outbox_register(&outbox);
    char *again = postgres_text(outbox.admin, "select xmin from outbox.relay");
    cr_assert_str_eq(version, again, "the same configuration writes nothing");
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'shop', '{x}', '30 h')::int"), 1);
    cr_assert_eq(postgres_int(outbox.relay,
                              "select count(*) from outbox.relay where source = 'shop' and topics = '{x}'"
                              " and retention = '30 h'"),
                 1);
    cr_assert_eq(postgres_int(outbox.relay, "select nonce from outbox.journal"), nonce);
    free(version);
    free(again);
    outbox_close(&outbox);
}

/* P3: ids are unique within their source. */
Test(schema_relay, a_known_relay_is_not_registered_with_another_source)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    char *before = postgres_text(outbox.admin, "select format('%%s %%s', xmin, r) from outbox.relay r");
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'tset', '{x}', '30 h')::int"), 0);
    char *after = postgres_text(outbox.admin, "select format('%%s %%s', xmin, r) from outbox.relay r");
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
    outbox_close(&outbox);
}

/* A lock on the row or the table is no reason to wait when there is nothing to write. */
Test(schema_relay, who_has_nothing_to_change_waits_for_nobody)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, "begin; lock table outbox.relay in exclusive mode");
    postgres_exec(outbox.relay, "set lock_timeout = 100");
    outbox_register(&outbox);
    cr_assert_str_eq(
        postgres_sqlstate(outbox.relay, "select outbox.relay_register('main', 'shop', '{x}', '24 h')"),
        "55P03");
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'tset', '{x}', '24 h')::int"), 0);
    outbox_close(&outbox);
}

Test(schema_relay, another_name_and_a_retired_one_are_not_registered)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('other', 'shop', '{*}', '24 h')::int"), 0);
    postgres_exec(outbox.admin, "update outbox.relay set retired_at = now()");
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('main', 'shop', '{*}', '24 h')::int"), 0);
    cr_assert_eq(
        postgres_int(outbox.relay, "select outbox.relay_register('other', 'shop', '{*}', '24 h')::int"), 0);
    cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.relay"), 1);
    outbox_close(&outbox);
}

Test(schema_relay, what_cannot_work_is_refused)
{
    static const char *const refused[][2] = {
        {"select outbox.relay_register('main', 'shop', '{*}', '31 h')",
         "22023"}, /* would never empty a slot */
        {"select outbox.relay_register('main', 'shop', '{*}', '0')", "23514"},
        {"select outbox.relay_register('main', 'shop', '{}', '1 h')", "23514"},
        {"select outbox.relay_register('main', 'shop', '{a,null}', '1 h')", "23514"},
        {"select outbox.relay_register('', 'shop', '{*}', '1 h')", "23514"},
        {"select outbox.relay_register('a b', 'shop', '{*}', '1 h')", "23514"},
        {"select outbox.relay_register('main', e'shop\\n', '{*}', '1 h')", "23514"},
        {"select outbox.relay_register('main', repeat('s', 101), '{*}', '1 h')", "23514"},
        {"select outbox.relay_register(null, 'shop', '{*}', '1 h')", "23502"},
        {"begin isolation level repeatable read; select outbox.relay_register('main', 'shop', '{*}', '1 h')",
         "25000"},
    };
    struct outbox outbox = outbox_open();
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *sqlstate = postgres_sqlstate(outbox.relay, "%s", refused[i][0]);
        cr_expect_str_eq(sqlstate, refused[i][1], "%s: %s", refused[i][0], sqlstate);
    }
    postgres_exec(outbox.relay, "rollback");
    cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.relay"), 0);
    outbox_close(&outbox);
}

Test(schema_relay, a_first_relay_that_has_a_journal_does_not_begin_again_unasked)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, "truncate outbox.relay");
    cr_assert_str_eq(
        postgres_sqlstate(outbox.relay, "select outbox.relay_register('main', 'shop', '{*}', '24 h')"),
        "23505");
    outbox_close(&outbox);
}

struct contender {
    PGconn *connection;
    char name[16], source[16];
    pthread_barrier_t *start;
    bool registered;
};

static void *
register_at_once(void *context)
{
    struct contender *contender = context;
    pthread_barrier_wait(contender->start);
    contender->registered =
        postgres_int(contender->connection, "select outbox.relay_register('%s', '%s', '{*}', '24 h')::int",
                     contender->name, contender->source) == 1;
    return NULL;
}

static int
race(const struct outbox *outbox, bool same_name, bool same_source)
{
    struct contender contenders[CONTENDERS];
    pthread_t threads[CONTENDERS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, CONTENDERS);
    for (int i = 0; i < CONTENDERS; i++) {
        contenders[i] =
            (struct contender){.connection = outbox_session(outbox, POSTGRES_RELAY), .start = &start};
        snprintf(contenders[i].name, sizeof contenders[i].name, "r%d", same_name ? 0 : i);
        snprintf(contenders[i].source, sizeof contenders[i].source, "s%d", same_source ? 0 : i);
        cr_assert_eq(pthread_create(&threads[i], NULL, register_at_once, &contenders[i]), 0);
    }
    int registered = 0;
    for (int i = 0; i < CONTENDERS; i++) {
        pthread_join(threads[i], NULL);
        registered += contenders[i].registered;
        PQfinish(contenders[i].connection);
    }
    pthread_barrier_destroy(&start);
    return registered;
}

Test(schema_relay, of_many_first_relays_one_is_first)
{
    struct outbox outbox = outbox_open();
    for (int round = 0; round < 10; round++) {
        cr_assert_eq(race(&outbox, false, true), 1);
        cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.relay"), 1);
        cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.journal"), 1);
        postgres_exec(outbox.admin, "truncate outbox.relay, outbox.journal");
    }
    outbox_close(&outbox);
}

Test(schema_relay, of_many_first_starts_with_different_sources_one_is_registered__P3)
{
    struct outbox outbox = outbox_open();
    for (int round = 0; round < 10; round++) {
        cr_assert_eq(race(&outbox, true, false), 1);
        postgres_exec(outbox.admin, "truncate outbox.relay, outbox.journal");
    }
    outbox_close(&outbox);
}

Test(schema_relay, standbys_of_one_name_register_it_once)
{
    struct outbox outbox = outbox_open();
    for (int round = 0; round < 5; round++) {
        cr_assert_eq(race(&outbox, true, true), CONTENDERS);
        cr_assert_eq(postgres_int(outbox.relay, "select count(*) from outbox.journal"), 1);
        postgres_exec(outbox.admin, "truncate outbox.relay, outbox.journal");
    }
    outbox_close(&outbox);
}

Test(schema_relay, trouble_is_written_on_a_change_only)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.relay_trouble('main', '{\"topic\": \"x\"}')::int"),
                 1);
    char *first =
        postgres_text(outbox.relay, "select trouble_at from outbox.relay where trouble ->> 'topic' = 'x'");
    cr_assert_not_null(first);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.relay_trouble('main', '{\"topic\": \"x\"}')::int"),
                 1);
    char *second = postgres_text(outbox.relay, "select trouble_at from outbox.relay");
    cr_assert_str_eq(first, second);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.relay_trouble('main', null)::int"), 1);
    char *third = postgres_text(outbox.relay, "select trouble_at from outbox.relay where trouble is null");
    cr_assert_str_neq(first, third);
    cr_assert_eq(postgres_int(outbox.relay, "select outbox.relay_trouble('unknown', '{}')::int"), 0);
    free(first);
    free(second);
    free(third);
    outbox_close(&outbox);
}
