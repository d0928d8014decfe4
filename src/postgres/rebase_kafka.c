/* rebase_kafka.c: brings what was read from Kafka into the session of a rebase, and calls the functions of
 * schema/007_failover.sql. Called by `outboxd rebase`; decides nothing. */
#include "postgres/rebase_kafka.h"

#include "postgres/cells.h"
#include "postgres/rebase_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So much is gathered before it is handed to libpq. */
#define LINES_SIZE ((size_t)64 * 1024)

bool
rebase_position_look(struct rebase *rebase, const char *relay, struct rebase_position *position,
                     struct error *error)
{
    static const char sql[] =
        "select j.confirmed_seq, coalesce(j.confirmed_id, 0), j.exact_seq is not null,"
        " coalesce(j.exact_seq, 0), coalesce(j.exact_id, 0), outbox.rebase_seen(j), outbox.rebase_others($1)"
        " from outbox.journal j join outbox.relay r on r.name = j.relay and r.retired_at is null"
        " where j.relay = $1 order by j.seq desc limit 1";
    PGresult *result;
    *position = (struct rebase_position){0};
    if (!rebase_ask_with(rebase, sql, 1, &relay, &result, error))
        return error_prefix(error, "cannot look at the journal");
    position->known = PQntuples(result) == 1;
    if (position->known) {
        position->confirmed = (struct journal_position){cell_number(result, 0, 0), cell_number(result, 0, 1)};
        position->exact = cell_truth(result, 0, 2);
        position->kafka = (struct journal_position){cell_number(result, 0, 3), cell_number(result, 0, 4)};
        snprintf(position->seen, sizeof position->seen, "%s", PQgetvalue(result, 0, 5));
        snprintf(position->others, sizeof position->others, "%s", PQgetvalue(result, 0, 6));
    }
    PQclear(result);
    return true;
}

/* An array of one half of the names, as text. */
static char *
names_array(const struct journal_name *names, size_t count, bool nonces)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "%c%" PRId64, i == 0 ? '{' : ',', nonces ? names[i].nonce : names[i].seq);
    fputs(count == 0 ? "{}" : "}", stream);
    CHECK(fclose(stream) == 0);
    return text;
}

bool
rebase_common(struct rebase *rebase, const char *relay, const struct rebase_history *history, int64_t *seq,
              struct error *error)
{
    static const char sql[] =
        "select coalesce(max(j.seq), -1) from unnest($2::bigint[], $3::bigint[]) n(seq, nonce)"
        " join outbox.journal j on j.relay = $1 and j.seq = n.seq and j.nonce = n.nonce"
        " where $4::bigint < (select l.confirmed_seq from outbox.journal l where l.relay = $1 order by l.seq "
        "desc"
        "  limit 1) or exists (select from outbox.journal a where a.relay = $1 and a.seq = $4::bigint and "
        "a.nonce = $5::bigint)";
    PGresult *result;
    char *seqs = names_array(history->names, history->count, false),
         *nonces = names_array(history->names, history->count, true), aside[24], nonce[24];
    const char *values[] = {relay, seqs, nonces, aside, nonce};
    snprintf(aside, sizeof aside, "%" PRId64, history->aside.seq > 0 ? history->aside.seq : -1);
    snprintf(nonce, sizeof nonce, "%" PRId64, history->aside.nonce);
    bool good = rebase_ask_with(rebase, sql, 5, values, &result, error);
    free(seqs);
    free(nonces);
    if (!good)
        return error_prefix(error, "cannot look at the journal");
    *seq = cell_number(result, 0, 0);
    PQclear(result);
    return true;
}

/* As many milliseconds as a time has, ten minutes early; 0 for NULL. */
#define SQL_EARLY(time)                                                                                      \
    " coalesce(floor(extract(epoch from " time " - interval '10 minutes') * 1000), 0)::bigint"

bool
rebase_topics(struct rebase *rebase, const char *relay, struct rebase_topic **topics, size_t *count,
              struct error *error)
{
    static const char sql[] = "select t.topic," SQL_EARLY("t.since") " from outbox.rebase_topics($1) t";
    PGresult *result;
    if (!rebase_ask_with(rebase, sql, 1, &relay, &result, error))
        return error_prefix(error, "cannot look at the outbox");
    *count = (size_t)PQntuples(result);
    *topics = must_calloc(*count, sizeof **topics);
    for (size_t i = 0; i < *count; i++)
        (*topics)[i] =
            (struct rebase_topic){must_strdup(PQgetvalue(result, (int)i, 0)), cell_number(result, (int)i, 1)};
    PQclear(result);
    return true;
}

