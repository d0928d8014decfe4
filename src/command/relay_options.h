/* relay_options.h: what the command `relay` was asked for. For relay.c only. */
#ifndef OUTBOXD_COMMAND_RELAY_OPTIONS_H
#define OUTBOXD_COMMAND_RELAY_OPTIONS_H

#include "base/error.h"
#include "command/command.h"

#include <stddef.h>
#include <stdint.h>

enum relay_action { RELAY_LIST, RELAY_ADD, RELAY_RETIRE };
enum relay_from { RELAY_FROM_NOWHERE, RELAY_FROM_BEGINNING, RELAY_FROM_NOW };

struct relay_options {
    const char *config;
    enum relay_action action;
    const char *name;           /* of add and retire */
    enum relay_from from;       /* of add: given */
    struct command_list topics; /* of add; none: those of the configuration. The caller frees it */
    const char *source;         /* of add; NULL: that of the configuration */
    int64_t retention_us;       /* of add; 0: that of the configuration */
    bool yes;                   /* of retire */
    bool json;                  /* of list */
};

/* True to go on; false with *exit_code set when help was asked for (0) or the usage was wrong (64, said on stderr). `topics`
 * is to be freed in any case. */
MUST_CHECK bool relay_options_parse(int argc, char **argv, struct relay_options *options, int *exit_code);

#endif
