/* terminal.h: a person at a terminal, for commands that ask. */
#ifndef OUTBOXD_TESTS_SUPPORT_TERMINAL_H
#define OUTBOXD_TESTS_SUPPORT_TERMINAL_H

#define TERMINAL_SAID 16384

/* Runs a command in this process, with its arguments, NULL-terminated, the first being its name, on a terminal on which somebody has
 * typed `answer`; its exit code. `out`: standard output goes into this file, and what it says to the person on standard error; NULL: both
 * are one. `said`: what stood on the terminal, in which there must be `asked`. */
int terminal_run(int (*command)(int argc, char **argv), const char *const *arguments, const char *answer,
                 const char *out, const char *asked, char said[TERMINAL_SAID]);

#endif
