/* tail_options.h: what the command `tail` was asked for. For tail.c only. */
#ifndef OUTBOXD_COMMAND_TAIL_OPTIONS_H
#define OUTBOXD_COMMAND_TAIL_OPTIONS_H

#include "command/command.h"
#include "postgres/tail.h"

struct tail_options {
    const char *config;
    struct command_list topics; /* the caller frees it */
    struct tail_wish wish;      /* but for its topics and bytes */
    bool has_last;              /* -n was given */
    bool follow, json;
};

/* True to go on; false with *exit_code set when help was asked for (0) or the usage was wrong (64, said on stderr). `topics`
 * is to be freed in any case. */
MUST_CHECK bool tail_options_parse(int argc, char **argv, struct tail_options *options, int *exit_code);

#endif
