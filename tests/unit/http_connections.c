/* http_connections.c: who may come in, and who must go. Each connection is one end of a socket pair: its
 * other end reads the end of the stream when it was shut. */
#include "http/connections.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000

static struct connections connections;
static int ours[CONNECTIONS_SLOTS], theirs[CONNECTIONS_SLOTS];

static void
open_one(size_t i, int64_t now_us)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    ours[i] = ends[0];
    theirs[i] = ends[1];
    connections_opened(&connections, ours[i], now_us);
}

static bool
was_shut(size_t i)
{
    char byte;
    return read(theirs[i], &byte, 1) == 0;
}

Test(http_connections, fault_84_all_places_taken_turns_a_new_client_away)
{
    connections_init(&connections);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        cr_assert(connections_admit(&connections, SECOND));
        open_one(i, SECOND);
    }
    cr_assert_not(connections_admit(&connections, SECOND + CONNECTIONS_PATIENCE_US - 1));
    cr_assert_not(was_shut(0));
    connections_closed(&connections, ours[5]);
    cr_assert(connections_admit(&connections, SECOND + CONNECTIONS_PATIENCE_US - 1));
}

Test(http_connections, fault_84_the_oldest_gives_way_when_it_had_its_time)
{
    connections_init(&connections);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        open_one(i, SECOND + (int64_t)i);
    cr_assert(connections_admit(&connections, SECOND + CONNECTIONS_PATIENCE_US));
    cr_assert(was_shut(0));
    cr_assert_not(was_shut(1));
    open_one(CONNECTIONS_MAX, SECOND + CONNECTIONS_PATIENCE_US);
    cr_assert_not(connections_admit(&connections, SECOND + CONNECTIONS_PATIENCE_US));
    cr_assert_not(was_shut(1));
    connections_closed(&connections, ours[0]);
    cr_assert_not(connections_admit(&connections, SECOND + CONNECTIONS_PATIENCE_US),
                  "its place is already taken");
}

Test(http_connections, fault_84_a_connection_past_its_deadline_is_ended_without_a_new_client)
{
    connections_init(&connections);
    open_one(0, SECOND);
    open_one(1, 2 * SECOND);
    connections_sweep(&connections, SECOND + CONNECTIONS_DEADLINE_US - 1);
    cr_assert_not(was_shut(0));
    connections_sweep(&connections, SECOND + CONNECTIONS_DEADLINE_US);
    cr_assert(was_shut(0));
    cr_assert_not(was_shut(1));
}

Test(http_connections, fault_84_descriptors_have_a_bound_even_if_the_shut_ones_are_never_closed)
{
    connections_init(&connections);
    size_t open = 0;
    int64_t now_us = SECOND;
    while (open < CONNECTIONS_SLOTS && connections_admit(&connections, now_us)) {
        open_one(open++, now_us);
        now_us += CONNECTIONS_PATIENCE_US;
    }
    cr_assert_eq(open, CONNECTIONS_SLOTS);
    cr_assert_not(connections_admit(&connections, now_us));
    connections_closed(&connections, ours[0]);
    cr_assert(connections_admit(&connections, now_us));
}
