/* renew.h: what a configuration that was read again may change while the process runs: the log level and secrets. Everything
 * else that differs is named, and left alone. */
#ifndef OUTBOXD_CONFIG_RENEW_H
#define OUTBOXD_CONFIG_RENEW_H

#include "config/settings.h"

struct renewal {
    bool log_level;
    bool postgres_password;
    bool kafka_credentials; /* sasl.username, sasl.password */
    bool kafka_secrets;     /* others, such as ssl.key.password */
    char *restart; /* keys whose new value only a restart takes: "poll.idle, kafka.linger.ms"; "": none */
};

/* Moves what may change from `fresh` into `settings`, whose readers look at it when they use it, and frees `fresh`. The
 * thread of those readers only. The caller frees renewal->restart. */
void settings_renew(struct settings *settings, struct settings *fresh, struct renewal *renewal);

#endif
