/* terminal.c: see terminal.h. */
#include "support/terminal.h"

#include "base/error.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS 5000

static void
read_until(int terminal, const char *asked, char said[TERMINAL_SAID])
{
    struct pollfd one = {.fd = terminal, .events = POLLIN};
    size_t size = 0;
    said[0] = '\0';
    while (strstr(said, asked) == NULL) {
        cr_assert(poll(&one, 1, ANSWER_MS) == 1 && size < TERMINAL_SAID - 1, "it did not ask: %s", said);
        ssize_t more = read(terminal, said + size, TERMINAL_SAID - 1 - size);
        cr_assert_gt(more, 0, "it did not ask: %s", said);
        size += (size_t)more;
        said[size] = '\0';
    }
}

int
terminal_run(int (*command)(int argc, char **argv), const char *const *arguments, const char *answer,
             const char *out, const char *asked, char said[TERMINAL_SAID])
{
    char *argv[16] = {NULL};
    int argc = 0;
    signal(SIGHUP, SIG_IGN); /* it may become this process's own terminal, and is closed below */
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    char *name = must_strdup(ptsname(terminal));
    for (; arguments[argc] != NULL; argc++) {
        cr_assert_lt((size_t)argc + 1, sizeof argv / sizeof *argv);
        argv[argc] = must_strdup(arguments[argc]);
    }
    cr_assert_eq(write(terminal, answer, strlen(answer)), (ssize_t)strlen(answer));
    cr_assert(freopen(name, "r", stdin) != NULL && freopen(out != NULL ? out : name, "w", stdout) != NULL &&
              (out == NULL || freopen(name, "w", stderr) != NULL));
    int exit_code = command(argc, argv);
    fflush(stdout);
    read_until(terminal, asked, said);
    cr_assert(freopen("/dev/null", "r", stdin) != NULL && freopen("/dev/null", "w", stdout) != NULL &&
              (out == NULL || freopen("/dev/null", "w", stderr) != NULL));
    close(terminal);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    free(name);
    return exit_code;
}
