/* reload.h: SIGHUP: the configuration is read again while the daemon runs. */
#ifndef OUTBOXD_COMMAND_RELOAD_H
#define OUTBOXD_COMMAND_RELOAD_H

#include "config/settings.h"
#include "relay/relay.h"

/* Takes over a new log level and new secrets from the file of `settings`, and says in the log what has changed, what only a
 * restart would change, and what is wrong with the file; then everything stays. Reads files; asks no server. */
void reload(struct settings *settings, struct relay *relay);

#endif
