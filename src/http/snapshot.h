/* snapshot.h: everything that /metrics, /health and / can say, as plain values. The relay fills one at most
 * every 100 ms and publishes it whole; the HTTP thread reads only published ones. */
#ifndef OUTBOXD_HTTP_SNAPSHOT_H
#define OUTBOXD_HTTP_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Upper bounds in seconds of outbox_publish_latency_seconds; the last bucket is +Inf. */
#define SNAPSHOT_LATENCY_BOUNDS                                                                              \
    {                                                                                                        \
        0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, \
            300, 3600                                                                                        \
    }
#define SNAPSHOT_LATENCY_BUCKETS 21

/* outbox_errors_total{kind} */
enum snapshot_error {
    SNAPSHOT_ERROR_EVENT,
    SNAPSHOT_ERROR_TOPIC,
    SNAPSHOT_ERROR_BROKER,
    SNAPSHOT_ERROR_POSTGRES,
    SNAPSHOT_ERROR_FENCED,
    SNAPSHOT_ERROR_COUNT
};

struct snapshot_topic {
    char *name;
    uint64_t published;
    uint64_t published_bytes;
    uint64_t passed_over;
};

struct snapshot {
    char source[256], relay[256], holder[40];
    char state[16];          /* "start", "connecting", "standby", "leading", "draining", "stopped" */
    bool leader;             /* it leads, and holds its lease .. */
    int64_t leader_until_us; /* .. until then (CLOCK_MONOTONIC), should nothing newer be published */
    bool ready;
    char reason[512];      /* why it is not ready, or "" */
    bool paused;           /* by hand, as a whole: it publishes nothing, and is ready to */
    char trouble[512];     /* what is stuck: "event 42 of topic x: MSG_SIZE_TOO_LARGE: ..", or "" */
    int64_t turned_at_us;  /* CLOCK_MONOTONIC of the loop's last turn: live while it moves */
    int64_t started_at_us; /* wall clock */
    int64_t epoch;
    int64_t tick_seq, confirmed_seq;
    uint64_t ticks;     /* non-empty ticks opened by this process */
    double tick_events; /* events of the last non-empty tick that was read to its end */
    double lag_seconds; /* age of the oldest event known to be unconfirmed; 0 when there is none */
    int64_t lag_events; /* committed and not yet confirmed, at most (ids of rolled back events count too) */
    int64_t in_flight_events, in_flight_bytes;
    int64_t memory_bytes; /* the bound */
    int64_t dead_letters, held_events, paused_topics;
    double paused_topic_seconds; /* since the oldest pause of a topic; 0: there is none */
    char paused_topic[256];      /* that topic, or "" .. */
    char paused_why[512];        /* .. and why: "UNKNOWN_TOPIC_OR_PART: Broker: ..", "PAUSED: somebody .." */
    uint64_t errors[SNAPSHOT_ERROR_COUNT];
    uint64_t latency_buckets[SNAPSHOT_LATENCY_BUCKETS]; /* not cumulative */
    double latency_sum_seconds;
    uint64_t latency_count;
    uint64_t postgres_connects, polls, takeovers;
    uint64_t producer_instances, kafka_transmitted_bytes, kafka_transmit_errors, kafka_transmit_retries;
    int64_t kafka_queue_messages, kafka_queue_bytes;
    double kafka_rtt_p99_seconds;
    int kafka_brokers_up;
    uint64_t log_dropped;
    size_t topic_count;
    struct snapshot_topic *topics; /* owned by the snapshot */
};

/* A deep copy into `to`, whose old contents are freed. `to` starts zeroed. */
void snapshot_copy(struct snapshot *to, const struct snapshot *from);
void snapshot_clear(struct snapshot *snapshot);

/* Makes an old snapshot say only what still holds at `now_us` (CLOCK_MONOTONIC): a process that was stopped, or waits for
 * Postgres, does not lead for ever. */
void snapshot_age(struct snapshot *snapshot, int64_t now_us);

#endif
