/* commands_progress.c: whoever waits for a command is told what it waits for, on standard error; a terminal is left clean. */
#include "command/progress.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(commands_progress, .timeout = 30);

static char said[4096];

/* Standard error becomes `fd`. */
static void
redirect(int fd)
{
    cr_assert_geq(dup2(fd, STDERR_FILENO), 0);
}

/* What has come to the other end so far, without waiting. */
static const char *
hear(int fd)
{
    static size_t size;
    ssize_t got = read(fd, said + size, sizeof said - 1 - size);
    size += got > 0 ? (size_t)got : 0;
    return said;
}

Test(commands_progress, without_a_terminal_a_line_comes_after_a_second_and_nothing_of_what_is_quicker)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    redirect(ends[1]);
    progress_end(progress_begin("check", "quick"));
    struct progress *progress = progress_begin("check", "asking Kafka at %s", "127.0.0.1:9092");
    wait_for(strchr(hear(ends[0]), '\n') != NULL, 5000);
    progress_end(progress);
    int seconds = 0, end = 0;
    sscanf(hear(ends[0]), "outboxd check: asking Kafka at 127.0.0.1:9092 .. %d s\n%n", &seconds, &end);
    cr_assert(seconds >= 1 && end > 0 && said[end] == '\0', "%s", said);
}

Test(commands_progress, on_a_terminal_it_counts_in_place_and_is_gone_at_the_end)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    redirect(open(ptsname(master), O_RDWR | O_NOCTTY));
    struct progress *progress = progress_begin("check", "asking Postgres");
    wait_for(strstr(hear(master), "outboxd check: asking Postgres ..") != NULL, 900);
    wait_for(strstr(hear(master), "\r\033[Koutboxd check: asking Postgres .. ") != NULL, 5000);
    progress_end(progress);
    wait_for(strcmp(hear(master) + strlen(said) - 4, "\r\033[K") == 0, 1000);
    cr_assert(strchr(said, '\n') == NULL, "%s", said);
}

Test(commands_progress, a_long_list_of_brokers_stays_on_one_line_and_cannot_steer_the_terminal)
{
    int ends[2];
    char servers[2000];
    memset(servers, 'x', sizeof servers - 1);
    servers[sizeof servers - 1] = '\0';
    servers[0] = '\033';
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    redirect(ends[1]);
    struct progress *progress = progress_begin("check", "%s", servers);
    wait_for(strchr(hear(ends[0]), '\n') != NULL, 5000);
    progress_end(progress);
    cr_assert_lt(strlen(said), 81, "%zu: %s", strlen(said), said);
    cr_assert(strchr(said, '\033') == NULL);
}

Test(commands_progress, what_is_waited_for_may_change_meanwhile)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    redirect(open(ptsname(master), O_RDWR | O_NOCTTY));
    struct progress *progress = progress_begin("replay", "waiting");
    wait_for(strstr(hear(master), "outboxd replay: waiting ..") != NULL, 900);
    progress_change(progress, "%d %%", 50);
    wait_for(strstr(hear(master), "\r\033[Koutboxd replay: 50 % .. ") != NULL, 5000);
    progress_end(progress);
}