bool
rebase_since(struct rebase *rebase, const char *relay, bool position, int64_t *since_ms, struct error *error)
{
    static const char sql[] = "select" SQL_EARLY("t") " from outbox.rebase_since($1, $2) t";
    const char *values[] = {relay, position ? "false" : "true"};
    PGresult *result;
    if (!rebase_ask_with(rebase, sql, 2, values, &result, error))
        return error_prefix(error, "cannot look at the journal");
    *since_ms = cell_number(result, 0, 0);
    PQclear(result);
    return true;
}

/* ---- records ---- */

bool
rebase_kafka_begin(struct rebase *rebase, struct error *error)
{
    PGresult *result;
    bool good = rebase_tell(rebase,
                            "create temporary table outboxd_record (id bigint not null, topic text not null,"
                            " partition integer not null, at bigint not null,"
                            " created_at timestamptz not null, appended boolean not null, key bytea,"
                            " payload bytea)",
                            error) &&
                rebase_ask(rebase, "copy pg_temp.outboxd_record from stdin", &result, error);
    if (!good)
        return error_prefix(error, "cannot make a temporary table");
    PQclear(result);
    rebase->stream = open_memstream(&rebase->lines, &rebase->lines_size);
    CHECK(rebase->stream != NULL);
    return true;
}

static void
write_bytes(FILE *stream, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    fputs(bytes == NULL ? "\t\\N" : "\t\\\\x", stream);
    for (size_t i = 0; bytes != NULL && i < size; i++)
        fprintf(stream, "%02x", at[i]);
}

/* The end of the year 9999: what a record says of its time may be anything, and Postgres does not take every year. */
#define LATEST_MS INT64_C(253402300799999)

static void
write_time(FILE *stream, int64_t said_ms)
{
    char text[64];
    struct tm parts;
    int64_t time_ms = said_ms < LATEST_MS ? said_ms : LATEST_MS;
    time_t seconds = (time_t)(time_ms / 1000);
    CHECK(gmtime_r(&seconds, &parts) != NULL);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    fprintf(stream, "\t%s.%03d+00", text, (int)(time_ms % 1000));
}

static bool
hand_over(struct rebase *rebase, struct error *error)
{
    CHECK(fflush(rebase->stream) == 0);
    if (PQputCopyData(rebase->connection, rebase->lines, (int)rebase->lines_size) != 1)
        return error_set(error, ERROR_UNUSABLE, "cannot write into a temporary table: %s",
                         PQerrorMessage(rebase->connection));
    rewind(rebase->stream);
    return true;
}

/* Topics have no character that COPY would take for another. Bytes are compared only where the time does not tell. */
bool
rebase_kafka_add(void *context, const struct published *record, struct error *error)
{
    struct rebase *rebase = context;
    FILE *stream = rebase->stream;
    bool timed = record->time_ms >= 0;
    fprintf(stream, "%" PRId64 "\t%s\t%d\t%" PRId64, record->id, record->topic, (int)record->partition,
            record->offset);
    write_time(stream, timed ? record->time_ms : 0);
    fputs(record->appended ? "\tt" : "\tf", stream);
    write_bytes(stream, record->appended ? record->key : NULL, record->key_size);
    write_bytes(stream, record->appended ? record->payload : NULL, record->payload_size);
    fputc('\n', stream);
    return ftell(stream) < (long)LINES_SIZE || hand_over(rebase, error);
}

static bool
end_records(struct rebase *rebase, struct error *error)
{
    if (!hand_over(rebase, error))
        return false;
    if (PQputCopyEnd(rebase->connection, NULL) != 1)
        return error_set(error, ERROR_UNUSABLE, "cannot write into a temporary table: %s",
                         PQerrorMessage(rebase->connection));
    bool good = true;
    for (PGresult *result; (result = PQgetResult(rebase->connection)) != NULL;) {
        good = good && rebase_accept(rebase, result, error);
        if (good)
            PQclear(result);
    }
    return good;
}

bool
rebase_kafka_judge(struct rebase *rebase, struct rebase_found *found, struct error *error)
{
    PGresult *result;
    *found = (struct rebase_found){0};
    if (!end_records(rebase, error) ||
        !rebase_ask(rebase,
                    "select records, published, phantoms, reused, untold, highest, sequence"
                    " from outbox.rebase_judge()",
                    &result, error))
        return error_prefix(error, "cannot compare what Kafka has");
    *found = (struct rebase_found){.records = cell_number(result, 0, 0),
                                   .events = cell_number(result, 0, 1),
                                   .phantoms = cell_number(result, 0, 2),
                                   .reused = cell_number(result, 0, 3),
                                   .untold = cell_number(result, 0, 4),
                                   .highest = cell_number(result, 0, 5),
                                   .sequence = cell_number(result, 0, 6)};
    PQclear(result);
    return true;
}

