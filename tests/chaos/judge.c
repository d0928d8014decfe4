/* judge.c: judges a round by the checker of all tests (support/checker.h), and keeps what a failed one leaves (judge.h). */
#include "chaos/judge.h"

#include "support/load.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdlib.h>

/* Kafka's own time-outs, the longest lease that a thin link asks for, and a backlog of half a minute fit in. */
#define CONFIRM_MS 120000

static bool
all_confirmed(void *context)
{
    struct stage *stage = context;
    stage_wait(stage, 100);
    PGconn *admin = stage_admin(stage);
    bool confirmed = expected_nothing_waits(admin) && expected_is_confirmed(admin);
    PQfinish(admin);
    return confirmed;
}

bool
judge_await_confirmed(struct stage *stage)
{
    bool confirmed = wait_until(all_confirmed, stage, CONFIRM_MS);
    if (!confirmed)
        stage_say(stage, "not everything is confirmed %d s after the last fault", CONFIRM_MS / 1000);
    return confirmed;
}

bool
judge_good(const struct stage *stage, const struct verdict *verdict)
{
    return verdict_clean(verdict) && (!stage->exact || verdict->duplicates == 0);
}

/* ---- evidence ---- */

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

static void
keep_records(const struct records *records, const char *directory)
{
    FILE *file = open_evidence(directory, "published.tsv");
    fputs("topic\tpartition\toffset\tid\ttimestamp_ms\tkey\n", file);
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];
        const struct record_header *id = record_header(record, "id");
        fprintf(file, "%s\t%" PRId32 "\t%" PRId64 "\t%s\t%" PRId64 "\t", record->topic, record->partition,
                record->offset, id != NULL && id->value.data != NULL ? id->value.data : "",
                record->timestamp_ms);
        write_hex(file, record->key);
        fputc('\n', file);
    }
    fclose(file);
}

static void
keep_journal(struct stage *stage, const char *directory)
{
    FILE *file = open_evidence(directory, "journal.tsv");
    PGconn *admin = stage_admin(stage);
    char *rows =
        postgres_text(admin, "select string_agg(j::text, E'\\n' order by seq) from outbox.journal j");
    fprintf(file, "%s\n", rows ? rows : "");
    free(rows);
    PQfinish(admin);
    fclose(file);
}

struct verdict
judge_round(struct stage *stage, const char *evidence)
{
    struct expected_events events = {0};
    struct records records = {0};
    PGconn *admin = stage_admin(stage);
    load_read_ledger(&events, admin);
    PQfinish(admin);
    consumer_read_all(&records, broker_bootstrap(stage->broker), stage->topics, true);
    struct verdict verdict = checker_judge(&events, &records, DAEMON_SOURCE);
    if (!judge_good(stage, &verdict)) {
        verdict_print(&verdict, stderr);
        keep_events(&events, evidence);
        keep_records(&records, evidence);
        keep_journal(stage, evidence);
    }
    records_free(&records);
    expected_free(&events);
    return verdict;
}

void
judge_forget(struct stage *stage)
{
    PGconn *admin = stage_admin(stage);
    postgres_exec(admin, "truncate load.ledger; update load.counter set n = 0 where n > 0");
    PQfinish(admin);
    for (int i = 0; stage->topics[i] != NULL; i++)
        broker_delete_topic(stage->broker, stage->topics[i]);
}
