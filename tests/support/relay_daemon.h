/* relay_daemon.h: what relay.c and relay_http.c share; tests include relay.h. */
#ifndef OUTBOXD_TESTS_SUPPORT_RELAY_DAEMON_H
#define OUTBOXD_TESTS_SUPPORT_RELAY_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;  /* 0: not started, or its end was waited for */
    bool ended; /* reaped; exit_code says how, until somebody waits for it */
    int exit_code;
    char *directory, *config, *log;
    pid_t network; /* 0: ours */
    char *address; /* of its HTTP door */
};

#endif
