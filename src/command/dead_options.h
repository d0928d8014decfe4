/* dead_options.h: what the command `dead` was asked for. For dead.c and dead_ask.c only. */
#ifndef OUTBOXD_COMMAND_DEAD_OPTIONS_H
#define OUTBOXD_COMMAND_DEAD_OPTIONS_H

#include "command/command.h"

#include <stdint.h>

enum dead_action { DEAD_LIST, DEAD_SHOW, DEAD_RETRY, DEAD_DISCARD };

struct dead_options {
    const char *config;
    enum dead_action action;
    int64_t *ids; /* to be freed */
    size_t id_count;
    const char *topic;  /* a shell pattern; NULL: all */
    int64_t limit;      /* of list */
    const char *reason; /* of discard */
    bool all, json, yes, no_wait;
};

/* True to go on; false with *exit_code set when help was asked for (0) or the usage was wrong (64, said on stderr). `ids` is to
 * be freed in any case. */
MUST_CHECK bool dead_options_parse(int argc, char **argv, struct dead_options *options, int *exit_code);

#endif
