/* base_signals.c: signals arrive through a descriptor, and in no thread. */
#include "base/signals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static int
open_signals(void)
{
    struct error error;
    int fd = -1;
    cr_assert(signals_open(&fd, &error), "%s", error.message);
    return fd;
}

static bool
is_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

Test(base_signals, nothing_pending_is_nothing_seen)
{
    int fd = open_signals();
    struct signals_seen seen = {0};
    cr_assert_not(is_readable(fd));
    signals_read(fd, &seen);
    cr_assert_eq(seen.terminations, 0);
    cr_assert_eq(seen.hangups, 0);
    signals_close(fd);
}

Test(base_signals, terminations_and_hangups_are_counted)
{
    int fd = open_signals();
    struct signals_seen seen = {0};
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGHUP);
    cr_assert(is_readable(fd));
    signals_read(fd, &seen);
    cr_assert_eq(seen.terminations, 1);
    cr_assert_eq(seen.hangups, 1);
    kill(getpid(), SIGINT);
    signals_read(fd, &seen);
    cr_assert_eq(seen.terminations, 2);
    cr_assert_eq(seen.hangups, 1);
    cr_assert_not(is_readable(fd));
    signals_close(fd);
}

static void *
wait_a_while(void *fd)
{
    struct pollfd ready = {.fd = *(int *)fd, .events = POLLIN};
    return (void *)(intptr_t)poll(&ready, 1, 5000);
}

Test(base_signals, a_thread_made_later_does_not_take_the_signal)
{
    int fd = open_signals();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_a_while, &fd), 0);
    kill(getpid(), SIGTERM);
    void *polled;
    pthread_join(thread, &polled);
    cr_assert_eq((intptr_t)polled, 1);
    struct signals_seen seen = {0};
    signals_read(fd, &seen);
    cr_assert_eq(seen.terminations, 1);
    signals_close(fd);
}

Test(base_signals, a_broken_pipe_is_an_error_and_not_the_end)
{
    int fd = open_signals(), ends[2];
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    cr_assert_eq(write(ends[1], "x", 1), -1);
    cr_assert_eq(errno, EPIPE);
    signals_close(fd);
}
