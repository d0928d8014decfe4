/* schema_events.c: which events the table takes, and that the bytes are those that the application gave. */
#include "schema_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_VIOLATION "23514"
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

/* Both doors: the table and the function. */
static void
expect_event(const struct outbox *outbox, bool taken, const char *topic, const char *headers)
{
    const char *values[] = {topic, headers};
    static const char *const statements[] = {
        "insert into outbox.event (topic, headers) values ($1, $2::jsonb)",
        "select outbox.emit_bytes($1, null, null, $2::jsonb)"};
    for (size_t i = 0; i < COUNT(statements); i++) {
        PGresult *result = PQexecParams(outbox->writer, statements[i], 2, NULL, values, NULL, NULL, 0);
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (taken)
            cr_expect(sqlstate == NULL, "topic %s headers %s: %s", topic, headers,
                      PQresultErrorMessage(result));
        else
            cr_expect(sqlstate && strcmp(sqlstate, CHECK_VIOLATION) == 0, "topic %s headers %s: %s", topic,
                      headers, sqlstate ? PQresultErrorMessage(result) : "taken");
        PQclear(result);
    }
}

static char *
repeated(char character, size_t count)
{
    char *text = must_alloc(count + 1);
    memset(text, character, count);
    text[count] = '\0';
    return text;
}

Test(schema_events, row_40_topics_are_legal_kafka_names)
{
    static const char *const good[] = {"a", "a.b", "...", "_a", "A-b_c.9", "_", "a__b"};
    static const char *const bad[] = {"",    ".",   "..",       "__a", "__",  "a b", "a\n",
                                      "\na", "a/b", "\xc3\xa4", "a*",  "a,b", "a:b"};
    struct outbox outbox = outbox_open();
    for (size_t i = 0; i < COUNT(good); i++)
        expect_event(&outbox, true, good[i], NULL);
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_event(&outbox, false, bad[i], NULL);
    char *longest = repeated('t', 249), *too_long = repeated('t', 250);
    expect_event(&outbox, true, longest, NULL);
    expect_event(&outbox, false, too_long, NULL);
    free(longest);
    free(too_long);
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, "insert into outbox.event (topic) values (null)"),
                     "23502");
    outbox_close(&outbox);
}

