/* registry.c: calls the schema's functions for relays. Called by the leader between its steps; decides nothing. */
#include "postgres/registry.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one that leads, a small part of any lease. */
#define SQL_HARDLY_WAIT "set local lock_timeout = 100; "

static bool
failed(struct error *error, const char *what)
{
    bool locked = strcmp(error->sqlstate, "55P03") == 0;
    return error_prefix(error, "%s%s", what, locked ? ": somebody has locked outbox.relay" : "");
}

/* `text` as an SQL literal, or null. Never fails on a live connection: the encoding is UTF-8 and checked by config. */
static char *
literal(struct session *session, const char *text)
{
    if (text == NULL)
        return must_strdup("null");
    char *quoted = PQescapeLiteral(session_connection(session), text, strlen(text));
    char *copy = must_strdup(quoted != NULL ? quoted : "null");
    PQfreemem(quoted);
    return copy;
}

static char *
literal_array(struct session *session, char *const *texts, size_t count)
{
    char *list = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&list, &size);
    CHECK(stream != NULL);
    for (size_t i = 0; i < count; i++) {
        char *element = literal(session, texts[i]);
        fprintf(stream, "%s%s", i ? ", " : "", element);
        free(element);
    }
    CHECK(fclose(stream) == 0);
    return list;
}

void
registry_ask_register(struct session *session, const struct settings *settings, bool first, int64_t now_us)
{
    char *relay = literal(session, settings->relay);
    char *source = literal(session, settings->source);
    char *topics = literal_array(session, settings->topics, settings->topics_count);
    char *sql = must_format(
        "%sselect outbox.relay_register(%s, %s, array[%s]::text[], interval '1 microsecond' * %" PRId64 ")",
        first ? "" : SQL_HARDLY_WAIT, relay, source, topics, settings->retention_us);
    session_ask(session, sql, now_us);
    free(sql);
    free(topics);
    free(source);
    free(relay);
}

bool
registry_read_register(struct session *session, bool *registered, struct error *error)
{
    PGresult *result = session_answer(session, error);
    *registered = result != NULL && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return result != NULL || failed(error, "cannot register the relay");
}

/* What the database's encoding may not have becomes "?": a host name, a message in the system's language. */
static char *
in_ascii(const char *text)
{
    char *copy = must_strdup(text);
    for (char *at = copy; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    return copy;
}

void
registry_ask_trouble(struct session *session, const char *relay, const char *trouble, int64_t now_us)
{
    char *plain = trouble != NULL ? in_ascii(trouble) : NULL;
    char *name = literal(session, relay);
    char *value = literal(session, plain);
    char *sql = must_format(SQL_HARDLY_WAIT "select outbox.relay_trouble(%s, %s::jsonb)", name, value);
    session_ask(session, sql, now_us);
    free(sql);
    free(value);
    free(name);
    free(plain);
}

bool
registry_read_trouble(struct session *session, struct error *error)
{
    PGresult *result = session_answer(session, error);
    PQclear(result);
    return result != NULL || failed(error, "cannot write down what the relay is stuck at");
}

void
registry_ask_empty(struct session *session, int slot, int64_t now_us)
{
    char sql[96];
    snprintf(sql, sizeof sql, SQL_HARDLY_WAIT "select outbox.slot_empty(%d)", slot);
    session_ask(session, sql, now_us);
}

bool
registry_read_empty(struct session *session, char *outcome, size_t size, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot sweep the ring");
    snprintf(outcome, size, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return true;
}

void
registry_ask_trim(struct session *session, const char *relay, int64_t low, int64_t now_us)
{
    char *name = literal(session, relay);
    char *sql = must_format(SQL_HARDLY_WAIT "select outbox.journal_trim(%s, %" PRId64 ")", name, low);
    session_ask(session, sql, now_us);
    free(sql);
    free(name);
}

bool
registry_read_trim(struct session *session, int64_t *low, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot trim the journal");
    *low = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return true;
}

void
registry_ask_pass(struct session *session, int64_t id, int64_t now_us)
{
    char *sql = must_format("select outbox.sequence_pass(%" PRId64 ")", id);
    session_ask(session, sql, now_us);
    free(sql);
}

bool
registry_read_pass(struct session *session, int64_t *sequence, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot move the id sequence past what was published");
    *sequence = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return true;
}
