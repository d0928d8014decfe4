/* fields.h: the members of a JSON object (jansson), for all that is written as JSON: /status.json, the answers about health,
 * `outboxd status --json`, what the relay writes into the database. Each replaces a member of the same name. */
#ifndef OUTBOXD_BASE_FIELDS_H
#define OUTBOXD_BASE_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* `text` may hold any bytes: what is not UTF-8 becomes \xNN. NULL is null. */
void fields_set_text(json_t *object, const char *key, const char *text);
void fields_set_flag(json_t *object, const char *key, bool value);
void fields_set_integer(json_t *object, const char *key, int64_t value);
/* null unless it is above 0, for ids and numbers that may be none. */
void fields_set_positive(json_t *object, const char *key, int64_t value);
/* INT64_MAX stands for all that is larger: jansson's integers are signed, and 2^63 events take longer than anybody waits. */
void fields_set_count(json_t *object, const char *key, uint64_t value);
/* null when it is not finite. */
void fields_set_number(json_t *object, const char *key, double value);
/* Seconds with their fraction; null when `us` is negative, which is unknown. */
void fields_set_seconds(json_t *object, const char *key, int64_t us);

#endif
