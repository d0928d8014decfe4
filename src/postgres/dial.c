/* dial.c: the start-up packet of every connection. Called by session.c; sends nothing else. */
#include "postgres/dial.h"

#include "postgres/session.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* What a role's or a database's defaults must not decide for us, and the planner settings under which the statements of
 * journal.c and reader.c were measured. Warnings must come: one of them says that a row is not durable (I3). */
#define SESSION_OPTIONS                                                                                      \
    " -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"                \
    " -c default_transaction_deferrable=off -c synchronous_commit=on -c lock_timeout=5000"                   \
    " -c idle_in_transaction_session_timeout=60000 -c client_encoding=UTF8 -c TimeZone=UTC -c search_path="  \
    " -c jit=off -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c "                  \
    "enable_mergejoin=off"                                                                                   \
    " -c constraint_exclusion=off -c max_parallel_workers_per_gather=0 -c "                                  \
    "plan_cache_mode=force_generic_plan -c work_mem=32MB"                                                    \
    " -c bytea_output=hex -c IntervalStyle=postgres -c DateStyle=ISO"                                        \
    " -c quote_all_identifiers=off -c client_min_messages=warning"

struct dial {
    char *conninfo;
    char *password; /* NULL: libpq's own ways */
    char *options;  /* the user's own, then ours */
};

static void
wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void
dial_set_password(struct dial *dial, const char *password)
{
    wipe(dial->password);
    dial->password = password != NULL ? must_strdup(password) : NULL;
}

bool
dial_new(struct dial **dial, const struct settings *settings, struct error *error)
{
    char *reason = NULL;
    PQconninfoOption *parsed = PQconninfoParse(settings->postgres_conninfo, &reason);
    if (parsed == NULL) {
        error_set(error, ERROR_CONFIG, "postgres.conninfo: %s", reason ? reason : "out of memory");
        PQfreemem(reason);
        return false;
    }
    const char *own = "";
    for (PQconninfoOption *option = parsed; option->keyword != NULL; option++)
        if (strcmp(option->keyword, "options") == 0 && option->val != NULL)
            own = option->val;
    struct dial *made = must_calloc(1, sizeof *made);
    made->options =
        must_format("%s -c statement_timeout=%d%s", own, SESSION_STATEMENT_TIMEOUT_MS, SESSION_OPTIONS);
    made->conninfo = must_strdup(settings->postgres_conninfo);
    dial_set_password(made, settings->postgres_password);
    PQconninfoFree(parsed);
    *dial = made;
    return true;
}

void
dial_free(struct dial *dial)
{
    if (dial == NULL)
        return;
    wipe(dial->password);
    wipe(dial->conninfo);
    free(dial->options);
    free(dial);
}

struct pg_conn *
dial_start(const struct dial *dial)
{
    /* Ours before the user's conninfo are defaults, ours after it are not negotiable. `primary` instead of `read-write`:
     * a role whose transactions are read-only by default is no reason to call its server a standby. */
    const char *keywords[] = {"connect_timeout",
                              "keepalives_idle",
                              "keepalives_interval",
                              "keepalives_count",
                              "tcp_user_timeout",
                              "fallback_application_name",
                              "dbname",
                              "options",
                              "target_session_attrs",
                              "client_encoding",
                              dial->password ? "password" : NULL,
                              NULL};
    const char *values[] = {"10",           "5",           "2",       "3",    "10000",        "outboxd",
                            dial->conninfo, dial->options, "primary", "UTF8", dial->password, NULL};
    return PQconnectStartParams(keywords, values, 1);
}
