/* dial.c: how a connection begins: which server, the start-up packet, how long to wait for it. Called by session.c; sends
 * nothing else. */
#include "postgres/dial.h"

#include "config/secrets.h"
#include "postgres/conceal.h"
#include "postgres/hosts.h"
#include "postgres/session.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
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
    char *application;

    struct hosts hosts;  /* as libpq has understood them */
    int64_t patience_us; /* with each of them */
    size_t first;        /* the one to begin with: behind the last that was silent, or ended the attempt */
    size_t silences;     /* in this dial */
    char address[320];   /* which one is being tried */
    bool wants_write;
    int64_t deadline_us;
};

void
dial_set_password(struct dial *dial, const char *password)
{
    secrets_wipe(dial->password);
    dial->password = password != NULL ? must_strdup(password) : NULL;
}

/* What others see of an environment is the memory in which the process was given it; setenv() takes other memory. */
void
dial_hide_environment(void)
{
    char *password = getenv("PGPASSWORD");
    if (password == NULL)
        return;
    char *copy = must_strdup(password);
    explicit_bzero(password, strlen(password));
    CHECK(setenv("PGPASSWORD", copy, 1) == 0);
    secrets_wipe(copy);
}

bool
dial_new(struct dial **dial, const struct settings *settings, const char *application, struct error *error)
{
    char *reason = NULL;
    PQconninfoOption *parsed = PQconninfoParse(settings->postgres_conninfo, &reason);
    if (parsed == NULL) {
        error_set(error, ERROR_CONFIG, "postgres.conninfo: %s", reason ? reason : "out of memory");
        error->message[strcspn(error->message, "\n")] = '\0';
        conceal_complaint(error->message);
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
    made->application = must_strdup(application);
    made->conninfo = must_strdup(settings->postgres_conninfo);
    dial_set_password(made, settings->postgres_password);
    conceal_options(parsed);
    *dial = made;
    return true;
}

void
dial_free(struct dial *dial)
{
    if (dial == NULL)
        return;
    secrets_wipe(dial->password);
    secrets_wipe(dial->conninfo);
    free(dial->options);
    free(dial->application);
    hosts_clear(&dial->hosts);
    free(dial);
}

/* Ours before the user's conninfo are defaults, ours after it are not negotiable. `primary` instead of `read-write`: a role
 * whose transactions are read-only by default is no reason to call its server a standby. */
static PGconn *
start(const struct dial *dial)
{
    char *host = hosts_rotate(&dial->hosts, dial->hosts.host, dial->first);
    char *hostaddr = hosts_rotate(&dial->hosts, dial->hosts.hostaddr, dial->first);
    char *port = hosts_rotate(&dial->hosts, dial->hosts.port, dial->first);
    const char *parameters[][2] = {{"keepalives_idle", "5"},
                                   {"keepalives_interval", "2"},
                                   {"keepalives_count", "3"},
                                   {"tcp_user_timeout", "10000"},
                                   {"fallback_application_name", dial->application},
                                   {"dbname", dial->conninfo},
                                   {"host", host},
                                   {"hostaddr", hostaddr},
                                   {"port", port},
                                   {"options", dial->options},
                                   {"target_session_attrs", "primary"},
                                   {"client_encoding", "UTF8"},
                                   {"password", dial->password}};
    enum { COUNT = sizeof parameters / sizeof parameters[0] };
    const char *keywords[COUNT + 1] = {0}, *values[COUNT + 1] = {0};
    for (size_t i = 0; i < COUNT; i++)
        keywords[i] = parameters[i][0], values[i] = parameters[i][1]; /* libpq passes over a NULL value */
    PGconn *connection = PQconnectStartParams(keywords, values, 1);
    free(port);
    free(hostaddr);
    free(host);
    return connection;
}

static bool
has_begun(const PGconn *connection)
{
    return connection != NULL && PQstatus(connection) != CONNECTION_BAD;
}

/* Once: what the conninfo, its service and the environment come to. */
static void
read_hosts(struct dial *dial, PGconn *connection)
{
    const char *host = NULL, *hostaddr = NULL, *port = NULL, *timeout = NULL;
    const struct {
        const char *keyword, **value;
    } wanted[] = {{"host", &host}, {"hostaddr", &hostaddr}, {"port", &port}, {"connect_timeout", &timeout}};
    PQconninfoOption *options = PQconninfo(connection);
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strcmp(option->keyword, wanted[i].keyword) == 0)
                *wanted[i].value = option->val;
    }
    hosts_set(&dial->hosts, host, hostaddr, port);
    int64_t seconds = timeout != NULL ? strtoll(timeout, NULL, 10) : 0;
    if (seconds > 0)
        dial->patience_us = (seconds < DIAL_LONGEST_S ? seconds : DIAL_LONGEST_S) * 1000000;
    else
        dial->patience_us = dial->hosts.count > 1 ? DIAL_ONE_OF_SEVERAL_US : DIAL_ALONE_US;
    conceal_options(options);
}

