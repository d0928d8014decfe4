/* signals.c: turns signals into counts, through signalfd(2). Called by main before anything else, then by the
 * relay's loop; decides nothing. */
#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool
signals_open(int *fd, struct error *error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* A broken connection must be an error of its call, not the end of the process. */
    if (sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot ignore SIGPIPE: %s", strerror(errno));
    int code = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (code != 0)
        return error_set(error, ERROR_INTERNAL, "cannot block signals: %s", strerror(code));
    *fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (*fd < 0)
        return error_set(error, ERROR_INTERNAL, "cannot make a descriptor for signals: %s", strerror(errno));
    return true;
}

void
signals_read(int fd, struct signals_seen *seen)
{
    struct signalfd_siginfo pending;
    while (read(fd, &pending, sizeof pending) == (ssize_t)sizeof pending) {
        if (pending.ssi_signo == SIGHUP)
            seen->hangups++;
        else
            seen->terminations++;
    }
}

void
signals_close(int fd)
{
    close(fd);
}