Test(schema_events, row_39_headers_are_flat_and_their_names_are_legal)
{
    static const char *const good[] = {
        "{}",
        "{\"h\": \"v\"}",
        "{\"h\": \"\"}",
        "{\"h\": null}",
        "{\"h\": [\"a\", \"b\", \"\"]}",
        "{\"h\": []}",
        "{\"ID\": \"1\", \"ids\": \"2\", \"Source\": \"3\", \"outbox\": \"4\", \"Outbox-x\": \"5\", "
        "\"x-outbox-\": \"6\"}",
        "{\"a.b-c_D9\": \"\\r\\n \\u00e4 \\\"\"}", /* values may be any text */
    };
    static const char *const bad[] = {
        "null",
        "\"h\"",
        "1",
        "true",
        "[]",
        "[\"h\"]",
        "[{\"h\": \"v\"}]",
        "{\"h\": 1}",
        "{\"h\": true}",
        "{\"h\": {}}",
        "{\"h\": {\"a\": \"b\"}}",
        "{\"h\": [1]}",
        "{\"h\": [null]}",
        "{\"h\": [\"a\", [\"b\"]]}",
        "{\"h\": [[\"b\"]]}",
        "{\"h\": [[]]}",
        "{\"h\": [{}]}",
        "{\"good\": \"v\", \"h\": 1}",
        "{\"\": \"v\"}",
        "{\"a b\": \"v\"}",
        "{\"a\\n\": \"v\"}",
        "{\"\\r\\na\": \"v\"}",
        "{\"\\u00e4\": \"v\"}",
        "{\"a:\": \"v\"}",
        "{\"id\": \"1\"}",
        "{\"source\": \"s\"}",
        "{\"replay\": null}",
        "{\"outbox-\": \"x\"}",
        "{\"outbox-epoch\": []}",
    };
    struct outbox outbox = outbox_open();
    expect_event(&outbox, true, "t", NULL);
    for (size_t i = 0; i < COUNT(good); i++)
        expect_event(&outbox, true, "t", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_event(&outbox, false, "t", bad[i]);
    outbox_close(&outbox);
}

Test(schema_events, row_39_headers_are_bounded)
{
    struct outbox outbox = outbox_open();
    /* names of 128 and 129 characters */
    char *name = repeated('n', 128), *long_name = repeated('n', 129);
    char *headers = must_format("{\"z\": \"v\", \"%s\": \"v\"}", name);
    char *long_headers = must_format("{\"%s\": \"v\", \"z\": \"v\", \"zz\": \"v\"}", long_name);
    expect_event(&outbox, true, "t", headers);
    expect_event(&outbox, false, "t", long_headers);
    free(headers);
    free(long_headers);
    free(name);
    free(long_name);

    static const char insert[] = "insert into outbox.event (topic, headers) values ('t', (%s))";
    /* 64 and 65 headers: by names, by repeats, by both */
    static const char by_name[] = "select jsonb_object_agg('h' || i, 'v') from generate_series(1, %d) i";
    static const char by_repeat[] =
        "select jsonb_build_object('h', jsonb_agg('v'::text)) from generate_series(1, %d)";
    static const char by_both[] = "select jsonb_build_object('a', jsonb_agg('v'::text), 'b', null, 'c', 'v') "
                                  "from generate_series(1, %d - 2)";
    const char *const shapes[] = {by_name, by_repeat, by_both};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int count = 64; count <= 65; count++) {
            char *fill = i == 0   ? must_format(by_name, count)
                         : i == 1 ? must_format(by_repeat, count)
                                  : must_format(by_both, count);
            const char *sqlstate = postgres_sqlstate(outbox.writer, insert, fill);
            cr_expect_str_eq(sqlstate, count == 64 ? "00000" : CHECK_VIOLATION, "%s", fill);
            free(fill);
        }

    /* 32 KiB as text, counted in UTF-8: {"h": ".."} has 9 characters around the value */
    static const char ascii[] = "select jsonb_build_object('h', repeat('v', %d))";
    static const char wide[] = "select jsonb_build_object('h', repeat(e'\\u00e4', %d) || 'v')";
    char *fits = must_format(ascii, 32768 - 9), *over = must_format(ascii, 32768 - 8);
    char *wide_fits = must_format(wide, (32768 - 10) / 2), *wide_over = must_format(wide, 32768 - 10);
    cr_expect_str_eq(postgres_sqlstate(outbox.writer, insert, fits), "00000");
    cr_expect_str_eq(postgres_sqlstate(outbox.writer, insert, over), CHECK_VIOLATION);
    cr_expect_str_eq(postgres_sqlstate(outbox.writer, insert, wide_fits), "00000");
    cr_expect_str_eq(postgres_sqlstate(outbox.writer, insert, wide_over), CHECK_VIOLATION);
    free(fits);
    free(over);
    free(wide_fits);
    free(wide_over);
    outbox_close(&outbox);
}

Test(schema_events, row_35_a_payload_has_at_most_16_mib)
{
    static const char insert[] =
        "insert into outbox.event (topic, payload) values ('t', convert_to(repeat('x', %d), 'UTF8'))";
    struct outbox outbox = outbox_open();
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, insert, 16777216), "00000");
    cr_assert_str_eq(postgres_sqlstate(outbox.writer, insert, 16777217), CHECK_VIOLATION);
    outbox_close(&outbox);
}

/* A constraint that called one of our functions would run the owner's code with the writer's rights, and be slow. */
Test(schema_events, checks_are_plain_expressions)
{
    struct outbox outbox = outbox_open();
    cr_assert_eq(
        postgres_int(
            outbox.admin,
            "select count(*) from pg_constraint where conrelid = 'outbox.event'::regclass and contype = 'c'"
            " and pg_get_constraintdef(oid) like '%%outbox.%%'"),
        0);
    cr_assert_eq(postgres_int(outbox.admin,
                              "select count(*) from pg_trigger t join pg_class c on c.oid = tgrelid"
                              " where relnamespace = 'outbox'::regnamespace"),
                 0, "P4: no trigger");
    outbox_close(&outbox);
}

