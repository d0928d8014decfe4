/* headers.h: reads the `headers` column (a flat JSON object: string, array of strings, or null) into the flat list of
 * Kafka headers it stands for. Pure; used by the producer. */
#ifndef OUTBOXD_EVENT_HEADERS_H
#define OUTBOXD_EVENT_HEADERS_H

#include "base/error.h"

#include <stddef.h>

/* Called once a header, in the object's order; `value` is NULL for a header without value. Both are valid during the
 * call only. Returns false to stop. */
typedef bool headers_visitor(void *context, const char *name, size_t name_size, const char *value,
                             size_t value_size);

/* Walks `json` (may be NULL or "{}": no call). False with ERROR_UNUSABLE when it is not of the shape above or the
 * visitor stopped. */
MUST_CHECK bool headers_each(const char *json, size_t size, headers_visitor *visit, void *context,
                             struct error *error);

#endif
