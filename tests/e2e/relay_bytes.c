/* relay_bytes.c: what a consumer receives (design 3.2), byte for byte: key, payload and headers as inserted, by every way
 * into the outbox; the partition of Java's murmur2; the timestamp; the headers id and source. */
#include "relay_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(relay_bytes, .timeout = 120);

#define ALL_BYTES                                                                                            \
    "(select decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex') from generate_series(0, 255) i)"

/* Every combination of these: none, empty, text, bytes that are no text, all bytes there are. */
#define BYTES "(values (null::bytea), (''), ('plain'), ('\\xff00c328f0288cbc0d0a'), (" ALL_BYTES "))"

#define HEADERS                                                                                              \
    "(values (null::jsonb), ('{}'), ('{\"a\":\"b\"}'), ('{\"r\":[\"1\",\"2\",\"1\"]}'), "                    \
    "('{\"none\":null}'),"                                                                                   \
    " ('{\"empty\":\"\",\"list\":[]}'), ('{\"A-z.0_9\":[\"\",\"\"],\"z\":null,\"b\":\"x\"}'),"               \
    " ('{\"u\":\"\\u017elu\\u0165ou\\u010dk\\u00fd k\\u016f\\u0148 \\ud83d\\udc0e\"}'),"                     \
    " ('{\"q\":\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\"}'))"

static void
copy_in(PGconn *app, const char *topic, const char *const *lines)
{
    PQclear(PQexec(app, "copy outbox.event (topic, key, payload, headers) from stdin"));
    for (; *lines != NULL; lines++) {
        cr_assert_eq(PQputCopyData(app, topic, (int)strlen(topic)), 1);
        cr_assert_eq(PQputCopyData(app, *lines, (int)strlen(*lines)), 1);
    }
    cr_assert_eq(PQputCopyEnd(app, NULL), 1);
    PGresult *result = PQgetResult(app);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQresultErrorMessage(result));
    PQclear(result);
    cr_assert_null(PQgetResult(app));
}

Test(relay_bytes, key_payload_and_headers_arrive_as_inserted_by_every_way_into_the_outbox__rows_36_37_38)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "combinations", 3, NULL);
    setup_run(&setup, NULL);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, key, payload, headers)"
                  " select '%s', k, p, h from " BYTES " k(k), " BYTES " p(p), " HEADERS " h(h)",
                  topic);
    postgres_exec(setup.app,
                  "select outbox.emit_bytes('%s', k, p, h) from " BYTES " k(k), " BYTES " p(p), " HEADERS
                  " h(h)",
                  topic);
    postgres_exec(
        setup.app,
        "select outbox.emit('%s', k, p, h) from (values (null), (''), ('key'), "
        "(E'\\u043a\\u043b\\u044e\\u0447')) k(k),"
        " (values (null::jsonb), ('null'), ('{}'), ('\"\"'), ('{\"n\": 1e3, \"u\": \"\\u017e\"}')) p(p),"
        " " HEADERS " h(h)",
        topic);
    postgres_exec(setup.app, "insert into outbox.event (topic) values ('%s'), ('%s')", topic, topic);
    copy_in(setup.app, topic,
            (const char *[]){"\t\\N\t\\N\t\\N\n", "\t\t\t{}\n",
                             "\t\\\\x00ff\t\\\\x0a0d09\t{\"a\":[\"\",\"b\"],\"n\":null}\n", NULL});
    setup_wait_confirmed(&setup, 20000);
    struct verdict verdict = setup_judge(&setup);
    cr_expect_eq(verdict.expected, 225 + 225 + 180 + 2 + 3);
    cr_expect_eq(verdict.duplicates, 0);
    setup_end(&setup);
}

/* The next records of a topic with one partition, in order. */
static const struct record *
only_record(struct setup *setup, struct records *records)
{
    consumer_read_all(records, broker_bootstrap(setup->broker), (const char *const *)setup->topics, true);
    cr_assert_eq(records->count, 1);
    return &records->list[0];
}

static void
expect_header(const struct record *record, size_t at, const char *name, const char *value)
{
    cr_assert_lt(at, record->header_count);
    const struct record_header *header = &record->headers[at];
    cr_expect_str_eq(header->name, name);
    if (value == NULL)
        cr_expect_null(header->value.data);
    else
        cr_expect_str_eq(header->value.data, value);
}