static void
give(const PGresult *result, rebase_phantom_sink *sink, void *context)
{
    struct rebase_phantom phantom = {.id = cell_number(result, 0, 0),
                                     .topic = PQgetvalue(result, 0, 1),
                                     .partition = (int32_t)cell_number(result, 0, 2),
                                     .offset = cell_number(result, 0, 3),
                                     .reused = cell_truth(result, 0, 4),
                                     .created_at = PQgetvalue(result, 0, 5)};
    sink(context, &phantom);
}

bool
rebase_each_phantom(struct rebase *rebase, int64_t most, rebase_phantom_sink *sink, void *context,
                    struct error *error)
{
    char *sql = must_format("select id, topic, partition, at, reused,"
                            " to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
                            " from pg_temp.outboxd_phantom order by id, topic, partition, at"
                            " limit nullif(%" PRId64 ", 0)",
                            most);
    bool good = PQsendQuery(rebase->connection, sql) == 1 && PQsetSingleRowMode(rebase->connection) == 1;
    free(sql);
    if (!good)
        return error_set(error, ERROR_UNUSABLE, "cannot list phantoms: %s",
                         PQerrorMessage(rebase->connection));
    for (PGresult *result; (result = PQgetResult(rebase->connection)) != NULL;) {
        if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
            give(result, sink, context);
        else if (!rebase_accept(rebase, result, error)) {
            good = false;
            continue;
        }
        PQclear(result);
    }
    return good;
}

/* ---- the decision ---- */

bool
rebase_position_plan(struct rebase *rebase, const char *relay, struct journal_position common, int64_t known,
                     struct rebase_positioned *plan, struct error *error)
{
    static const char sql[] = "select unconfirmed, passed_over, renumbered, retried"
                              " from outbox.rebase_position_plan($1, $2, $3, $4)";
    char seq[24], id[24], highest[24];
    const char *values[] = {relay, seq, id, highest};
    PGresult *result;
    snprintf(seq, sizeof seq, "%" PRId64, common.seq);
    snprintf(id, sizeof id, "%" PRId64, common.id);
    snprintf(highest, sizeof highest, "%" PRId64, known);
    if (!rebase_ask_with(rebase, sql, 4, values, &result, error))
        return error_prefix(error, "cannot compare what Kafka has");
    *plan = (struct rebase_positioned){.unconfirmed = cell_number(result, 0, 0),
                                       .passed_over = cell_number(result, 0, 1),
                                       .renumbered = cell_number(result, 0, 2),
                                       .retried = cell_number(result, 0, 3)};
    PQclear(result);
    return true;
}

bool
rebase_position_run(struct rebase *rebase, const char *relay, const struct rebase_position *looked,
                    struct journal_position common, int64_t known, admin_listener *waits, void *context,
                    struct rebase_positioned *done, struct error *error)
{
    PGresult *result = NULL;
    *done = (struct rebase_positioned){0};
    char *name = PQescapeLiteral(rebase->connection, relay, strlen(relay));
    CHECK(name != NULL); /* a legal name, in UTF-8 */
    char *sql = must_format(
        "select done, passed_over, renumbered, retried from outbox.rebase_position(%s, '%s', '%s', "
        "%" PRId64 ", %" PRId64 ", %" PRId64 ")",
        name, looked->seen, looked->others, common.seq, common.id, known);
    PQfreemem(name);
    bool good = rebase_try(rebase, sql, waits, context, &result, error);
    free(sql);
    if (!good)
        return false;
    bool known_relay = cell_truth(result, 0, 0);
    *done = (struct rebase_positioned){.passed_over = cell_number(result, 0, 1),
                                       .renumbered = cell_number(result, 0, 2),
                                       .retried = cell_number(result, 0, 3)};
    PQclear(result);
    return known_relay ||
           error_set(error, ERROR_UNUSABLE, "nothing was changed: relay \"%s\" was retired meanwhile", relay);
}

/* Far ahead of writers, setval cannot set it back. */
bool
rebase_pass_ids(struct rebase *rebase, int64_t id, struct error *error)
{
    static const char sql[] =
        "select case when $1::bigint - coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0) > "
        "$2::bigint"
        " then setval('outbox.event_id_seq', $1::bigint) else outbox.sequence_pass($1::bigint) end";
    char text[24], at_once[24];
    const char *values[] = {text, at_once};
    PGresult *result;
    snprintf(text, sizeof text, "%" PRId64, id);
    snprintf(at_once, sizeof at_once, "%" PRId64, REBASE_IDS_AT_ONCE);
    if (!rebase_ask_with(rebase, sql, 2, values, &result, error))
        return error_prefix(error, "cannot move the id sequence");
    PQclear(result);
    return true;
}
