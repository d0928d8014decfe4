/* replay_options.h: what the command `replay` was asked for. For replay.c only. */
#ifndef OUTBOXD_COMMAND_REPLAY_OPTIONS_H
#define OUTBOXD_COMMAND_REPLAY_OPTIONS_H

#include "command/command.h"

#include <stdint.h>

/* Microseconds of 1970, or so long ago; both 0: not given. */
struct replay_moment {
    int64_t at_us, back_us;
};

struct replay_options {
    const char *config;
    struct replay_moment since, until;
    int64_t first_id, last_id; /* 0: not given */
    const char *topic;         /* a shell pattern; NULL: all */
    char *key;                 /* text of a bytea, to be freed; NULL: any */
    int64_t rate;              /* events a second; 0: as fast as it goes */
    int64_t cancel;            /* number of the replay to be ended; 0: none */
    bool list, dry_run, json, yes, no_wait;
};

/* True to go on; false with *exit_code set when help was asked for (0) or the usage was wrong (64, said on stderr). `key` is to
 * be freed in any case. */
MUST_CHECK bool replay_options_parse(int argc, char **argv, struct replay_options *options, int *exit_code);

#endif
