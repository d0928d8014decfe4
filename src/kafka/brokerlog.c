/* brokerlog.c: passes librdkafka's log lines on, thinned out. Called from librdkafka's threads; never blocks
 * on anything but its own short lock. */
#include "kafka/brokerlog.h"

#include "base/clock.h"
#include "base/log.h"
#include "kafka/barred.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static const int64_t QUIET_US = INT64_C(60) * 1000 * 1000;

/* librdkafka has about forty facilities (FAIL, REQTMOUT, GETPID ..), a handful of which ever repeat. */
enum { KIND_COUNT = 16 };

static struct {
    pthread_mutex_t lock;
    struct kind {
        char facility[16];
        int64_t quiet_until_us;
        int64_t left_out;
    } kinds[KIND_COUNT];
    char refusal[256]; /* "": none, or taken */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The slot of this facility, or the one that has been quiet for longest. */
static struct kind *
find_kind(const char *facility)
{
    struct kind *oldest = &seen.kinds[0];
    for (size_t i = 0; i < KIND_COUNT; i++) {
        struct kind *kind = &seen.kinds[i];
        if (strncmp(kind->facility, facility, sizeof kind->facility - 1) == 0)
            return kind;
        if (kind->quiet_until_us < oldest->quiet_until_us)
            oldest = kind;
    }
    *oldest = (struct kind){0};
    snprintf(oldest->facility, sizeof oldest->facility, "%s", facility);
    return oldest;
}

/* True when a line may be written; `*left_out` is how many of its kind were not since the last one. */
static bool
may_write(const char *facility, int64_t *left_out)
{
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&seen.lock);
    struct kind *kind = find_kind(facility);
    bool may = now_us >= kind->quiet_until_us;
    *left_out = kind->left_out;
    kind->left_out = may ? 0 : kind->left_out + 1;
    if (may)
        kind->quiet_until_us = now_us + QUIET_US;
    pthread_mutex_unlock(&seen.lock);
    return may;
}

/* "Failed to acquire idempotence PID from broker HOST:PORT/ID: Broker: WHY: retrying"; WHY without "Broker:" is librdkafka's own
 * (a connection that was lost, say), and an answer of nobody. */
static void
keep_refusal(const char *facility, const char *text)
{
    if (strcmp(facility, "GETPID") != 0 || strstr(text, ": Broker: ") == NULL)
        return;
    pthread_mutex_lock(&seen.lock);
    snprintf(seen.refusal, sizeof seen.refusal, "%s", text);
    pthread_mutex_unlock(&seen.lock);
}

bool
brokerlog_refusal(char *text, size_t size)
{
    pthread_mutex_lock(&seen.lock);
    bool refused = seen.refusal[0] != '\0';
    snprintf(text, size, "%s", seen.refusal);
    seen.refusal[0] = '\0';
    pthread_mutex_unlock(&seen.lock);
    return refused;
}

/* A lost connection is librdkafka's daily business: the producer says when Kafka as a whole is in trouble. */
static enum log_level
our_level(int level, const char *facility)
{
    /* CONFWARN is about settings of ours, for the user's were checked at start; FATAL the producer reports itself. */
    if (strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "FATAL") == 0)
        return LOG_LEVEL_DEBUG;
    if (level <= LOG_CRIT)
        return LOG_LEVEL_ERROR;
    if (level <= LOG_ERR)
        return LOG_LEVEL_INFO;
    if (level <= LOG_WARNING)
        return LOG_LEVEL_WARNING;
    return level < LOG_DEBUG ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

void
brokerlog_write(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    enum log_level ours = our_level(level, facility);
    int64_t left_out = 0;
    const char *behind_thread = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;
    const char *said = behind_thread ? behind_thread + 3 : text;
    (void)rk;
    keep_refusal(facility, said);
    if (strcmp(facility, "ADDPARTS") == 0)
        barred_hear(said);
    if (!log_enabled(ours) || (ours != LOG_LEVEL_DEBUG && !may_write(facility, &left_out)))
        return;
    log_write(ours, "librdkafka",
              (const struct log_field[]){LOG_STR("facility", facility), LOG_STR("text", said),
                                         LOG_INT("left_out", left_out), LOG_END});
}

void
brokerlog_ignore(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}
