/* signals.h: signals as something to poll(2) for. No handler of ours ever runs: SIGTERM, SIGINT and SIGHUP
 * are blocked and read from a descriptor, SIGPIPE is ignored. */
#ifndef OUTBOXD_BASE_SIGNALS_H
#define OUTBOXD_BASE_SIGNALS_H

#include "base/error.h"

struct signals_seen {
    unsigned terminations; /* SIGTERM and SIGINT: the first asks to finish, the second to give up waiting */
    unsigned hangups;      /* SIGHUP */
};

/* Gives the descriptor, readable (POLLIN) when a signal is pending. Call it before any thread is made: the
 * libraries' threads inherit the mask, and one without it would take the signal and die of it. ERROR_INTERNAL
 * when the kernel refuses. */
MUST_CHECK bool signals_open(int *fd, struct error *error);

/* Adds what is pending to `seen`; does not block. The kernel keeps one pending signal of a kind, so two
 * SIGTERM between two reads count once. */
void signals_read(int fd, struct signals_seen *seen);

/* Closes the descriptor; the signals stay blocked. */
void signals_close(int fd);

#endif
