/* registry.c: inspect.h and registry.h as the relay knows them: the database is as it should be, and what it is told is taken. Linked
 * instead of src/postgres/inspect*.c and registry.c. */
#include "postgres/registry.h"

#include "postgres/inspect.h"
#include "simulator/model.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

const char inspect_catalog_sql[] = "catalog";
const char inspect_outbox_sql[] = "outbox";

/* The ring is looked at every 300 ms, every second time to trim the journal. */
#define SLOTS 12
#define SLOT_WIDTH_US (SLOTS * 4 * 300 * MS)

static bool
took(struct session *session, struct error *error)
{
    struct pg_result *result = session_answer(session, error);
    session_forget(result);
    return result != NULL;
}

bool
inspect_read_catalog(struct inspect_facts *facts, const struct pg_result *result, struct error *error)
{
    (void)result;
    (void)error;
    facts->has_schema = true;
    return true;
}

bool
inspect_read_outbox(struct inspect_facts *facts, const struct pg_result *result, struct error *error)
{
    (void)result;
    (void)error;
    facts->slots = SLOTS;
    facts->slot_width_us = SLOT_WIDTH_US;
    facts->relay_count = 1;
    return true;
}

bool
inspect_wants_outbox(const struct inspect_facts *facts)
{
    return facts->has_schema;
}

void
inspect_facts_free(struct inspect_facts *facts)
{
    (void)facts; /* nothing in it is allocated */
}

void
inspect_judge(const struct inspect_facts *facts, const struct settings *settings, struct findings *findings)
{
    (void)facts;
    (void)settings;
    (void)findings;
}

void
registry_ask_register(struct session *session, const struct settings *settings, bool first, int64_t now_us)
{
    (void)settings;
    (void)first;
    session_ask(session, "register", now_us);
}

bool
registry_read_register(struct session *session, bool *registered, struct error *error)
{
    *registered = took(session, error);
    return *registered;
}

void
registry_ask_trouble(struct session *session, const char *relay, const char *trouble, int64_t now_us)
{
    (void)relay;
    (void)trouble;
    session_ask(session, "trouble", now_us);
}

bool
registry_read_trouble(struct session *session, struct error *error)
{
    return took(session, error);
}

void
registry_ask_empty(struct session *session, int slot, int64_t now_us)
{
    (void)slot;
    session_ask(session, "empty", now_us);
}

bool
registry_read_empty(struct session *session, char *outcome, size_t size, struct error *error)
{
    snprintf(outcome, size, "kept");
    return took(session, error);
}

void
registry_ask_trim(struct session *session, const char *relay, int64_t low, int64_t now_us)
{
    char sql[40];
    (void)relay;
    snprintf(sql, sizeof sql, MODEL_TRIM "%" PRId64, low);
    session_ask(session, sql, now_us);
}

bool
registry_read_trim(struct session *session, int64_t *low, struct error *error)
{
    struct pg_result *result = session_answer(session, error);
    if (result == NULL)
        return false;
    *low = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    session_forget(result);
    return true;
}

/* No standby is promoted here. */
void
registry_ask_pass(struct session *session, int64_t id, int64_t now_us)
{
    (void)session;
    (void)id;
    (void)now_us;
    check_failed(__FILE__, __LINE__, "a promotion in a world with one timeline");
}

bool
registry_read_pass(struct session *session, int64_t *sequence, struct error *error)
{
    *sequence = 0;
    return took(session, error);
}
