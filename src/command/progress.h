/* progress.h: says on standard error what a command waits for, as long as it waits: in place on a terminal, elsewhere as a line
 * after a second and then every five. Nobody is told of what takes less. */
#ifndef OUTBOXD_COMMAND_PROGRESS_H
#define OUTBOXD_COMMAND_PROGRESS_H

#include "base/error.h"

struct progress;

/* Begins to wait, in a thread of its own: "outboxd COMMAND: what .. 3 s". One at a time. */
struct progress *progress_begin(const char *command, const char *what, ...) PRINTF_LIKE(2, 3);

/* What it waits for has become something else; said at the next moment at which it would say anything. */
void progress_change(struct progress *progress, const char *what, ...) PRINTF_LIKE(2, 3);

/* The wait is over; takes the text off the terminal. NULL is allowed. */
void progress_end(struct progress *progress);

#endif
