/* load_emit.c: every way in which an application may put an event into the outbox: one row, many rows, INSERT
 * .. SELECT, COPY, emit() and emit_bytes(), in a savepoint that is rolled back; with NULL, empty, binary and
 * large bytes. */
#include "support/load_writer.h"

#include "support/scratch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES 60000 /* out of line in TOAST, well under Kafka's 1 MB */

static const char *const header_variants[] = {
    NULL,
    "{}",
    "{\"trace\": \"4bf92f3577b34da6\"}",
    "{\"a\": [\"1\", \"2\", \"\"], \"b\": null, \"content-type\": \"application/json\"}",
    "{\"name\": \"J\\u00fcrgen \\u2713 \\\"quoted\\\"\"}",
    "{\"none\": []}",
};

/* Even keys are text, odd ones hold NUL and bytes that are no UTF-8; key 0 is empty. Always hex digits. */
static void
key_hex(int key, char hex[64])
{
    char text[24];
    if (key % 2 == 1) {
        snprintf(hex, 64, "00ff%08x", (unsigned)key);
        return;
    }
    int size = key == 0 ? 0 : snprintf(text, sizeof text, "key-%d", key);
    hex[0] = '\0';
    for (int i = 0; i < size; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", (unsigned char)text[i]);
}

static void
write_random_hex(struct writer *writer, FILE *sql, int size)
{
    for (int i = 0; i < size; i++)
        fprintf(sql, "%02x", (unsigned)writer_draw(writer, 256));
}

/* A bytea literal, or null. */
static void
write_payload(struct writer *writer, FILE *sql)
{
    int kind = writer_draw(writer, 1000);
    if (kind < 100) {
        fputs("null", sql);
        return;
    }
    fputs("'\\x", sql);
    if (kind >= 998)
        write_random_hex(writer, sql, LARGE_BYTES);
    else if (kind >= 200)
        write_random_hex(writer, sql, 1 + writer_draw(writer, 200));
    fputs("'::bytea", sql);
}

static const char *
pick_headers(struct writer *writer)
{
    return header_variants[writer_draw(writer, sizeof header_variants / sizeof *header_variants)];
}

static void
write_headers(FILE *sql, const char *headers)
{
    if (headers == NULL)
        fputs("null", sql);
    else
        fprintf(sql, "'%s'::jsonb", headers);
}

static void
write_values(struct writer *writer, FILE *sql, const char *hex, int rows)
{
    fputs("insert into outbox.event (topic, key, payload, headers) values ", sql);
    for (int i = 0; i < rows; i++) {
        fprintf(sql, "%s('%s', '\\x%s', ", i ? ", " : "", writer->topic, hex);
        write_payload(writer, sql);
        fputs(", ", sql);
        write_headers(sql, pick_headers(writer));
        fputc(')', sql);
    }
    if (writer_chance(writer, 50))
        fputs(" returning id", sql);
}

static void
write_select(struct writer *writer, FILE *sql, const char *hex, int rows)
{
    fprintf(sql,
            "insert into outbox.event (topic, key, payload, headers) select '%s', '\\x%s', int8send(g), ",
            writer->topic, hex);
    write_headers(sql, pick_headers(writer));
    fprintf(sql, " from generate_series(1::bigint, %d) g order by g", rows);
}

static void
write_emit(struct writer *writer, FILE *sql, const char *hex, int rows)
{
    for (int i = 0; i < rows; i++) {
        const char *headers = pick_headers(writer);
        if (writer_chance(writer, 50)) {
            fprintf(sql, "select outbox.emit_bytes('%s', '\\x%s', ", writer->topic, hex);
            write_payload(writer, sql);
        } else {
            /* a key that is no text goes through emit_bytes only */
            bool text = strncmp(hex, "00ff", 4) != 0;
            fprintf(sql,
                    text ? "select outbox.emit('%s', convert_from('\\x%s', 'UTF8'), "
                         : "select outbox.emit_bytes('%s', '\\x%s', ",
                    writer->topic, hex);
            if (text)
                fprintf(sql, writer_chance(writer, 10) ? "null" : "'{\"n\": %d, \"text\": \"\\u00e4\"}'", i);
            else
                write_payload(writer, sql);
        }
        if (writer_chance(writer, 50)) {
            fputs(", ", sql);
            write_headers(sql, headers);
        }
        fputs(");", sql);
    }
}

/* COPY's text format: bytea as \\x.., NULL as \N. */
static bool
emit_by_copy(struct writer *writer, const char *hex, int rows)
{
    char *data = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&data, &size);
    for (int i = 0; i < rows; i++) {
        fprintf(text, "%s\t\\\\x%s\t", writer->topic, hex);
        if (writer_chance(writer, 10)) {
            fputs("\\N", text);
        } else {
            fputs("\\\\x", text);
            write_random_hex(writer, text, writer_draw(writer, 100));
        }
        fputs(writer_chance(writer, 50) ? "\t\\N\n" : "\t{\"via\": \"copy\"}\n", text);
    }
    fclose(text);
    bool done = writer_run(writer, "copy outbox.event (topic, key, payload, headers) from stdin", NULL);
    if (done) {
        PQputCopyData(writer->connection, data, (int)size);
        PQputCopyEnd(writer->connection, NULL);
        done = writer_run(writer, NULL, NULL);
    }
    free(data);
    return done;
}

static bool
emit_rows(struct writer *writer, const char *hex, int rows)
{
    int way = writer_draw(writer, 100);
    if (way < 20)
        return emit_by_copy(writer, hex, rows);
    char *text = NULL;
    size_t size = 0;
    FILE *sql = open_memstream(&text, &size);
    if (way < 40 || rows > 100)
        write_select(writer, sql, hex, rows);
    else if (way < 60)
        write_emit(writer, sql, hex, rows);
    else
        write_values(writer, sql, hex, rows);
    fclose(sql);
    bool done = writer_run(writer, text, NULL);
    free(text);
    return done;
}

/* The witnesses for the ledger's trigger, in a statement of their own: what is visible now had committed
 * before any of the rows to come draws its id. */
static bool
state_witnesses(struct writer *writer, int64_t counter)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "select set_config('load.snapshot', pg_current_snapshot()::text, true),"
             " set_config('load.counter', '%" PRId64 "', true)",
             counter);
    return writer_run(writer, sql, NULL);
}

bool
writer_emit(struct writer *writer, int key, int rows, int64_t counter)
{
    char hex[64];
    const struct load *load = writer->load;
    key_hex(key, hex);
    snprintf(writer->topic, sizeof writer->topic, "%s",
             load->options.topics[(size_t)key % load->topic_count]);
    if (writer_chance(writer, 15) &&
        !(writer_run(writer, "savepoint s", NULL) && state_witnesses(writer, counter) &&
          emit_rows(writer, hex, rows) && writer_run(writer, "rollback to savepoint s", NULL)))
        return false;
    if (!state_witnesses(writer, counter) || !emit_rows(writer, hex, rows))
        return false;
    writer->emitted_in_transaction += (uint64_t)rows;
    return true;
}

bool
writer_emit_keyless(struct writer *writer)
{
    char sql[512];
    const char *topic = writer->load->options.topics[writer_draw(writer, (int)writer->load->topic_count)];
    snprintf(sql, sizeof sql,
             "insert into outbox.event (topic, payload) values ('%s', null), ('%s', ''), ('%s', '\\x00ff')",
             topic, topic, topic);
    if (!state_witnesses(writer, 0) || !writer_run(writer, sql, NULL))
        return false;
    writer->emitted_in_transaction += 3;
    return true;
}
