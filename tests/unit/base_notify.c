/* base_notify.c: what the service manager is told. */
#include "base/clock.h"
#include "base/notify.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket like the manager's, in the abstract namespace: gone with the process. */
static int
listen_as_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "outboxd-notify-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)size)),
                 0);
    char name[64];
    snprintf(name, sizeof name, "@outboxd-notify-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *
receive(int fd)
{
    static char text[2048];
    ssize_t size = recv(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

Test(base_notify, without_a_manager_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    notify_ready("up");
    notify_status("going");
    notify_stopping("down");
    cr_assert_eq(notify_watchdog(1), CLOCK_NEVER);
}

Test(base_notify, ready_status_and_stopping_are_told_with_their_line)
{
    int fd = listen_as_manager();
    notify_ready("leading, epoch 7");
    cr_assert_str_eq(receive(fd), "READY=1\nSTATUS=leading, epoch 7");
    notify_status("standby");
    cr_assert_str_eq(receive(fd), "STATUS=standby");
    notify_stopping("confirming");
    cr_assert_str_eq(receive(fd), "STOPPING=1\nSTATUS=confirming");
}

Test(base_notify, a_status_cannot_carry_another_assignment)
{
    int fd = listen_as_manager();
    notify_status("error from the server\nMAINPID=1\r\x1b[2J");
    cr_assert_str_eq(receive(fd), "STATUS=error from the server MAINPID=1  [2J");
    char status[5000];
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    notify_status(status);
    cr_assert_leq(strlen(receive(fd)), 520u);
}

Test(base_notify, the_watchdog_is_told_at_half_of_its_time)
{
    int fd = listen_as_manager();
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", "4000000", 1);
    int64_t now = 1000000000;
    cr_assert_eq(notify_watchdog(now), now + 2000000);
    cr_assert_str_eq(receive(fd), "WATCHDOG=1");
    cr_assert_eq(notify_watchdog(now + 1999999), now + 2000000);
    cr_assert_str_eq(receive(fd), "");
    cr_assert_eq(notify_watchdog(now + 2500000), now + 4500000);
    cr_assert_str_eq(receive(fd), "WATCHDOG=1");
}

Test(base_notify, the_watchdog_of_another_process_is_not_ours)
{
    int fd = listen_as_manager();
    setenv("WATCHDOG_PID", "1", 1);
    setenv("WATCHDOG_USEC", "4000000", 1);
    cr_assert_eq(notify_watchdog(1), CLOCK_NEVER);
    cr_assert_str_eq(receive(fd), "");
}
