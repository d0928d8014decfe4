/* reports.c: what librdkafka's queue of events holds for the producer: reports, errors, statistics. Events and not callbacks: while a
 * transaction is committed in another thread, librdkafka would call callbacks there. Never calls the producer back. */
#include "kafka/reports.h"

#include "base/clock.h"
#include "base/log.h"
#include "kafka/barred.h"
#include "kafka/brokerlog.h"
#include "kafka/classify.h"
#include "kafka/handshake.h"
#include "kafka/statistics.h"

#include <stdio.h>
#include <string.h>

/* A turn's worth: 5,000 reports are about 2 ms, so the relay's other work never waits longer. */
enum { REPORTS_A_TURN = 5000 };

/* A broker that ends an idle connection (connections.max.idle.ms), or the only one that librdkafka had a connection to, is no
 * outage: within a second librdkafka connects again, or to another one. */
static const int64_t ALL_FAILED_US = INT64_C(1500) * 1000;
/* While not every broker has failed, one of the others may be on its way, or still be silent. */
static const int64_t SILENT_US = INT64_C(5) * 1000 * 1000;
/* That all brokers have failed, and the end of the last connection, come in any order. */
static const int64_t SAME_US = INT64_C(1) * 1000 * 1000;
/* librdkafka says the same about a broker once in 30 s: what is older is of another outage. */
static const int64_t STALE_US = INT64_C(30) * 1000 * 1000;
/* Most of message.timeout.ms in a transaction, which is 30 s (properties.c). */
static const int64_t EXPIRED_US = INT64_C(20) * 1000 * 1000;
/* An instance that fails is followed by another one within two seconds and a half: so long without an acknowledgement is some
 * instances in vain, and so long without a failure the end of them. */
static const int64_t REFUSING_US = INT64_C(5) * 1000 * 1000;

void
reports_begin(struct reports *reports, struct brokers *brokers, int64_t batch_bytes)
{
    reports->brokers = brokers;
    reports->batch_bytes = batch_bytes;
    reports->failed = false;
    reports->failure = (struct outcome){.kind = OUTCOME_UNSENT};
    reports->statistics.brokers_up = 0;
    reports->statistics.instances++;
    barred_forget();
}

/* ---- refusing: the broker answers, and takes nothing ---- */

static void
note_refusal(struct reports *reports, const struct outcome *failure)
{
    struct producer_statistics *statistics = &reports->statistics;
    if (failure->kind != OUTCOME_BROKER)
        return;
    if (reports->refused_first_us == 0)
        reports->refused_first_us = reports->now_us;
    reports->refused_last_us = reports->now_us;
    snprintf(statistics->refusing_why, sizeof statistics->refusing_why, "%s: %s", failure->name,
             failure->message);
}

static void
note_refused_id(struct reports *reports)
{
    char text[sizeof((struct outcome *)0)->message];
    struct outcome refusal;
    if (!brokerlog_refusal(text, sizeof text))
        return;
    reports->statistics.unended =
        strstr(text, rd_kafka_err2str(RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS)) != NULL;
    if (reports->statistics.unended)
        classify_own(
            &refusal, OUTCOME_BROKER, "TRANSACTION_UNENDED",
            "Kafka cannot end the last transaction: a partition of it has no leader, or too few replicas in "
            "sync; start the brokers that hold it");
    else
        classify_own(&refusal, OUTCOME_BROKER, "NO_PRODUCER_ID", "%s", text);
    note_refusal(reports, &refusal);
}

static void
forget_refusals(struct reports *reports)
{
    struct producer_statistics *statistics = &reports->statistics;
    if (reports->refused_first_us == 0)
        return;
    if (statistics->refusing_since_us != 0)
        log_info("Kafka refuses no longer",
                 LOG_REAL("after_seconds", (double)(reports->now_us - statistics->refusing_since_us) / 1e6),
                 LOG_END);
    statistics->refusing_since_us = 0;
    statistics->unended = false;
    reports->refused_first_us = 0;
}

/* A refusal that passes, or that comes once, is nobody's business. One that was told is over when an event is acknowledged, or when
 * a producer without events lives on. */
