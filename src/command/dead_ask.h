/* dead_ask.h: `outboxd dead retry` and `discard`. For dead.c only. */
#ifndef OUTBOXD_COMMAND_DEAD_ASK_H
#define OUTBOXD_COMMAND_DEAD_ASK_H

#include "command/asking.h"
#include "command/dead_options.h"

/* Asks for it and waits, unless it is not to. False unless all of it is done as asked: what came of each is printed. */
MUST_CHECK bool dead_ask_leader(struct asking *asking, const struct dead_options *options,
                                struct error *error);

#endif
