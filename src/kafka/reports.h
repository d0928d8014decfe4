/* reports.h: what librdkafka tells the producer: delivery reports, errors, statistics, as events of one queue, which the relay's
 * thread alone serves. They are only recorded, and reports are passed on. Used by producer.c alone. */
#ifndef OUTBOXD_KAFKA_REPORTS_H
#define OUTBOXD_KAFKA_REPORTS_H

#include "kafka/brokers.h"
#include "kafka/instance.h"
#include "kafka/producer.h"
#include "kafka/topics.h"

#include <librdkafka/rdkafka.h>

struct reports {
    producer_report *report;
    void *context;
    struct topics *topics;
    struct producer_statistics statistics;
    size_t out;     /* records handed over and not reported */
    int64_t now_us; /* of the present turn */

    /* of the present instance */
    int64_t batch_bytes;    /* its batch.size; 0: its batches are counted in events */
    size_t served;          /* reports in the present turn */
    bool failed;            /* a report failed, or a fatal error was raised: the instance is to end */
    struct outcome failure; /* the most telling of them */

    /* is anybody there? */
    struct brokers *brokers; /* of the present instance */
    int64_t gone_us;         /* no broker is connected since then; 0: one is */
    int64_t all_failed_us;   /* when librdkafka said last that every broker it knows has failed */
    int64_t said_us;         /* when statistics.away_why was said */

    /* failures that are the broker's (OUTCOME_BROKER), with nothing acknowledged in between */
    int64_t refused_first_us; /* 0: none */
    int64_t refused_last_us;
};

/* Asks for the events. */
void reports_install(rd_kafka_conf_t *conf);

/* Before an instance is served for the first time. `brokers` are its own. */
void reports_begin(struct reports *reports, struct brokers *brokers, int64_t batch_bytes);

/* Serves what is in, up to a few thousand reports. */
void reports_serve(struct reports *reports, const struct instance *instance, int64_t now_us, int timeout_ms);

/* What the fatal error of the instance was. */
void reports_fatal(rd_kafka_t *rk, struct outcome *outcome);

/* Records a failure. A later one replaces it only when it tells more; the broker's are counted as its refusals. */
void reports_fail(struct reports *reports, const struct outcome *failure);

#endif
