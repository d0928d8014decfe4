/* moment.h: a time as people give it on a command line: 2026-01-31T12:00:00Z (RFC 3339, with its zone), or so long ago: 10m. Pure. */
#ifndef OUTBOXD_COMMAND_MOMENT_H
#define OUTBOXD_COMMAND_MOMENT_H

#include "base/error.h"

#include <stdint.h>

/* Microseconds of 1970 in *at_us, or so long before the present in *back_us; the other one is 0. ERROR_USAGE names `option`. */
MUST_CHECK bool moment_parse(const char *option, const char *text, int64_t *at_us, int64_t *back_us,
                             struct error *error);

#endif
