/* brokerlog.h: librdkafka's own log lines, as lines of ours. librdkafka calls it from its threads, also after
 * the producer that made them is gone, so its only state is the process's. */
#ifndef OUTBOXD_KAFKA_BROKERLOG_H
#define OUTBOXD_KAFKA_BROKERLOG_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

/* A log_cb. An outage makes librdkafka repeat itself: one line a minute for each kind, with the number left
 * out. */
void brokerlog_write(const rd_kafka_t *rk, int level, const char *facility, const char *text);

/* A producer needs an id before it may send. True: since the last call a broker has answered that it gives none, and librdkafka asks
 * again, which it says nowhere but in its log; `text` is what it says. */
bool brokerlog_refusal(char *text, size_t size);

/* A log_cb for handles whose errors are reported in another way. */
void brokerlog_ignore(const rd_kafka_t *rk, int level, const char *facility, const char *text);

#endif
