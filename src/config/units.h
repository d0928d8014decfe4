/* units.h: numbers as people write them in a configuration: 10ms, 8MiB, 10000. Whole numbers only: no sign,
 * no fraction, no exponent, no blank, no leading zero, so that one value has one spelling and nothing is read
 * as octal. */
#ifndef OUTBOXD_CONFIG_UNITS_H
#define OUTBOXD_CONFIG_UNITS_H

#include "base/error.h"

#include <stdint.h>

/* Each is false with ERROR_CONFIG and a message to stand behind the text ("has no unit: .."). */
MUST_CHECK bool units_parse_duration(const char *text, int64_t *us, struct error *error); /* ms s m h d */
MUST_CHECK bool units_parse_size(const char *text, int64_t *bytes, struct error *error);  /* B KiB MiB GiB */
MUST_CHECK bool units_parse_count(const char *text, int64_t *count, struct error *error); /* no unit */

/* The largest unit that leaves a whole number: 90000000 us is "90s". Returns `to`. */
#define UNITS_TEXT 32
const char *units_format_duration(int64_t us, char to[UNITS_TEXT]);
const char *units_format_size(int64_t bytes, char to[UNITS_TEXT]);

#endif
