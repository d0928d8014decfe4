/* session.c: session.h as the relay knows it, with the model of the server behind it. A request takes its time on the way, may be
 * lost before the server has it, be carried out without anybody learning of it, or much later. Linked instead of
 * src/postgres/session.c. */
#include "postgres/session.h"

#include "base/clock.h"
#include "simulator/judge.h"
#include "simulator/process.h"
#include "simulator/statement.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    enum session_state state;
    struct process *process;
    struct wire *wire;
    struct request *request; /* BUSY, ANSWERED */
    bool answered;
    struct error error;
};

/* ---- the wire ---- */

static int64_t
latency_us(void)
{
    return world_fault(model.postgres_percent) ? world_between(0, 300) * MS : world_between(20, 300);
}

static void
wake(const struct wire *wire)
{
    if (wire->session != NULL)
        process_wake(wire->process);
}

static void
break_wire(void *subject)
{
    struct wire *wire = subject;
    wire->broken = true;
    wake(wire);
}

static bool
is_reached(const struct wire *wire)
{
    return !database.down && world.now_us >= wire->process->cut_until_us;
}

static void
greet(void *subject)
{
    struct wire *wire = subject;
    if (!is_reached(wire)) {
        break_wire(wire);
        return;
    }
    wire->greeted = true;
    wire->incarnation = database.incarnation;
    wire->backend_pid = ++database.backends;
    wake(wire);
}

/* The answer is there. */
static void
arrive(void *subject)
{
    struct request *request = subject;
    struct wire *wire = request->wire;
    if (wire->session == NULL || wire->broken || wire->session->request != request)
        return;
    wire->session->answered = true;
    wake(wire);
}

static void
send_answer(void *subject)
{
    struct request *request = subject;
    if (request->silent || !is_reached(request->wire))
        world_after(world_between(0, 2 * model.settings.lease_us), break_wire, request->wire);
    else
        world_after(latency_us(), arrive, request);
}

/* At the server, which may have died since. */
static void
execute(void *subject)
{
    struct request *request = subject;
    if (database.down || request->wire->incarnation != database.incarnation)
        break_wire(request->wire);
    else
        statement_begin(request);
}

static void
begin(struct session *session, struct request *request)
{
    struct wire *wire = session->wire;
    CHECK(session->state == SESSION_IDLE);
    session->state = SESSION_BUSY;
    session->request = request;
    session->answered = false;
    request->wire = wire;
    request->finish = send_answer;
    request->stretched = world_chance(model.stretched_percent);
    if (request->name != NULL && strcmp(request->name, "outboxd_step") != 0)
        trace("process %d: asks %s %.40s", session->process->number, request->name,
              request->values[1] != NULL ? request->values[1] : "");
    bool cut = world.now_us < wire->process->cut_until_us;
    if (cut || world_fault(model.postgres_percent)) {
        int64_t notice_us = world_between(0, 2 * model.settings.lease_us);
        bool lost = cut || world_chance(50);
        trace("process %d: its request is %s", session->process->number,
              lost ? "lost" : "carried out unseen");
        if (lost || world_chance(50))
            world_after(notice_us, break_wire, wire);
        if (lost)
            return;
        request->silent = true;
        world_after(world_chance(70) ? latency_us() : world_between(0, 2 * model.settings.lease_us), execute,
                    request);
        return;
    }
    world_after(latency_us(), execute, request);
}

/* ---- session.h ---- */

bool
session_new(struct session **session, const struct settings *settings, const char *application,
            struct error *error)
{
    (void)settings;
    (void)error;
    process_name(turning, application);
    *session = must_calloc(1, sizeof **session);
    (*session)->process = turning;
    return true;
}

void
session_close(struct session *session)
{
    if (session->wire != NULL)
        session->wire->session = NULL;
    session->wire = NULL;
    session->request = NULL;
    session->state = SESSION_CLOSED;
}