/* The checker reads what it expects from the table; here every byte is written down. */
Test(relay_bytes, one_record_is_exactly_this_timestamp_key_value_and_headers_then_id_and_source)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "exact", 1, NULL);
    struct records records = {0};
    char id_text[24];
    setup_run(&setup, (const char *[]){"source=shop-7", NULL});
    int64_t id = postgres_int(setup.app,
                              "select outbox.emit('%s', E'k\\u00e9y', '{\"b\":1,\"a\": \"\\u00e9\"}',"
                              " '{\"x\":[\"1\",\"\"],\"y\":null}')",
                              topic);
    int64_t created_ms = postgres_int(
        setup.admin,
        "select floor(extract(epoch from created_at) * 1000)::bigint from outbox.event where id = %" PRId64,
        id);
    setup_wait_confirmed(&setup, 20000);
    const struct record *record = only_record(&setup, &records);
    snprintf(id_text, sizeof id_text, "%" PRId64, id);
    cr_expect_eq(record->timestamp_ms, created_ms);
    cr_expect_str_eq(record->key.data, "k\xc3\xa9y");
    cr_expect_str_eq(record->value.data, "{\"a\": \"\xc3\xa9\", \"b\": 1}");
    cr_assert_eq(record->header_count, 5);
    expect_header(record, 0, "x", "1");
    expect_header(record, 1, "x", "");
    expect_header(record, 2, "y", NULL);
    expect_header(record, 3, "id", id_text);
    expect_header(record, 4, "source", "shop-7");
    records_free(&records);
    setup_end(&setup);
}

/* murmur2 of these keys as Kafka's own UtilsTest and librdkafka's unit test have it. */
static const struct known_key {
    const char *key;
    int32_t murmur2;
} known_keys[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
    {"", 275646681},
};
#define KNOWN_KEYS (sizeof known_keys / sizeof *known_keys)

Test(relay_bytes, known_keys_are_in_the_partition_that_the_java_client_chooses)
{
    enum { PARTITIONS = 11 };
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "partitions", PARTITIONS, NULL);
    struct records records = {0};
    setup_run(&setup, NULL);
    for (size_t i = 0; i < KNOWN_KEYS; i++)
        postgres_exec(setup.app, "select outbox.emit_bytes('%s', '%s', null)", topic, known_keys[i].key);
    setup_wait_confirmed(&setup, 20000);
    consumer_read_all(&records, broker_bootstrap(setup.broker), (const char *const *)setup.topics, true);
    cr_assert_eq(records.count, KNOWN_KEYS);
    for (size_t i = 0; i < records.count; i++) {
        const struct record *record = &records.list[i];
        size_t at = 0;
        while (at < KNOWN_KEYS && strcmp(known_keys[at].key, record->key.data) != 0)
            at++;
        cr_assert_lt(at, KNOWN_KEYS);
        cr_expect_eq(record->partition, (known_keys[at].murmur2 & 0x7fffffff) % PARTITIONS, "key \"%s\"",
                     record->key.data);
        cr_expect_null(record->value.data);
    }
    records_free(&records);
    setup_end(&setup);
}

Test(relay_bytes, a_latin1_database_publishes_text_as_utf8_and_bytes_untouched)
{
    struct postgres *postgres = postgres_shared();
    PGconn *server = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    char database[64];
    snprintf(database, sizeof database, "latin1_%d", (int)getpid());
    postgres_exec(server,
                  "create database %s encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0",
                  database);
    PQfinish(server);
    postgres_migrate(postgres, database);
    struct setup setup = setup_begin_in(postgres, broker_shared(), database);
    const char *topic = setup_topic(&setup, "latin1", 1, NULL);
    struct records records = {0};
    setup_run(&setup, NULL);
    postgres_exec(setup.app, "set client_encoding = 'LATIN1'");
    postgres_exec(setup.app,
                  "select outbox.emit('%s', '\xe9', '{\"\xfc\": \"\xdf\"}', '{\"h\": \"\xe9\xff\", \"l\": "
                  "[\"\xa3\"]}')",
                  topic);
    setup_wait_confirmed(&setup, 20000);
    const struct record *record = only_record(&setup, &records);
    cr_expect_str_eq(record->key.data, "\xc3\xa9");
    cr_expect_str_eq(record->value.data, "{\"\xc3\xbc\": \"\xc3\x9f\"}");
    expect_header(record, 0, "h", "\xc3\xa9\xc3\xbf");
    expect_header(record, 1, "l", "\xc2\xa3");
    records_free(&records);
    /* pages end by bytes: headers have twice as many of them here as in the server's encoding */
    postgres_exec(setup.admin, "set client_encoding = 'UTF8'");
    postgres_exec(setup.app,
                  "select outbox.emit_bytes('%s', convert_to(i::text, 'UTF8'), '\\xe9',"
                  " jsonb_build_object('h', repeat('\xe9', 5000)))"
                  " from generate_series(1, 1000) i",
                  topic);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

Test(relay_bytes, headers_at_their_limits_arrive_whole__row_39)
{
    struct setup setup = setup_begin();
    const char *topic = setup_topic(&setup, "headers", 1, NULL);
    setup_run(&setup, NULL);
    postgres_exec(
        setup.app,
        "insert into outbox.event (topic, headers) select '%s', jsonb_object_agg('h' || i, repeat('v', i))"
        " from generate_series(1, 64) i",
        topic);
    postgres_exec(setup.app,
                  "insert into outbox.event (topic, headers) values"
                  " ('%s', jsonb_build_object(repeat('n', 128), repeat('x', 32000))),"
                  " ('%s', jsonb_build_object('all', (select jsonb_agg(repeat(E'\\u0001', i)) from "
                  "generate_series(1, 64) i)))",
                  topic, topic);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}
