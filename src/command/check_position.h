/* check_position.h: what the start of a relay that delivers exactly once would make of its position in Kafka. For check.c only. */
#ifndef OUTBOXD_COMMAND_CHECK_POSITION_H
#define OUTBOXD_COMMAND_CHECK_POSITION_H

#include "base/findings.h"
#include "config/settings.h"
#include "postgres/inspect.h"

/* Reads both and adds the judgement, if the relay delivers or has delivered exactly once. Postgres and Kafka are there, and `facts`,
 * of this relay, are well. Blocks, for `timeout_ms` beside what Postgres takes. */
void check_position(const struct settings *settings, const struct inspect_facts *facts, int timeout_ms,
                    struct findings *findings);

#endif
