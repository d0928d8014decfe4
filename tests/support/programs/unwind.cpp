/* unwind.cpp: an application in C++ whose works throw through liboutbox. Built and run by tests/integration/client_library.c with
 * the connection string of an outbox; exits with 1 and what did not hold. */
#include <outbox.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

static PGconn *connection;

static void
demand(bool holds, const char *what)
{
    if (holds)
        return;
    std::printf("does not hold: %s\n", what);
    std::exit(1);
}

static bool
emit(outbox_unit *unit, void *, outbox_error *error)
{
    outbox_event event{};
    event.topic = "thrown";
    return outbox_emit(unit, &event, nullptr, error);
}

static bool
emit_and_throw(outbox_unit *unit, void *, outbox_error *error)
{
    demand(emit(unit, nullptr, error), "emit");
    throw std::runtime_error("no");
}

static bool
throw_from_a_statement(outbox_unit *unit, void *, outbox_error *)
{
    PQsendQuery(outbox_connection(unit), "select pg_sleep(600)");
    throw std::runtime_error("no");
}

static bool
join(outbox_unit *, void *, outbox_error *error)
{
    return outbox_run(connection, nullptr, emit_and_throw, nullptr, error);
}

static bool
join_and_catch(outbox_unit *unit, void *, outbox_error *error)
{
    try {
        join(unit, nullptr, error);
    } catch (const std::runtime_error &) {
    }
    return true;
}

static bool
try_a_step(outbox_unit *unit, void *, outbox_error *error)
{
    return outbox_optional(unit, emit_and_throw, nullptr, error);
}

static bool
try_a_step_and_catch(outbox_unit *unit, void *, outbox_error *error)
{
    try {
        try_a_step(unit, nullptr, error);
        demand(false, "the exception passes an optional step");
    } catch (const std::runtime_error &) {
    }
    return emit(unit, nullptr, error);
}

static bool
throws(outbox_work *work)
{
    try {
        bool done = outbox_run(connection, nullptr, work, nullptr, nullptr);
        demand(!done, "what throws is not committed");
    } catch (const std::runtime_error &) {
        return true;
    }
    return false;
}

static int
events()
{
    PGresult *result = PQexec(connection, "select count(id) from outbox.event");
    int count = std::atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return count;
}

static bool
is_idle()
{
    return PQstatus(connection) == CONNECTION_OK && PQtransactionStatus(connection) == PQTRANS_IDLE;
}

int
main(int, char **arguments)
{
    outbox_error error;
    connection = PQconnectdb(arguments[1]);

    demand(throws(emit_and_throw), "the exception arrives at whoever called outbox_run");
    demand(is_idle() && events() == 0, "the unit is rolled back");
    demand(outbox_run(connection, nullptr, emit, nullptr, &error) && events() == 1, "the next one commits");

    demand(throws(join) && is_idle() && events() == 1, "joined units are rolled back together");
    demand(!outbox_run(connection, nullptr, join_and_catch, nullptr, &error), "half a unit is not committed");
    demand(error.kind == OUTBOX_ERROR_WORK && std::strstr(error.message, "did not return"), error.message);
    demand(is_idle() && events() == 1, "it is rolled back");

    demand(outbox_run(connection, nullptr, try_a_step_and_catch, nullptr, &error),
           "the unit goes on after a step");
    demand(is_idle() && events() == 2, "the step alone is undone");
    demand(throws(try_a_step) && is_idle() && events() == 2, "a step and its unit are rolled back together");

    demand(throws(throw_from_a_statement), "a statement that never ends holds no exception up");
    demand(PQstatus(connection) == CONNECTION_BAD, "the connection is bad then");
    PQreset(connection);
    demand(outbox_run(connection, nullptr, emit, nullptr, &error) && events() == 3, "and good again");
    PQfinish(connection);
}
