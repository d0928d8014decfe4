/* evidence.c: see evidence.h. Called where a verdict is not good; judges nothing. */
#include "support/evidence.h"

#include "support/postgres.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <stdlib.h>

static FILE *
open_evidence(const char *directory, const char *name)
{
    char *path = must_format("%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        test_fail("%s: cannot write it", path);
    free(path);
    return file;
}

static void
write_hex(FILE *file, struct bytes bytes)
{
    if (bytes.data == NULL)
        fputs("null", file);
    for (size_t i = 0; i < bytes.size; i++)
        fprintf(file, "%02x", (unsigned char)bytes.data[i]);
}

static void
keep_events(const struct expected_events *events, const char *directory)
{
    FILE *file = open_evidence(directory, "committed.tsv");
    fputs("id\txid\tcounter\tsnapshot\tcreated_at_us\ttopic\tkey\n", file);
    for (size_t i = 0; i < events->count; i++) {
        const struct expected_event *event = &events->list[i];
        fprintf(file, "%" PRId64 "\t%" PRIu64 "\t%" PRId64 "\t%s\t%" PRId64 "\t%s\t", event->id, event->xid,
                event->counter, event->snapshot ? event->snapshot : "", event->created_at_us, event->topic);
        write_hex(file, event->key);
        fputc('\n', file);
    }
    fclose(file);
}

static const char *
header_text(const struct record *record, const char *name)
{
    const struct record_header *header = record_header(record, name);
    return header != NULL && header->value.data != NULL ? header->value.data : "";
}

static void
keep_records(const struct records *records, const char *directory)
{
    FILE *file = open_evidence(directory, "published.tsv");
    fputs("topic\tpartition\toffset\tid\treplay\ttimestamp_ms\tkey\n", file);
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];
        fprintf(file, "%s\t%" PRId32 "\t%" PRId64 "\t%s\t%s\t%" PRId64 "\t", record->topic, record->partition,
                record->offset, header_text(record, "id"), header_text(record, "replay"),
                record->timestamp_ms);
        write_hex(file, record->key);
        fputc('\n', file);
    }
    fclose(file);
}

static void
keep_table(PGconn *admin, const char *table, const char *directory)
{
    char *name = must_format("%s.tsv", table);
    FILE *file = open_evidence(directory, name);
    char *rows =
        postgres_text(admin, "select string_agg(r::text, E'\\n' order by r::text) from outbox.%s r", table);
    fprintf(file, "%s\n", rows ? rows : "");
    free(rows);
    fclose(file);
    free(name);
}

void
evidence_keep(const char *directory, const struct expected_events *events, const struct records *records,
              PGconn *admin)
{
    static const char *const tables[] = {"journal",   "request",      "dead_letter", "held_event",
                                         "discarded", "paused_topic", "pause"};
    keep_events(events, directory);
    keep_records(records, directory);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        keep_table(admin, tables[i], directory);
}
