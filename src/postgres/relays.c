/* relays.c: reads the registry and calls relay_add and relay_retire of schema/002_relays.sql. Called by the command `relay`
 * only; decides nothing. */
#include "postgres/relays.h"

#include "postgres/cells.h"
#include "postgres/moments.h"
#include "postgres/oneshot.h"

#include <inttypes.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* SQL is laid out by its own clauses. */
/* clang-format off */
static const char sql_list[] =
    "select r.name, r.source, to_json(r.topics), " SQL_MICROSECONDS("r.retention") ","
    " " SQL_UTC("r.created_at") ", " SQL_UTC("r.retired_at") ", coalesce(n.epoch, 0), coalesce(n.released, false),"
    " coalesce(" SQL_AGE("n.written_at") ", -1), r.paused"
    " from outbox.relay r left join lateral (select * from outbox.journal j"
    "   where j.relay = r.name order by j.seq desc limit 1) n on true"
    " order by r.retired_at is not null, r.name";
/* clang-format on */

static void
read_topics(const char *text, struct relays_entry *entry)
{
    json_t *array = json_loads(text, 0, NULL);
    entry->topics = must_calloc(json_array_size(array), sizeof *entry->topics);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *topic = json_string_value(json_array_get(array, i));
        entry->topics[entry->topic_count++] = must_strdup(topic != NULL ? topic : "");
    }
    json_decref(array);
}

bool
relays_read(struct session *session, struct relays *relays, struct error *error)
{
    PGresult *result;
    *relays = (struct relays){0};
    if (!oneshot_ask(session, sql_list, &result, error))
        return error_prefix(error, "cannot read the registry");
    size_t count = (size_t)PQntuples(result);
    relays->list = must_calloc(count, sizeof *relays->list);
    for (; relays->count < count; relays->count++) {
        int row = (int)relays->count;
        struct relays_entry *entry = &relays->list[row];
        entry->name = cell_text_or_null(result, row, 0);
        entry->source = cell_text_or_null(result, row, 1);
        read_topics(PQgetvalue(result, row, 2), entry);
        entry->retention_us = cell_number(result, row, 3);
        entry->created_at = cell_text_or_null(result, row, 4);
        entry->retired_at = cell_text_or_null(result, row, 5);
        entry->epoch = cell_number(result, row, 6);
        entry->released = cell_truth(result, row, 7);
        entry->heartbeat_age_us = cell_number(result, row, 8);
        entry->paused = cell_truth(result, row, 9);
    }
    PQclear(result);
    return true;
}

void
relays_free(struct relays *relays)
{
    for (size_t i = 0; i < relays->count; i++) {
        struct relays_entry *entry = &relays->list[i];
        for (size_t k = 0; k < entry->topic_count; k++)
            free(entry->topics[k]);
        free(entry->topics);
        free(entry->name);
        free(entry->source);
        free(entry->created_at);
        free(entry->retired_at);
    }
    free(relays->list);
    *relays = (struct relays){0};
}

/* ---- changes ---- */

static void
write_literal(FILE *to, struct session *session, const char *text)
{
    char *quoted = PQescapeLiteral(session_connection(session), text, strlen(text));
    CHECK(quoted != NULL); /* names and patterns, which are ASCII */
    fputs(quoted, to);
    PQfreemem(quoted);
}

/* Calls a function that says in one word what came of it; `outcome` holds that word. */
static bool
call(struct session *session, const char *sql, char outcome[16], struct error *error)
{
    PGresult *result;
    if (!oneshot_allow_changes(session, error))
        return false;
    if (!oneshot_ask(session, sql, &result, error)) {
        oneshot_blame(error);
        return false;
    }
    snprintf(outcome, 16, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return true;
}

bool
relays_add(struct session *session, const struct relays_wish *wish, struct error *error)
{
    char *sql = NULL, outcome[16] = "";
    size_t size = 0;
    FILE *to = open_memstream(&sql, &size);
    CHECK(to != NULL);
    fputs("select outbox.relay_add(", to);
    write_literal(to, session, wish->name);
    fputs(", ", to);
    write_literal(to, session, wish->source);
    fputs(", array[", to);
    for (size_t i = 0; i < wish->topic_count; i++) {
        fputs(i > 0 ? ", " : "", to);
        write_literal(to, session, wish->topics[i]);
    }
    fprintf(to, "]::text[], interval '1 microsecond' * %" PRId64 ", %s)", wish->retention_us,
            wish->from_now ? "true" : "false");
    CHECK(fclose(to) == 0);
    bool good =
        call(session, sql, outcome, error) || error_prefix(error, "cannot add relay \"%s\"", wish->name);
    free(sql);
    if (good && strcmp(outcome, "added") != 0)
        return error_set(error, ERROR_USAGE, "relay \"%s\" is registered already", wish->name);
    return good;
}

bool
relays_retire(struct session *session, const char *name, struct error *error)
{
    char *sql = NULL, outcome[16] = "";
    size_t size = 0;
    FILE *to = open_memstream(&sql, &size);
    CHECK(to != NULL);
    fputs("select outbox.relay_retire(", to);
    write_literal(to, session, name);
    fputs(")", to);
    CHECK(fclose(to) == 0);
    bool good = call(session, sql, outcome, error) || error_prefix(error, "cannot retire relay \"%s\"", name);
    free(sql);
    if (good && strcmp(outcome, "retired") != 0)
        return error_set(error, ERROR_USAGE, "relay \"%s\" %s", name,
                         strcmp(outcome, "known") == 0 ? "is retired already" : "is not registered");
    return good;
}
