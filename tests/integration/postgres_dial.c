/* postgres_dial.c: of several servers each gets its turn, also behind one that takes connections and says nothing. Time is the
 * argument of session_turn(), so no test waits for a deadline. */
#include "postgres/session.h"

#include "base/clock.h"
#include "postgres/dial.h"
#include "support/postgres.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(postgres_dial, .timeout = 60);

/* Servers that take connections (the kernel does) and never answer. */
#define SILENT_MAX 2
struct silent {
    int count, ports[SILENT_MAX], fds[SILENT_MAX];
};

static struct silent
silent_servers(int count)
{
    struct silent silent = {.count = count};
    for (int i = 0; i < count; i++) {
        silent.ports[i] = scratch_port();
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)silent.ports[i]),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        silent.fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* connections of an earlier server may still be around at this port */
        cr_assert_eq(setsockopt(silent.fds[i], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
        cr_assert_eq(bind(silent.fds[i], (struct sockaddr *)&address, sizeof address), 0, "%s",
                     strerror(errno));
        cr_assert_eq(listen(silent.fds[i], 16), 0);
    }
    return silent;
}

static void
silent_end(const struct silent *silent)
{
    for (int i = 0; i < silent->count; i++)
        close(silent->fds[i]);
}

struct dialled {
    struct settings settings;
    struct session *session;
    int64_t ahead_us; /* of the clock */
};

static struct dialled
dial(char *conninfo)
{
    struct error error;
    struct dialled dialled = {.settings = {.postgres_conninfo = conninfo}};
    cr_assert(session_new(&dialled.session, &dialled.settings, "outboxd test", &error), "%s", error.message);
    session_connect(dialled.session, clock_monotonic_us());
    return dialled;
}

static void
dial_end(struct dialled *dialled)
{
    session_free(dialled->session);
    free(dialled->settings.postgres_conninfo);
}

static bool
tries_a_silent_one(const struct dialled *dialled, const struct silent *silent)
{
    int port = atoi(PQport(session_connection(dialled->session)));
    for (int i = 0; i < silent->count; i++)
        if (silent->ports[i] == port)
            return true;
    return false;
}

/* Turns until it is connected or lost; when a silent server is being tried, its deadline passes at once. Returns how often. */
static int
turn_to_the_end(struct dialled *dialled, const struct silent *silent)
{
    int deadlines = 0;
    int64_t until_us = wait_deadline_us(20000);
    for (;;) {
        int64_t now_us = clock_monotonic_us() + dialled->ahead_us;
        int64_t due_us = session_turn(dialled->session, now_us);
        enum session_state state = session_state(dialled->session);
        if (state == SESSION_IDLE || state == SESSION_CLOSED)
            return deadlines;
        if (state == SESSION_CONNECTING && tries_a_silent_one(dialled, silent)) {
            dialled->ahead_us += due_us - now_us;
            deadlines++;
        }
        cr_assert(wait_turn(until_us), "neither connected nor lost");
    }
}

Test(postgres_dial, behind_a_host_that_accepts_and_says_nothing_the_next_one_is_reached)
{
    struct postgres *server = postgres_shared();
    struct silent silent = silent_servers(1);
    struct dialled dialled = dial(must_format("host=127.0.0.1,127.0.0.1 port=%d,%d dbname=postgres user=%s",
                                              silent.ports[0], postgres_port(server), POSTGRES_ADMIN));
    cr_expect_eq(turn_to_the_end(&dialled, &silent), 1);
    cr_expect_eq(session_state(dialled.session), SESSION_IDLE);
    cr_expect_leq(dialled.ahead_us, DIAL_ONE_OF_SEVERAL_US);

    /* the next connection does not begin at the silent one again */
    session_close(dialled.session);
    session_connect(dialled.session, clock_monotonic_us() + dialled.ahead_us);
    cr_expect_eq(turn_to_the_end(&dialled, &silent), 0);
    cr_expect_eq(session_state(dialled.session), SESSION_IDLE);
    dial_end(&dialled);
    silent_end(&silent);
    postgres_free(server);
}

