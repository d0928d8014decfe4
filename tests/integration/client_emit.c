/* client_emit.c: liboutbox: events arrive in the table as they were given, one by one and in bulk; what is wrong with one names
 * it. */
#include "client_fixture.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

/* ---- what was emitted is what is there ---- */

static const struct outbox_header colours[] = {
    {"colour", "red"}, {"size", NULL}, {"colour", "gr\xc3\xbcn"}, {"empty", ""}, {"quote", "\"\\\r\n"}};
static const char colours_json[] =
    "{\"size\": null, \"empty\": \"\", \"quote\": \"\\\"\\\\\\r\\n\", \"colour\": [\"red\", \"gr\\u00fcn\"]}";

static const struct sample {
    struct outbox_event event;
    const char *key, *payload, *headers; /* hex; NULL is NULL */
} samples[] = {
    {{.topic = "t"}, NULL, NULL, NULL},
    {{.topic = "t", .key = {"", 0}, .payload = {"", 0}}, "", "", NULL},
    {{.topic = "t", .key = {"\0k\xff", 3}, .payload = {"\0\1\2\n\\", 5}}, "006bff", "0001020a5c", NULL},
    {{.topic = "a.b-c_D9", .key = {"k", 1}, .payload = {"{}", 2}, .headers = colours + 1, .header_count = 1},
     "6b",
     "7b7d",
     "{\"size\": null}"},
};

static bool
emit_samples(struct outbox_unit *unit, void *ids, struct outbox_error *error)
{
    for (size_t i = 0; i < COUNT(samples); i++)
        if (!outbox_emit(unit, &samples[i].event, (int64_t *)ids + i, error))
            return false;
    return true;
}

static bool
emit_samples_in_bulk(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    struct outbox_event events[COUNT(samples)];
    for (size_t i = 0; i < COUNT(samples); i++)
        events[i] = samples[i].event;
    return outbox_emit_many(unit, events, COUNT(samples), error);
}

static void
expect_text(const char *found, const char *expected, const char *what, size_t i)
{
    if (expected == NULL)
        cr_assert_null(found, "%s of %zu: %s", what, i, found);
    else
        cr_assert(found != NULL && strcmp(found, expected) == 0, "%s of %zu: %s", what, i,
                  found ? found : "NULL");
}

static void
expect_samples(const struct client *client)
{
    PGresult *rows =
        PQexec(client->outbox.admin, "select topic, encode(key, 'hex'), encode(payload, 'hex'), headers"
                                     " from outbox.event order by id");
    cr_assert_eq(PQntuples(rows), (int)COUNT(samples));
    for (int i = 0; i < PQntuples(rows); i++) {
        const struct sample *sample = &samples[i];
        const char *found[4];
        for (int column = 0; column < 4; column++)
            found[column] = PQgetisnull(rows, i, column) ? NULL : PQgetvalue(rows, i, column);
        expect_text(found[0], sample->event.topic, "topic", (size_t)i);
        expect_text(found[1], sample->key, "key", (size_t)i);
        expect_text(found[2], sample->payload, "payload", (size_t)i);
        expect_text(found[3], sample->headers, "headers", (size_t)i);
    }
    PQclear(rows);
}

Test(client_emit, bytes_are_kept_and_empty_is_not_null)
{
    struct client client = client_open();
    int64_t ids[COUNT(samples)];
    client_must_run(&client, NULL, emit_samples, ids);
    expect_samples(&client);
    for (size_t i = 0; i < COUNT(samples); i++)
        cr_assert_eq(postgres_int(client.outbox.admin,
                                  "select count(*) from outbox.event where id = %" PRId64, ids[i]),
                     1);
    client_close(&client);
}

Test(client_emit, the_same_in_bulk)
{
    struct client client = client_open();
    client_must_run(&client, NULL, emit_samples_in_bulk, NULL);
    expect_samples(&client);
    client_close(&client);
}

static bool
emit_colours(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    struct outbox_event event = {.topic = "t", .headers = colours, .header_count = COUNT(colours)};
    return outbox_emit(unit, &event, NULL, error) && outbox_emit_many(unit, &event, 1, error);
}

Test(client_emit, headers_repeat_and_are_right_under_every_client_encoding)
{
    static const char *const encodings[] = {"UTF8", "LATIN1", "SQL_ASCII"};
    struct client client = client_open();
    for (size_t i = 0; i < COUNT(encodings); i++) {
        cr_assert_eq(PQsetClientEncoding(client.app, encodings[i]), 0);
        client_must_run(&client, NULL, emit_colours, NULL);
    }
    cr_assert_eq(postgres_int(client.outbox.admin,
                              "select count(*) from outbox.event where headers = '%s'::jsonb", colours_json),
                 2 * COUNT(encodings));
    client_close(&client);
}

/* ---- what is refused ---- */

static const struct wrong {
    struct outbox_event event;
    enum outbox_error_kind kind;
    const char *constraint;
} wrongs[] = {
    {{.topic = NULL}, OUTBOX_ERROR_USAGE, ""},
    {{.topic = "t", .key = {NULL, 1}}, OUTBOX_ERROR_USAGE, ""},
    {{.topic = "t", .payload = {"", ((size_t)16 << 20) + 1}}, OUTBOX_ERROR_USAGE, ""},
    {{.topic = "t", .header_count = 1}, OUTBOX_ERROR_USAGE, ""},
    {{.topic = "t", .headers = &(struct outbox_header){NULL, "v"}, .header_count = 1},
     OUTBOX_ERROR_USAGE,
     ""},
    {{.topic = "t", .headers = &(struct outbox_header){"h", "\xff"}, .header_count = 1},
     OUTBOX_ERROR_USAGE,
     ""},
    {{.topic = "t", .reserved = {"x"}}, OUTBOX_ERROR_USAGE, ""},
    {{.topic = "not a topic"}, OUTBOX_ERROR_SQL, "event_topic_legal"},
    {{.topic = "t", .headers = &(struct outbox_header){"id", "1"}, .header_count = 1},
     OUTBOX_ERROR_SQL,
     "event_headers_legal"},
};

