/* command.h: an example's program with commands, as its readers run it: NAME COMMAND --conninfo CONNINFO ARGUMENT.. */
#ifndef OUTBOXD_TESTS_EXAMPLES_COMMAND_H
#define OUTBOXD_TESTS_EXAMPLES_COMMAND_H

#include "support/postgres.h"

#include <sys/types.h>

/* A NULL-terminated list. */
#define ARGUMENTS(...)                                                                                       \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

struct command {
    pid_t pid;
    char *output_path;
};

/* Starts build/examples/NAME/NAME; what it prints, on either stream, goes to a file. */
struct command command_start(const char *name, const char *word, const char *conninfo,
                             const char *const *arguments);

/* Until it has printed these words, while it runs. */
void command_wait_until_said(const struct command *command, const char *words);

/* The server, which is stopped, starts when the program has noticed; it tries a number of times only, so it is held meanwhile. */
void command_restart_server(const struct command *command, struct postgres *postgres);

/* What it printed, for the caller to free. It has been waited for: this is the last call. */
char *command_output(struct command *command);

/* Waits for its end, at most 90 s: its exit code, or 128 + signal. *output is as above. */
int command_end(struct command *command, char **output);

/* The same, and the test expects this code and these words. */
void command_expect(struct command *command, int code, const char *words);

/* The number behind `word`, "created="; the test fails when it is not there. */
long command_number(const char *output, const char *word);

#endif
