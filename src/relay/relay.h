/* relay.h: the daemon without its loop: give it turns, and it publishes. One relay a process; one thread. */
#ifndef OUTBOXD_RELAY_RELAY_H
#define OUTBOXD_RELAY_RELAY_H

#include "base/error.h"
#include "config/settings.h"
#include "http/snapshot.h"

#include <poll.h>
#include <stdint.h>

struct relay;

enum relay_state {
    RELAY_START,
    RELAY_CONNECTING,
    RELAY_STANDBY,
    RELAY_LEADING,
    RELAY_DRAINING,
    RELAY_STOPPED
};

/* `settings` must outlive the relay. ERROR_CONFIG when conninfo or a librdkafka property is wrong. Connects to nothing. */
MUST_CHECK bool relay_new(struct relay **relay, const struct settings *settings, struct error *error);

/* What a stop that waits for nothing means for what is in flight, for people. */
const char *relay_leaves_behind(const struct settings *settings);

/* Drops everything at once; what is in flight is for whoever leads next. NULL is allowed. */
void relay_free(struct relay *relay);

/* Looks at all facts and does what can be done now; never waits. Returns the moment (CLOCK_MONOTONIC, microseconds) of the
 * next turn that is due whatever happens on the descriptors. */
int64_t relay_turn(struct relay *relay, int64_t now_us);

/* What to poll(2) between turns; an unused entry has fd -1. */
#define RELAY_DESCRIPTORS 2
void relay_descriptors(const struct relay *relay, struct pollfd descriptors[RELAY_DESCRIPTORS]);

/* Secrets in the settings have changed: the next connections use them. Of Kafka's, the present producer takes new SASL
 * credentials; for others (`kafka_anew`) a new one begins once nothing is in flight, so that nothing is sent twice. */
void relay_renew(struct relay *relay, bool kafka_anew);

/* Asks for a clean stop: opens no more ticks, waits for what is in flight (20 s at most), confirms, releases the lead. */
void relay_stop(struct relay *relay, int64_t now_us);

enum relay_state relay_state(const struct relay *relay);
const char *relay_state_name(enum relay_state state);

/* Why it is RELAY_STOPPED; ERROR_NONE after a clean stop. */
const struct error *relay_failure(const struct relay *relay);

/* Everything that can be seen from outside. `snapshot` starts zeroed and may be used again and again. */
void relay_observe(const struct relay *relay, int64_t now_us, struct snapshot *snapshot);

#endif