static bool
emit_wrong(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct wrong *wrong = context;
    return client_write(unit, 1, error) && outbox_emit(unit, &wrong->event, NULL, error);
}

static bool
emit_wrong_in_bulk(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    const struct wrong *wrong = context;
    struct outbox_event events[] = {{.topic = "fine"}, {.topic = "fine"}, wrong->event, {.topic = "fine"}};
    return client_write(unit, 1, error) && outbox_emit_many(unit, events, COUNT(events), error);
}

Test(client_emit, what_is_wrong_with_an_event_is_said_and_nothing_is_written)
{
    struct client client = client_open();
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct outbox_error error = client_must_fail(&client, NULL, emit_wrong, (void *)&wrongs[i]);
        cr_assert_eq(error.kind, wrongs[i].kind, "%zu: %s", i, error.message);
        cr_assert_str_eq(error.constraint, wrongs[i].constraint);
        error = client_must_fail(&client, NULL, emit_wrong_in_bulk, (void *)&wrongs[i]);
        cr_assert_eq(error.kind, wrongs[i].kind, "%zu in bulk: %s", i, error.message);
        cr_assert_str_eq(error.constraint, wrongs[i].constraint);
        cr_assert(strncmp(error.message, "event 2: ", 9) == 0, "%zu in bulk: %s", i, error.message);
    }
    cr_assert_eq(client_items(&client) + client_events(&client), 0);
    client_close(&client);
}

/* ---- in bulk ---- */

#define MANY 50000

static bool
emit_numbers(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    struct outbox_event *events = must_calloc(MANY, sizeof *events);
    char(*texts)[16] = must_calloc(MANY, sizeof *texts);
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "%d", i);
        events[i] = (struct outbox_event){
            .topic = "numbers", .key = outbox_text(texts[i]), .headers = colours, .header_count = 2};
    }
    bool done = outbox_emit_many(unit, events, MANY, error) && outbox_emit_many(unit, events, 0, error) &&
                outbox_emit_many(unit, events, 1, error);
    free(events);
    free(texts);
    return done;
}

Test(client_emit, p2_many_events_keep_their_order)
{
    struct client client = client_open();
    struct outbox_options timed = {.timeout_ms = 60000};
    client_must_run(&client, NULL, emit_numbers, NULL);
    client_must_run(&client, &timed, emit_numbers, NULL); /* without blocking, the other way through libpq */
    cr_assert_eq(client_events(&client), 2 * (MANY + 1));
    cr_assert_eq(postgres_int(client.outbox.admin,
                              "select count(*) from (select convert_from(key, 'UTF8')::int as n,"
                              " row_number() over (order by id) - 1 as place from outbox.event) e"
                              " where n <> place %% %d %% %d",
                              MANY + 1, MANY),
                 0);
    client_close(&client);
}

static bool
emit_large(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    (void)context;
    size_t size = (size_t)16 << 20;
    char *bytes = must_alloc(size);
    memset(bytes, 'x', size);
    struct outbox_event events[] = {{.topic = "large", .payload = {bytes, size}},
                                    {.topic = "large", .payload = {bytes, 65536}, .key = {bytes, 3}}};
    bool done = outbox_emit(unit, &events[0], NULL, error) && outbox_emit_many(unit, events, 2, error);
    free(bytes);
    return done;
}

Test(client_emit, a_payload_may_have_16_mib)
{
    struct client client = client_open();
    client_must_run(&client, NULL, emit_large, NULL);
    client_must_run(&client, &(struct outbox_options){.timeout_ms = 60000}, emit_large, NULL);
    cr_assert_eq(postgres_int(client.outbox.admin, "select sum(octet_length(payload)) from outbox.event"),
                 2 * (2 * (16 << 20) + 65536));
    client_close(&client);
}

static bool
emit_bulk_optionally(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    struct outbox_error ignored;
    cr_assert_not(outbox_optional(unit, emit_wrong_in_bulk, context, &ignored));
    return outbox_emit(unit, &(struct outbox_event){.topic = "t"}, NULL, error);
}

Test(client_emit, a_bulk_that_fails_within_an_optional_step_is_undone)
{
    struct client client = client_open();
    for (size_t i = 0; i < COUNT(wrongs); i++)
        client_must_run(&client, NULL, emit_bulk_optionally, (void *)&wrongs[i]);
    cr_assert_eq(client_events(&client), COUNT(wrongs));
    cr_assert_eq(client_items(&client), 0);
    client_close(&client);
}

static bool
die_and_emit(struct outbox_unit *unit, void *context, struct outbox_error *error)
{
    /* from another connection: ours learns it in the midst of the COPY */
    postgres_exec(context, "select pg_terminate_backend(%d)", PQbackendPID(outbox_connection(unit)));
    return emit_large(unit, NULL, error);
}

Test(client_emit, a_connection_that_dies_under_an_event_is_a_lost_connection)
{
    struct client client = client_open();
    struct outbox_error error;
    cr_assert_not(outbox_run(client.app, NULL, die_and_emit, client.outbox.admin, &error));
    cr_assert_eq(error.kind, OUTBOX_ERROR_CONNECTION, "%d %s", error.kind, error.message);
    client_close(&client);
}