static void
look_at_refusals(struct reports *reports)
{
    struct producer_statistics *statistics = &reports->statistics;
    bool told = statistics->refusing_since_us != 0;
    note_refused_id(reports);
    if (reports->refused_first_us == 0)
        return;
    if (reports->now_us - reports->refused_last_us >= REFUSING_US) {
        if (!told || reports->out == 0)
            forget_refusals(reports);
        return;
    }
    if (told || reports->refused_last_us - reports->refused_first_us < REFUSING_US)
        return;
    statistics->refusing_since_us = reports->refused_first_us;
    statistics->refusing_since_wall_us = clock_wall_us() - (reports->now_us - reports->refused_first_us);
    log_warning("Kafka refuses everything", LOG_STR("why", statistics->refusing_why), LOG_END);
}

void
reports_fail(struct reports *reports, const struct outcome *failure)
{
    note_refusal(reports, failure);
    if (!reports->failed || reports->failure.kind == OUTCOME_UNSENT)
        reports->failure = *failure;
    reports->failed = true;
}

/* ---- away: said once when it breaks, once when it heals ---- */

static void
heal(struct reports *reports)
{
    struct producer_statistics *statistics = &reports->statistics;
    if (statistics->away_since_us != 0)
        log_info("Kafka answers again",
                 LOG_REAL("after_seconds", (double)(reports->now_us - statistics->away_since_us) / 1e6),
                 LOG_END);
    statistics->reached = true;
    statistics->away_since_us = 0;
    reports->gone_us = 0;
}

static void
suffer(struct reports *reports)
{
    struct producer_statistics *statistics = &reports->statistics;
    if (statistics->away_why[0] == '\0')
        snprintf(statistics->away_why, sizeof statistics->away_why, "no broker has answered");
    statistics->away_since_us = reports->gone_us;
    statistics->away_since_wall_us = clock_wall_us() - (reports->now_us - reports->gone_us);
    statistics->brokers_up = 0;
    log_warning("Kafka does not answer", LOG_STR("why", statistics->away_why), LOG_END);
}

/* No connection at all is an outage when it lasts. */
static void
look_at_brokers(struct reports *reports)
{
    if (brokers_connected(reports->brokers)) {
        heal(reports);
        return;
    }
    if (reports->gone_us == 0) {
        reports->gone_us = reports->now_us;
        if (reports->now_us - reports->said_us > STALE_US)
            reports->statistics.away_why[0] = '\0';
    }
    bool all_failed = reports->all_failed_us + SAME_US >= reports->gone_us;
    int64_t patience_us = all_failed ? ALL_FAILED_US : SILENT_US;
    if (reports->statistics.away_since_us == 0 && reports->now_us - reports->gone_us >= patience_us)
        suffer(reports);
}

void
reports_fatal(rd_kafka_t *rk, struct outcome *outcome)
{
    char text[200];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk, text, sizeof text);
    classify(code, outcome);
    if (!classify_cures(code))
        snprintf(outcome->message, sizeof outcome->message, "%s", text);
}

static void
take_error(struct reports *reports, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *reason, bool fatal)
{
    if (fatal) { /* as an event it has the code of its cause */
        struct outcome outcome;
        reports_fatal(rk, &outcome);
        reports_fail(reports, &outcome);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        reports->all_failed_us = reports->now_us;
        return;
    }
    char broker[128], what[256];
    brokers_split_reason(reason, broker, sizeof broker, what, sizeof what);
    (void)handshake_explain(broker, what, sizeof what);
    snprintf(reports->statistics.away_why, sizeof reports->statistics.away_why, "%s%s%s", broker,
             broker[0] != '\0' ? ": " : "", what);
    reports->said_us = reports->now_us;
}

/* ---- delivery reports ---- */

/* Nobody has refused the event, and it was not taken although a broker answers: the watchdog has found its topic (producer.c), or
 * librdkafka has ended the transaction, as it does after message.timeout.ms (properties.c). */
static bool
was_silent(const struct reports *reports, const struct topic_facts *facts, rd_kafka_resp_err_t code,
           const struct outcome *outcome)
{
    bool expired = code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT && brokers_connected(reports->brokers) &&
                   reports->now_us - facts->progress_us >= EXPIRED_US;
    return expired || (outcome->kind == OUTCOME_UNSENT && facts->stalled);
}

