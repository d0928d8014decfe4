/* settings.h: the configuration of one process, checked and complete. One table (settings.c) drives parsing,
 * defaults, ranges, config.yaml.example, the manual page and their check. */
#ifndef OUTBOXD_CONFIG_SETTINGS_H
#define OUTBOXD_CONFIG_SETTINGS_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One librdkafka property as the user wrote it; `line` of the file, for messages. A value that came from a
 * <name>_file key, or whose name librdkafka calls sensitive, is a secret: never logged, wiped when freed. */
struct property {
    char *name;
    char *value;
    int line;
    bool secret;
};

/* What happens to an event that Kafka refuses for its own sake. */
enum dead_letter_policy { DEAD_LETTER_HOLD_KEY, DEAD_LETTER_SKIP, DEAD_LETTER_STOP };

enum delivery { DELIVERY_AT_LEAST_ONCE, DELIVERY_EXACTLY_ONCE };

/* All of it belongs to the start, but for the log level and the secrets: settings_renew() (config/renew.h) may change them in
 * the relay's thread, so they are looked at when they are used. */
struct settings {
    char *file;   /* the path as given, for messages */
    char *source; /* the `source` header */
    char *relay;
    char *postgres_conninfo;
    char *postgres_password; /* from postgres.password_file; NULL: libpq's own ways */
    struct property *kafka;
    size_t kafka_count;
    enum delivery delivery;
    enum dead_letter_policy dead_letter_policy;
    char *dead_letter_topic; /* copies go there; NULL: nowhere */
    int64_t transaction_events, transaction_time_us;
    char **topics; /* shell patterns */
    size_t topics_count;
    int64_t poll_idle_us, poll_busy_us;
    int64_t batch_events, batch_bytes;
    int64_t memory_bytes;
    int64_t retention_us;
    int64_t lease_us;
    char *http_listen; /* "address:port"; NULL: switched off */
    enum log_level log_level;
    enum log_format log_format;
};

/* Reads and checks `path`. Every mistake is written to `errors` (one line each: `path:LINE: key: what is
 * wrong`), all in one run; false with ERROR_CONFIG and a one-line summary when there was any; `*settings` then
 * holds what could be read, so that the properties in it can be checked in the same run. To be freed in any
 * case. Warnings (TLS weaker than verify-full off loopback, for instance) go to `errors` as `path:LINE: key:
 * warning: ..` and do not fail. */
MUST_CHECK bool settings_load(struct settings **settings, const char *path, FILE *errors,
                              struct error *error);

/* Wipes secrets, frees. NULL is allowed. */
void settings_free(struct settings *settings);

/* What may be a name (`source`, `relay`) and a pattern (`topics`), for those that are given on a command line. */
bool settings_is_name(const char *text);
bool settings_is_pattern(const char *text);

/* Writes config.yaml.example: every key at its default with its explanation. */
void settings_write_example(FILE *to);

/* Writes the part of the manual page outboxd.yaml(5) that lists the keys, as mdoc. */
void settings_write_manual(FILE *to);

#endif
