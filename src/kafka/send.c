/* send.c: one event into librdkafka, or the reason why not, as far as that can be known before. Called by the relay for each event, so
 * everything here is counted in nanoseconds; never waits. */
#include "base/clock.h"
#include "kafka/classify.h"
#include "kafka/inside.h"

/* librdkafka estimates the size of a message a little higher than it is. */
enum { MESSAGE_MARGIN = 1024 };
/* The upper end of message.max.bytes. */
static const int64_t MESSAGE_BYTES_MAX = 1000000000;

static enum producer_sent
ask_for_reshape(struct producer *producer)
{
    producer->reshape = true;
    producer_wake(producer);
    return PRODUCER_ASKING;
}

static enum producer_look
look(struct producer *producer, struct topic_facts *facts, struct outcome *why)
{
    switch (facts->state) {
    case TOPIC_IDLE:
        topics_want(producer->topics, facts);
        producer_wake(producer);
        return LOOK_ASKING;
    case TOPIC_ASKING:
        return LOOK_ASKING;
    case TOPIC_FAULTY:
        *why = facts->fault;
        return LOOK_REFUSED;
    case TOPIC_KNOWN:
        break;
    }
    return LOOK_FINE;
}

enum producer_look
producer_look(struct producer *producer, const struct topic *topic, struct outcome *why)
{
    struct topic_facts *facts = topics_facts(producer->topics, topic);
    struct outcome last = *why;
    enum producer_look looked = look(producer, facts, why);
    bool still = looked == LOOK_FINE && partitions_still(&facts->partitions, facts->min_in_sync, &last);
    if (still)
        *why = last;
    return still ? LOOK_REFUSED : looked;
}

void
producer_forget_topic(struct producer *producer, const struct topic *topic)
{
    topics_forget(producer->topics, topics_facts(producer->topics, topic));
}

/* PRODUCER_SENT: nothing stands in the way of events of this topic. */
static enum producer_sent
prepare_topic(struct producer *producer, struct topic_facts *facts, struct outcome *why)
{
    if (facts->reserved) {
        classify_own(why, OUTCOME_EVENT, "TOPIC_RESERVED",
                     "relays keep their positions in topics of this name, no event may go there");
        return PRODUCER_REFUSED;
    }
    if (producer->reshape)
        return PRODUCER_ASKING;
    enum producer_look looked = look(producer, facts, why);
    if (looked != LOOK_FINE)
        return looked == LOOK_ASKING ? PRODUCER_ASKING : PRODUCER_REFUSED;
    if (topic_batch_bytes(facts) < producer->instance.shape.batch_bytes)
        return ask_for_reshape(producer);
    return PRODUCER_SENT;
}

/* PRODUCER_SENT: librdkafka and the broker take this event, as far as is known. */
static enum producer_sent
judge_event(struct producer *producer, const struct topic_facts *facts, const struct event *event,
            int64_t bytes, struct outcome *why)
{
    if (!message_allowed(event, bytes, &facts->limits, producer->compressed, why))
        return PRODUCER_REFUSED;
    if (bytes + MESSAGE_MARGIN <= producer->instance.shape.message_bytes)
        return PRODUCER_SENT;
    if (bytes + MESSAGE_MARGIN > MESSAGE_BYTES_MAX) {
        classify_own(why, OUTCOME_EVENT, "SIZE_REFUSED", "larger than any Kafka message");
        return PRODUCER_REFUSED;
    }
    /* A quarter more, so that slightly larger ones need no further instance. */
    int64_t wanted = (bytes + MESSAGE_MARGIN) * 5 / 4;
    producer->message_bytes = wanted < MESSAGE_BYTES_MAX ? wanted : MESSAGE_BYTES_MAX;
    return ask_for_reshape(producer);
}

static enum producer_sent
fail(struct producer *producer, rd_kafka_resp_err_t code, struct outcome *why)
{
    classify(code, why);
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        reports_fatal(producer->instance.rk, why);
    reports_fail(&producer->reports, why);
    producer_end(producer, clock_monotonic_us(), why->message);
    return PRODUCER_FAILED;
}

enum producer_sent
producer_send(struct producer *producer, struct event *event, struct outcome *why)
{
    struct topic_facts *facts = topics_facts(producer->topics, event->topic);
    rd_kafka_headers_t *headers;
    size_t headers_wire_size;
    /* 2 KiB: zeroing them for each event, as hardening does, would cost more than the rest of this function */
    struct error error __attribute__((uninitialized));
    if (producer->state != PRODUCER_READY || producer->reports.failed) {
        *why = producer->reports.failure;
        return PRODUCER_FAILED;
    }
    enum producer_sent sent = prepare_topic(producer, facts, why);
    if (sent != PRODUCER_SENT)
        return sent;
    if (!opening_allows(&facts->opening, event))
        return PRODUCER_ASKING;
    if (!message_headers(event, producer->settings->source, producer->source_size, &headers,
                         &headers_wire_size, &error)) {
        classify_own(why, OUTCOME_EVENT, "HEADERS_MALFORMED", "%.200s", error.message);
        return PRODUCER_REFUSED;
    }
    int64_t bytes = message_batch_bytes(event, headers_wire_size);
    sent = judge_event(producer, facts, event, bytes, why);
    if (sent == PRODUCER_SENT && !topic_has_room(facts, bytes, producer->instance.shape.batch_bytes))
        sent = PRODUCER_ASKING;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (sent == PRODUCER_SENT)
        code = message_produce(producer->instance.rk, facts->handle, event, headers);
    if (sent == PRODUCER_SENT && code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (facts->out == 0)
            facts->progress_us = clock_monotonic_us();
        topic_sent(facts, bytes);
        opening_sent(&facts->opening, event);
        producer->reports.out++;
        producer->uncommitted++;
        return PRODUCER_SENT;
    }
    rd_kafka_headers_destroy(headers);
    if (sent != PRODUCER_SENT)
        return sent;
    return code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? PRODUCER_FULL : fail(producer, code, why);
}
