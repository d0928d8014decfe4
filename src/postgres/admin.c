/* admin.c: connects as an administrator, runs a transaction, and decides whether one that failed is worth another try. Called
 * by schema.c and rebase.c. */
#include "postgres/admin.h"

#include "base/clock.h"
#include "postgres/conceal.h"
#include "postgres/failure.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How often somebody looks what a try waits for: within any lock_timeout of ours; then, of one that has its locks and works,
 * hardly any more. */
#define LOOK_MS 30
#define LOOK_LATER_MS 1000
#define LOOKS_AT_FIRST 100

#define PAUSE_FIRST_US 200000
#define PAUSE_LAST_US 8000000

/* The first try meets transactions of ordinary length; nobody notices a queue of the last ones. */
#define LOCK_LEAST_MS 100
#define LOCK_MOST_MS 800
/* Longer than deadlock_timeout, after which a waiter sends off an autovacuum that is in its way. */
#define LOCK_AUTOVACUUM_MS 1500

bool
admin_connect(PGconn **connection, const char *conninfo, const char *application, struct error *error)
{
    char *complaint = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &complaint);
    if (parsed == NULL) {
        error_set(error, ERROR_USAGE, "conninfo: %s", complaint ? complaint : "out of memory");
        error->message[strcspn(error->message, "\n")] = '\0';
        conceal_complaint(error->message);
        PQfreemem(complaint);
        return false;
    }
    conceal_options(parsed);
    /* what stands before dbname gives way to the conninfo, what stands behind it does not */
    const char *const keywords[] = {"connect_timeout", "tcp_user_timeout",          "dbname",
                                    "client_encoding", "fallback_application_name", NULL};
    const char *const values[] = {"10", "30000", conninfo, "UTF8", application, NULL};
    *connection = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(*connection) == CONNECTION_OK)
        return true;
    failure_of_connection(*connection, NULL, "cannot connect as the administrator", error);
    PQfinish(*connection);
    return false;
}

struct admin_patience
admin_patience_make(const char *conninfo, admin_listener *waits, void *context)
{
    return (struct admin_patience){.conninfo = conninfo,
                                   .waits = waits,
                                   .context = context,
                                   .deadline_us = clock_monotonic_us() + ADMIN_PATIENCE_US,
                                   .backoff =
                                       backoff_make(PAUSE_FIRST_US, PAUSE_LAST_US, (uint64_t)getpid())};
}

void
admin_patience_end(struct admin_patience *patience)
{
    blockers_close(&patience->blockers);
}

int
admin_lock_timeout_ms(const struct admin_patience *patience)
{
    int64_t ms = patience->pause_us / 10 / 1000;
    if (patience->blockers.autovacuum)
        return LOCK_AUTOVACUUM_MS;
    return ms < LOCK_LEAST_MS ? LOCK_LEAST_MS : ms > LOCK_MOST_MS ? LOCK_MOST_MS : (int)ms;
}

struct pg_result *
admin_exec(struct admin_patience *patience, PGconn *connection, const char *sql)
{
    PGresult *last = NULL, *result;
    struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
    int looks = 0;
    patience->blockers.names[0] = '\0';
    patience->blockers.autovacuum = false;
    if (!PQsendQuery(connection, sql))
        return NULL;
    for (;;) {
        while (PQisBusy(connection)) {
            if (poll(&socket, 1, looks < LOOKS_AT_FIRST ? LOOK_MS : LOOK_LATER_MS) == 0)
                looks++, blockers_look(&patience->blockers, patience->conninfo, PQbackendPID(connection));
            else if (!PQconsumeInput(connection))
                break; /* PQgetResult says so */
        }
        result = PQgetResult(connection);
        if (result == NULL)
            return last;
        PQclear(last);
        last = result;
    }
}

/* Two migrations at once (of two databases, roles being common to all) meet in the catalogs: one of them sees
 * a duplicate or, with an internal code, "tuple concurrently updated". The next try finds the other's work
 * done. */
static bool
is_passing(const char *sqlstate)
{
    static const char *const passing[] = {"55P03", "40P01", "40001", "23505",
                                          "42710", "42P06", "42P07", "XX000"};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (strcmp(sqlstate, passing[i]) == 0)
            return true;
    return false;
}

/* "": it was no lock, or nobody was seen. */
static const char *
who_is_in_the_way(const struct admin_patience *patience, const struct error *error)
{
    return strcmp(error->sqlstate, "55P03") == 0 ? patience->blockers.names : "";
}

static void
say_what_is_waited_for(const struct admin_patience *patience, const struct error *error)
{
    const char *names = who_is_in_the_way(patience, error);
    char line[sizeof patience->blockers.names + sizeof error->message];
    if (patience->waits == NULL)
        return;
    snprintf(line, sizeof line, "try %d failed, again in %.1f s: %s%s", patience->tries,
             (double)patience->pause_us / 1e6, names[0] != '\0' ? "waiting for " : "",
             names[0] != '\0' ? names : error->message);
    patience->waits(patience->context, line);
}

bool
admin_try_again(struct admin_patience *patience, PGconn *connection, struct error *error)
{
    const char *names = who_is_in_the_way(patience, error);
    patience->tries++;
    if (PQstatus(connection) != CONNECTION_OK || !is_passing(error->sqlstate))
        return false;
    if (clock_monotonic_us() >= patience->deadline_us)
        return error_prefix(error, "gave up after %d s%s%s", ADMIN_PATIENCE_US / 1000000,
                            names[0] != '\0' ? "; in the way: " : "", names);
    patience->pause_us = backoff_next_us(&patience->backoff);
    say_what_is_waited_for(patience, error);
    struct timespec pause = {.tv_sec = patience->pause_us / 1000000,
                             .tv_nsec = patience->pause_us % 1000000 * 1000};
    nanosleep(&pause, NULL);
    return true;
}
