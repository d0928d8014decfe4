/* admin.c: connects as an administrator, and decides whether a transaction that failed is worth another try. Called by
 * schema.c and rebase.c. */
#include "postgres/admin.h"

#include "base/clock.h"
#include "postgres/conceal.h"
#include "postgres/failure.h"

#include <libpq-fe.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
    PQconninfoFree(parsed);
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
admin_patience_make(void)
{
    return (struct admin_patience){.deadline_us = clock_monotonic_us() + ADMIN_PATIENCE_US,
                                   .backoff = backoff_make(50000, 1000000, (uint64_t)getpid())};
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

bool
admin_try_again(struct admin_patience *patience, PGconn *connection, struct error *error)
{
    if (PQstatus(connection) != CONNECTION_OK || !is_passing(error->sqlstate))
        return false;
    if (clock_monotonic_us() >= patience->deadline_us)
        return error_prefix(error, "gave up after %d s", ADMIN_PATIENCE_US / 1000000);
    int64_t us = backoff_next_us(&patience->backoff);
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&pause, NULL);
    return true;
}