/* libpq goes on by itself from a server or an address that refuses: each has the whole time. */
static void
renew_deadline(struct dial *dial, const PGconn *connection, int64_t now_us)
{
    char address[sizeof dial->address];
    const char *host = PQhost(connection), *hostaddr = PQhostaddr(connection), *port = PQport(connection);
    snprintf(address, sizeof address, "%.200s %.60s %.40s", host ? host : "", hostaddr ? hostaddr : "",
             port ? port : "");
    if (strcmp(address, dial->address) == 0)
        return;
    memcpy(dial->address, address, sizeof address);
    dial->deadline_us = now_us + dial->patience_us;
}

static PGconn *
begin(struct dial *dial, int64_t now_us)
{
    PGconn *connection = start(dial);
    dial->wants_write = true;
    dial->address[0] = '\0';
    if (has_begun(connection)) {
        if (dial->hosts.count == 0)
            read_hosts(dial, connection);
        renew_deadline(dial, connection, now_us);
    }
    return connection;
}

struct pg_conn *
dial_begin(struct dial *dial, int64_t now_us)
{
    dial->silences = 0;
    return begin(dial, now_us);
}

/* The one that is being tried has had its turn: what comes begins behind it. */
static void
pass_turn(struct dial *dial, const PGconn *connection)
{
    size_t count = dial->hosts.count;
    size_t tried = hosts_find(&dial->hosts, PQhost(connection), PQport(connection));
    if (count > 0)
        dial->first = ((tried < count ? tried : dial->first) + 1) % count;
}

/* The server after the one that is being tried, which has had its time. */
static enum dial_state
go_on(struct dial *dial, PGconn **connection, int64_t now_us)
{
    pass_turn(dial, *connection);
    if (++dial->silences >= dial->hosts.count)
        return DIAL_SILENT;
    PQfinish(*connection);
    *connection = begin(dial, now_us);
    return has_begun(*connection) ? DIAL_WAITING : DIAL_REFUSED;
}

enum dial_state
dial_turn(struct dial *dial, struct pg_conn **connection, int64_t now_us)
{
    if (now_us >= dial->deadline_us)
        return go_on(dial, connection, now_us);
    struct pollfd socket = {PQsocket(*connection), dial_events(dial), 0};
    if (poll(&socket, 1, 0) <= 0)
        return DIAL_WAITING; /* PQconnectPoll may block when the socket is not ready */
    PostgresPollingStatusType polled = PQconnectPoll(*connection);
    dial->wants_write = polled == PGRES_POLLING_WRITING;
    if (polled == PGRES_POLLING_OK)
        return DIAL_DONE;
    if (polled != PGRES_POLLING_READING && polled != PGRES_POLLING_WRITING) {
        /* libpq ends the attempt at a server that takes the connection and then ends it, whatever servers are behind */
        pass_turn(dial, *connection);
        return DIAL_REFUSED;
    }
    renew_deadline(dial, *connection, now_us);
    return DIAL_WAITING;
}

short
dial_events(const struct dial *dial)
{
    return dial->wants_write ? POLLOUT : POLLIN;
}

int64_t
dial_deadline_us(const struct dial *dial)
{
    return dial->deadline_us;
}
