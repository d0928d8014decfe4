/* inspect.c: can brokers be reached, and if not, why not, broker by broker. Called by `check` and before `run`. */
#include "kafka/inspect.h"

#include "base/clock.h"
#include "kafka/brokers.h"
#include "kafka/classify.h"
#include "kafka/configs.h"
#include "kafka/handshake.h"
#include "kafka/inspect_parts.h"
#include "kafka/properties.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slice of waiting, between which librdkafka's errors are collected. */
enum { SLICE_MS = 300 };

int
inspect_remaining_ms(const struct inspection *inspection)
{
    int64_t remaining_ms = (inspection->deadline_us - clock_monotonic_us()) / 1000;
    return remaining_ms > 1 ? (int)remaining_ms : 1;
}

rd_kafka_event_t *
inspect_answer(const struct inspection *inspection)
{
    return rd_kafka_queue_poll(inspection->answers, inspect_remaining_ms(inspection));
}

/* A broker's first reason is kept. */
static void
take_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    struct inspection *inspection = opaque;
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || inspection->reason_count == INSPECT_REASONS)
        return;
    struct reason *reason = &inspection->reasons[inspection->reason_count];
    *reason = (struct reason){.code = (rd_kafka_resp_err_t)code};
    brokers_split_reason(text, reason->broker, sizeof reason->broker, reason->text, sizeof reason->text);
    reason->cure = handshake_explain(reason->broker, reason->text, sizeof reason->text);
    for (size_t i = 0; i < inspection->reason_count; i++)
        if (strcmp(inspection->reasons[i].broker, reason->broker) == 0)
            return;
    inspection->reason_count++;
}

static const char *
reason_cure(const struct reason *reason)
{
    if (reason->cure != NULL)
        return reason->cure;
    switch (reason->code) {
    case RD_KAFKA_RESP_ERR__SSL:
        return "compare kafka.ssl.* with the broker's listener: its certificate, its versions of TLS";
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return "check kafka.sasl.mechanism, kafka.sasl.username and its password";
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return "check the host name in kafka.bootstrap.servers";
    default:
        return "check kafka.bootstrap.servers and kafka.security.protocol, and that the broker runs";
    }
}

static void
add_reasons(struct inspection *inspection, bool reached)
{
    for (size_t i = 0; i < inspection->reason_count; i++) {
        const struct reason *reason = &inspection->reasons[i];
        findings_add(inspection->findings, reached ? FINDING_WARNING : FINDING_ERROR, ERROR_UNUSABLE,
                     reason_cure(reason), "broker %s: %s", reason->broker, reason->text);
    }
    if (!reached && inspection->reason_count == 0)
        findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
                     "check kafka.bootstrap.servers, kafka.security.protocol and the firewalls between",
                     "no broker answered in time");
}

static void
add_version(struct inspection *inspection, const rd_kafka_metadata_t *metadata)
{
    int patience_ms = (inspect_remaining_ms(inspection) + 1) / 2; /* the rest is for the topics */
    struct configs_versions versions = configs_ask_versions(inspection->rk, metadata, patience_ms);
    bool told = versions.lowest > 0;
    inspection->before_4 = told && versions.lowest < CONFIGS_VERSION_4;
    if (told)
        findings_ok(inspection->findings, "broker version: %s",
                    inspection->before_4 ? versions.text : "4.0 or later");
    if (inspection->settings->delivery != DELIVERY_EXACTLY_ONCE)
        return;
    if (told && versions.lowest < POSITION_BROKER_LEAST)
        findings_add(inspection->findings, FINDING_ERROR, ERROR_UNUSABLE,
                     "upgrade the brokers, or deliver at-least-once",
                     "delivery: exactly-once needs brokers from 3.7 on, these are %s", versions.text);
    else if (versions.untold[0] != '\0')
        findings_add(
            inspection->findings, FINDING_WARNING, ERROR_NONE,
            "see that the brokers are of 3.7 or later; DESCRIBE_CONFIGS on the cluster lets outboxd see it",
            "%s tell their version (%s), and delivery: exactly-once needs 3.7",
            told ? "not all brokers" : "the brokers do not", versions.untold);
}

/* Every broker of the configuration has shut us out, for a reason that no waiting mends. */
static bool
is_shut_out(const struct inspection *inspection)
{
    const struct property *servers = properties_find(inspection->settings, "bootstrap.servers");
    size_t count = 1;
    for (const char *at = servers ? servers->value : ""; *at != '\0'; at++)
        count += *at == ',';
    for (size_t i = 0; i < inspection->reason_count; i++)
        if (inspection->reasons[i].cure == NULL && inspection->reasons[i].code != RD_KAFKA_RESP_ERR__SSL &&
            inspection->reasons[i].code != RD_KAFKA_RESP_ERR__AUTHENTICATION)
            return false;
    return servers != NULL && inspection->reason_count >= count;
}

static bool
reach_brokers(struct inspection *inspection)
{
    const rd_kafka_metadata_t *metadata = NULL;
    rd_kafka_resp_err_t code;
    do {
        int slice_ms =
            inspect_remaining_ms(inspection) < SLICE_MS ? inspect_remaining_ms(inspection) : SLICE_MS;
        code = rd_kafka_metadata(inspection->rk, 0, NULL, &metadata, slice_ms);
        rd_kafka_poll(inspection->rk, code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : slice_ms);
    } while (code != RD_KAFKA_RESP_ERR_NO_ERROR && clock_monotonic_us() < inspection->deadline_us &&
             !is_shut_out(inspection));
    add_reasons(inspection, code == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    char *cluster = rd_kafka_clusterid(inspection->rk, inspect_remaining_ms(inspection));
    inspection->brokers = metadata->broker_cnt;
    inspection->has_controller = configs_have_controller(inspection->rk, metadata);
    findings_ok(inspection->findings, "Kafka answers: %d broker%s, cluster %s", metadata->broker_cnt,
                metadata->broker_cnt == 1 ? "" : "s", cluster ? cluster : "unknown");
    if (cluster != NULL)
        rd_kafka_mem_free(inspection->rk, cluster);
    if (inspection->has_controller)
        add_version(inspection, metadata);
    rd_kafka_metadata_destroy(metadata);
    return true;
}

bool
kafka_inspect(const struct settings *settings, const char *const *topics, size_t count, bool create,
              int timeout_ms, struct findings *findings)
{
    char reason[512];
    struct error error;
    struct inspection inspection = {.settings = settings,
                                    .findings = findings,
                                    .deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000};
    rd_kafka_conf_t *conf = properties_client(settings, &error);
    if (conf == NULL) {
        findings_add(findings, FINDING_ERROR, ERROR_CONFIG, "correct the section kafka", "%s", error.message);
        return false;
    }
    rd_kafka_conf_set_opaque(conf, &inspection);
    rd_kafka_conf_set_error_cb(conf, take_error);
    inspection.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (inspection.rk == NULL) {
        rd_kafka_conf_destroy(conf);
        findings_add(findings, FINDING_ERROR, ERROR_CONFIG, "correct the section kafka", "librdkafka: %s",
                     reason);
        return false;
    }
    inspection.answers = rd_kafka_queue_new(inspection.rk);
    if (settings->delivery == DELIVERY_EXACTLY_ONCE)
        position_topic(settings, inspection.position);
    bool reached = reach_brokers(&inspection);
    if (reached)
        inspect_topics(&inspection, topics, count, create);
    rd_kafka_queue_destroy(inspection.answers);
    rd_kafka_destroy(inspection.rk);
    return reached;
}