/* Row 36: NULL, empty and present stay apart. */
static void
expect_stored(PGconn *writer, PGconn *admin, const char *emit, const char *key, const char *payload,
              const char *headers)
{
    int64_t id = postgres_int(writer, "select %s", emit);
    char *got = postgres_text(
        admin,
        "select format('%%s/%%s/%%s', coalesce(key::text, 'NULL'), coalesce(payload::text, 'NULL'),"
        " coalesce(headers::text, 'NULL')) from outbox.event where id = %lld",
        (long long)id);
    char *want = must_format("%s/%s/%s", key, payload, headers);
    cr_expect_str_eq(got, want, "%s: %s instead of %s", emit, got, want);
    free(want);
    free(got);
}

Test(schema_events, row_36_emit_stores_the_bytes_it_was_given)
{
    struct outbox outbox = outbox_open();
    PGconn *w = outbox.writer, *a = outbox.admin;
    expect_stored(w, a, "outbox.emit('t', 'k', '{\"b\": 1, \"a\": 2}')", "\\x6b",
                  "\\x7b2261223a20322c202262223a20317d", "{}");
    expect_stored(w, a, "outbox.emit('t', null, null)", "NULL", "NULL", "{}");
    expect_stored(w, a, "outbox.emit('t', '', 'null')", "\\x", "\\x6e756c6c", "{}");
    expect_stored(w, a, "outbox.emit('t', e'\\u00e4\\U0001F600', '\"\\u00e4\"', null)", "\\xc3a4f09f9880",
                  "\\x22c3a422", "NULL");
    expect_stored(w, a,
                  "outbox.emit(topic => 't', payload => '1.10', key => 'k', headers => '{\"h\": null}')",
                  "\\x6b", "\\x312e3130", "{\"h\": null}");
    expect_stored(w, a, "outbox.emit_bytes('t', '\\x00ff', '\\xfffe00')", "\\x00ff", "\\xfffe00", "{}");
    expect_stored(w, a, "outbox.emit_bytes('t', null, null)", "NULL", "NULL", "{}");
    expect_stored(w, a, "outbox.emit_bytes('t', '', '', '{\"h\": [\"1\", \"2\"]}')", "\\x", "\\x",
                  "{\"h\": [\"1\", \"2\"]}");
    outbox_close(&outbox);
}

Test(schema_events, emit_gives_utf8_also_in_a_latin1_database)
{
    struct postgres *server = postgres_shared();
    char *database = must_format("%s_latin1", postgres_create_database(server));
    PGconn *root = postgres_open(server, "postgres", POSTGRES_ADMIN);
    postgres_exec(root, "create database %s encoding 'LATIN1' locale 'C' template template0", database);
    struct outbox outbox = outbox_open_in(server, database);
    postgres_exec(outbox.writer, "set client_encoding = 'UTF8'");
    expect_stored(outbox.writer, outbox.admin, "outbox.emit('t', '\xc3\xa4', '\"\xc3\xa4\"')", "\\xc3a4",
                  "\\x22c3a422", "{}");
    PQfinish(root);
    outbox_close(&outbox);
    free(database);
}

Test(schema_events, a_transaction_that_rolls_back_leaves_no_event)
{
    struct outbox outbox = outbox_open();
    postgres_exec(
        outbox.writer,
        "begin; select outbox.emit('t', 'a', '{}'); savepoint s;"
        " select outbox.emit('t', 'b', '{}'); rollback to s; select outbox.emit('t', 'c', '{}'); commit");
    postgres_exec(outbox.writer, "begin; select outbox.emit('t', 'd', '{}'); rollback");
    char *keys = postgres_text(
        outbox.admin, "select string_agg(convert_from(key, 'UTF8'), ',' order by id) from outbox.event");
    cr_assert_str_eq(keys, "a,c");
    cr_assert_eq(postgres_int(outbox.admin, "select count(distinct xid) from outbox.event"), 1,
                 "the xid is the transaction's, not the savepoint's");
    free(keys);
    outbox_close(&outbox);
}