void
session_free(struct session *session)
{
    if (session == NULL)
        return;
    session_close(session);
    free(session);
}

void
session_set_password(struct session *session, const char *password)
{
    (void)session;
    (void)password;
}

void
session_connect(struct session *session, int64_t now_us)
{
    (void)now_us;
    CHECK(session->state == SESSION_CLOSED);
    struct wire *wire = world_alloc(sizeof *wire);
    *wire = (struct wire){.session = session, .process = session->process};
    session->wire = wire;
    session->state = SESSION_CONNECTING;
    world_after(latency_us(), greet, wire);
}

enum session_state
session_state(const struct session *session)
{
    return session->state;
}

const struct error *
session_error(const struct session *session)
{
    return &session->error;
}

int
session_fd(const struct session *session)
{
    (void)session;
    return -1;
}

short
session_events(const struct session *session)
{
    (void)session;
    return 0;
}

int64_t
session_turn(struct session *session, int64_t now_us)
{
    struct wire *wire = session->wire;
    (void)now_us;
    if (session->state == SESSION_CLOSED || session->state == SESSION_ANSWERED)
        return CLOCK_NEVER;
    if (wire->greeted && wire->incarnation != database.incarnation)
        wire->broken = true;
    if (wire->broken) {
        error_set(&session->error, ERROR_RETRY, "lost the connection to Postgres");
        session_close(session);
    } else if (session->state == SESSION_CONNECTING && wire->greeted) {
        session->state = SESSION_IDLE;
    } else if (session->state == SESSION_BUSY && session->answered) {
        const struct request *request = session->request;
        if (request->sink != NULL && !request->failed)
            answer_copy(&request->answer, request->sink, request->sink_context);
        session->state = SESSION_ANSWERED;
    }
    return CLOCK_NEVER;
}

int
session_backend_pid(const struct session *session)
{
    return session->wire != NULL ? session->wire->backend_pid : 0;
}

void
session_ask(struct session *session, const char *sql, int64_t now_us)
{
    (void)now_us;
    struct request *request = world_alloc(sizeof *request);
    request->sql = world_text(sql);
    begin(session, request);
}

void
session_ask_prepared(struct session *session, const char *name, int count, const char *const *values,
                     bool binary, int64_t now_us)
{
    (void)now_us;
    (void)binary; /* the statement knows */
    struct request *request = world_alloc(sizeof *request);
    judge_asking(session->process, name);
    request->name = name;
    CHECK(count <= STATEMENT_VALUES);
    for (int i = 0; i < count; i++)
        request->values[i] = values[i] != NULL ? world_text(values[i]) : NULL;
    begin(session, request);
}

void
session_ask_copy(struct session *session, const char *sql, session_row_sink *sink, void *context,
                 int64_t now_us)
{
    (void)now_us;
    struct request *request = world_alloc(sizeof *request);
    request->sql = world_text(sql);
    request->sink = sink;
    request->sink_context = context;
    begin(session, request);
}

struct pg_result *
session_answer(struct session *session, struct error *error)
{
    const struct request *request = session->request;
    CHECK(session->state == SESSION_ANSWERED);
    session->state = SESSION_IDLE;
    if (request->failed) {
        error_set(error, ERROR_RETRY, "could not extend a file: No space left on device");
        return NULL;
    }
    if (request->sink != NULL)
        return PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
    return answer_result(&request->answer, request->binary);
}

void
session_forget(struct pg_result *result)
{
    PQclear(result);
}

bool
session_durable(const struct session *session)
{
    return !session->request->undurable;
}

struct pg_conn *
session_connection(struct session *session)
{
    (void)session;
    return NULL;
}

void
session_name(char name[SESSION_NAME_SIZE], const char *relay, const char *holder)
{
    (void)snprintf(name, SESSION_NAME_SIZE, "outboxd %.*s %.*s", SESSION_NAME_RELAY, relay,
                   SESSION_NAME_HOLDER, holder);
}