/* As a proxy or a forwarded port does for a server that is down: libpq takes that for the end of the whole attempt. */
static void
turn_while_it_is_closed(struct dialled *dialled, const struct silent *closing)
{
    int64_t until_us = wait_deadline_us(20000);
    while (session_state(dialled->session) == SESSION_CONNECTING) {
        struct pollfd waiting = {.fd = closing->fds[0], .events = POLLIN};
        if (poll(&waiting, 1, 0) == 1)
            close(accept(closing->fds[0], NULL, NULL));
        session_turn(dialled->session, clock_monotonic_us());
        cr_assert(wait_turn(until_us), "neither connected nor lost");
    }
}

Test(postgres_dial,
     the_attempt_after_one_that_ended_at_a_host_which_accepts_and_closes_begins_at_the_next_host)
{
    struct postgres *server = postgres_shared();
    struct silent closing = silent_servers(1);
    struct dialled dialled = dial(must_format("host=127.0.0.1,127.0.0.1 port=%d,%d dbname=postgres user=%s",
                                              closing.ports[0], postgres_port(server), POSTGRES_ADMIN));
    turn_while_it_is_closed(&dialled, &closing);
    cr_expect_eq(session_state(dialled.session), SESSION_CLOSED);
    const struct error *error = session_error(dialled.session);
    cr_expect_eq(error->kind, ERROR_RETRY, "%s", error->message);

    session_connect(dialled.session, clock_monotonic_us());
    turn_while_it_is_closed(&dialled, &closing);
    cr_expect_neq(session_state(dialled.session), SESSION_CLOSED, "%s",
                  session_error(dialled.session)->message);
    dial_end(&dialled);
    silent_end(&closing);
    postgres_free(server);
}

Test(postgres_dial, a_URI_with_a_host_that_refuses_and_two_that_are_silent_ends_at_the_fourth)
{
    struct postgres *server = postgres_shared();
    struct silent silent = silent_servers(2);
    struct dialled dialled = dial(must_format(
        "postgresql://%s@127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/postgres?connect_timeout=2",
        POSTGRES_ADMIN, scratch_port(), silent.ports[0], silent.ports[1], postgres_port(server)));
    cr_expect_eq(turn_to_the_end(&dialled, &silent), 2, "each silent one is waited for once");
    cr_expect_eq(session_state(dialled.session), SESSION_IDLE);
    cr_expect_leq(dialled.ahead_us, 2 * 2000000, "connect_timeout is the patience with each");
    dial_end(&dialled);
    silent_end(&silent);
    postgres_free(server);
}

Test(postgres_dial, when_every_host_is_silent_the_dial_ends_and_says_so)
{
    struct silent silent = silent_servers(2);
    struct dialled dialled = dial(must_format("hostaddr=127.0.0.1,127.0.0.1 port=%d,%d dbname=x user=x",
                                              silent.ports[0], silent.ports[1]));
    cr_expect_eq(turn_to_the_end(&dialled, &silent), 2);
    cr_expect_eq(session_state(dialled.session), SESSION_CLOSED);
    const struct error *error = session_error(dialled.session);
    cr_expect_eq(error->kind, ERROR_RETRY);
    cr_expect_not_null(strstr(error->message, "no answer in time"), "%s", error->message);
    dial_end(&dialled);
    silent_end(&silent);
}

Test(postgres_dial, a_host_that_is_alone_is_waited_for_longer)
{
    struct silent silent = silent_servers(1);
    struct dialled dialled = dial(must_format("host=127.0.0.1 port=%d dbname=x user=x", silent.ports[0]));
    cr_expect_eq(turn_to_the_end(&dialled, &silent), 1);
    cr_expect_eq(session_state(dialled.session), SESSION_CLOSED);
    cr_expect_gt(dialled.ahead_us, DIAL_ONE_OF_SEVERAL_US);
    dial_end(&dialled);
    silent_end(&silent);
}
