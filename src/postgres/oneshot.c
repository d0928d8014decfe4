/* oneshot.c: turns a session until it has connected or answered. Called by the commands that look at a database and end;
 * changes nothing in it but what they ask for. */
#include "postgres/oneshot.h"

#include "base/clock.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define TEXT_OF(number) TEXT_OF_EXPANDED(number)
#define TEXT_OF_EXPANDED(number) #number

/* Beside a relay that works: we queue behind no lock for long, and whatever we ask can change nothing. */
static const char set_up_sql[] = "set default_transaction_read_only = on; set lock_timeout = 1000;"
                                 " set statement_timeout = " TEXT_OF(ONESHOT_STATEMENT_MS);

static void
wait_for_socket(const struct session *session, int64_t deadline_us, int64_t now_us)
{
    struct pollfd descriptor = {.fd = session_fd(session), .events = session_events(session)};
    int64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    (void)ppoll(&descriptor, 1, &wait, NULL); /* whatever it says, the next turn looks again */
}

/* False when the session was lost, or did not reach `wanted` before the deadline; then it is closed. */
static bool
turn_until(struct session *session, enum session_state wanted, int64_t deadline_us, struct error *error)
{
    for (;;) {
        int64_t now_us = clock_monotonic_us();
        int64_t due_us = session_turn(session, now_us);
        if (session_state(session) == wanted)
            return true;
        if (session_state(session) == SESSION_CLOSED) {
            *error = *session_error(session);
            return false;
        }
        if (now_us >= deadline_us) {
            session_close(session);
            return error_set(error, ERROR_RETRY, "Postgres does not answer");
        }
        wait_for_socket(session, due_us < deadline_us ? due_us : deadline_us, now_us);
    }
}

/* False when the connection was lost before: there is nothing to ask. */
static bool
is_open(const struct session *session, struct error *error)
{
    return session_state(session) != SESSION_CLOSED ||
           error_set(error, ERROR_RETRY, "the connection to Postgres is lost");
}

bool
oneshot_await(struct session *session, struct error *error)
{
    return turn_until(session, SESSION_ANSWERED, clock_monotonic_us() + ONESHOT_ANSWER_US, error);
}

static bool
take_answer(struct session *session, struct pg_result **result, struct error *error)
{
    if (!oneshot_await(session, error))
        return false;
    *result = session_answer(session, error);
    return *result != NULL;
}

bool
oneshot_ask(struct session *session, const char *sql, struct pg_result **result, struct error *error)
{
    *result = NULL;
    if (!is_open(session, error))
        return false;
    session_ask(session, sql, clock_monotonic_us());
    return take_answer(session, result, error);
}

bool
oneshot_run(struct session *session, const struct oneshot_statement *statement, struct pg_result **result,
            struct error *error)
{
    *result = NULL;
    if (!is_open(session, error))
        return false;
    session_ask_prepared(session, statement->name, statement->count, statement->values, statement->binary,
                         clock_monotonic_us());
    return take_answer(session, result, error);
}

bool
oneshot_open(struct session **session, const struct settings *settings, struct error *error)
{
    struct pg_result *nothing;
    if (!session_new(session, settings, "outboxd", error))
        return false;
    session_connect(*session, clock_monotonic_us());
    bool good = turn_until(*session, SESSION_IDLE, CLOCK_NEVER, error) &&
                oneshot_ask(*session, set_up_sql, &nothing, error);
    if (good) {
        session_forget(nothing);
        return true;
    }
    session_free(*session);
    *session = NULL;
    return false;
}

bool
oneshot_allow_changes(struct session *session, struct error *error)
{
    struct pg_result *nothing;
    if (!oneshot_ask(session, "set default_transaction_read_only = off", &nothing, error))
        return false;
    session_forget(nothing);
    return true;
}

void
oneshot_blame(struct error *error)
{
    bool value = strncmp(error->sqlstate, "22", 2) == 0 || strncmp(error->sqlstate, "23", 2) == 0;
    error->kind = value ? ERROR_USAGE : error->kind == ERROR_INTERNAL ? ERROR_UNUSABLE : error->kind;
}

static bool
take_facts(struct session *session, const char *sql,
           bool (*read)(struct inspect_facts *, const struct pg_result *, struct error *),
           struct inspect_facts *facts, struct error *error)
{
    struct pg_result *result;
    bool good = oneshot_ask(session, sql, &result, error) && read(facts, result, error);
    session_forget(result);
    return good;
}

bool
oneshot_inspect(struct session *session, struct inspect_facts *facts, struct error *error)
{
    *facts = (struct inspect_facts){0};
    bool good = take_facts(session, inspect_catalog_sql, inspect_read_catalog, facts, error) &&
                (!inspect_wants_outbox(facts) ||
                 take_facts(session, inspect_outbox_sql, inspect_read_outbox, facts, error));
    return good || error_prefix(error, "cannot inspect the database");
}
