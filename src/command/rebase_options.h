/* rebase_options.h: what the command `rebase` was asked for. For rebase.c only. */
#ifndef OUTBOXD_COMMAND_REBASE_OPTIONS_H
#define OUTBOXD_COMMAND_REBASE_OPTIONS_H

#include "command/rebase_kafka.h"

struct rebase_options {
    const char *config;
    char *conninfo; /* the caller's, for secrets_wipe() */
    const char *position;
    bool same_xids, phantoms, dated;
    struct rebase_wish wish; /* but for its settings and position; the caller frees its topics */
};

/* True to go on; false with *exit_code set when help was asked for (0) or the usage was wrong (64, said on stderr). Conninfo and
 * topics are to be freed in any case. */
MUST_CHECK bool rebase_options_parse(int argc, char **argv, struct rebase_options *options, int *exit_code);

#endif