static void
take_failure(struct reports *reports, struct topic_facts *facts, const rd_kafka_message_t *message)
{
    struct event *event = message->_private;
    rd_kafka_resp_err_t code = message->err;
    struct outcome outcome;
    classify(code, &outcome);
    bool named = outcome.kind == OUTCOME_UNSENT && barred_find(event->topic->name, &outcome);
    if (!named && was_silent(reports, facts, code, &outcome) &&
        !partitions_obstacle(&facts->partitions, event, facts->min_in_sync, &outcome))
        classify_own(
            &outcome, OUTCOME_TOPIC, "NO_ANSWER",
            "partition %d: no acknowledgement in time although a broker answers: is its leader within reach?",
            (int)message->partition);
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && reports->batch_bytes > 0)
        topics_batch_refused(facts, reports->batch_bytes);
    if (outcome.kind != OUTCOME_UNSENT)
        reports->statistics.reports_failed++;
    /* Also when nobody is to blame: this event must go before those behind it. */
    reports_fail(reports, &outcome);
    reports->report(reports->context, event, &outcome);
}

/* Without an offset no broker has acknowledged the event: librdkafka has concluded so from a later one that was. That is sound
 * only while the broker knows the producer's sequence; a topic that was deleted and made anew does not. Sending it again is
 * always sound. */
static void
take_guess(struct reports *reports, struct event *event)
{
    struct outcome outcome;
    classify_own(&outcome, OUTCOME_BROKER, "NO_OFFSET", "no broker has acknowledged it, only a later one");
    reports->statistics.reports_failed++;
    reports_fail(reports, &outcome);
    reports->report(reports->context, event, &outcome);
}

/* The record of the position says nothing by itself: the commit that follows it does. */
static void
take_position(struct reports *reports, const rd_kafka_message_t *message)
{
    struct outcome outcome;
    const char *topic = rd_kafka_topic_name(message->rkt);
    reports->out--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    classify(message->err, &outcome);
    if (outcome.kind == OUTCOME_UNSENT && barred_find(topic, &outcome))
        position_explain(topic, &outcome);
    reports_fail(reports, &outcome);
}

static void
take_report(struct reports *reports, const rd_kafka_message_t *message)
{
    static const struct outcome acknowledged = {.kind = OUTCOME_ACKNOWLEDGED, .name = "NO_ERROR"};
    struct event *event = message->_private;
    reports->served++;
    if (event == NULL) {
        take_position(reports, message);
        return;
    }
    struct topic_facts *facts = topics_at(reports->topics, event->topic->index);
    facts->out--;
    reports->out--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset < 0) {
        take_guess(reports, event);
    } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        facts->progress_us = reports->now_us;
        forget_refusals(reports);
        opening_acknowledged(&facts->opening, event);
        reports->report(reports->context, event, &acknowledged);
    } else {
        take_failure(reports, facts, message);
    }
}

void
reports_install(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS);
}

static void
take_event(struct reports *reports, rd_kafka_t *rk, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message;
    const char *text;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
        while ((message = rd_kafka_event_message_next(event)) != NULL)
            take_report(reports, message);
        break;
    case RD_KAFKA_EVENT_ERROR:
        take_error(reports, rk, rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                   rd_kafka_event_error_is_fatal(event));
        break;
    case RD_KAFKA_EVENT_STATS:
        text = rd_kafka_event_stats(event);
        (void)statistics_read(&reports->statistics, text, strlen(text));
        break;
    default:
        break;
    }
}

void
reports_serve(struct reports *reports, const struct instance *instance, int64_t now_us, int timeout_ms)
{
    rd_kafka_event_t *event;
    reports->now_us = now_us;
    reports->served = 0;
    while (reports->served < REPORTS_A_TURN &&
           (event = rd_kafka_queue_poll(instance->reports, timeout_ms)) != NULL) {
        take_event(reports, instance->rk, event);
        rd_kafka_event_destroy(event);
        timeout_ms = 0;
    }
    look_at_brokers(reports);
    look_at_refusals(reports);
}
