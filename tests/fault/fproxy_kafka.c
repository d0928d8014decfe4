/* fproxy_kafka.c: the frames of Kafka's protocol (kafka.apache.org/protocol). Called by fproxy_stream.c.
 *
 *   request    length(4) api_key(2) api_version(2) correlation(4) ..      response   length(4) correlation(4) ..
 *
 * What does not look like that, as TLS, passes as it is. */
#include "fault/fproxy_link.h"

#include <string.h>

#define REQUEST_HEAD 12
#define RESPONSE_HEAD 8
/* Ten times what a broker takes (socket.request.max.bytes): not a frame of Kafka. */
#define FRAME_BYTES (1024 * 1024 * 1024)

static const char *const names[] = {
    [0] = "Produce",           [1] = "Fetch",         [2] = "ListOffsets",      [3] = "Metadata",
    [8] = "OffsetCommit",      [9] = "OffsetFetch",   [10] = "FindCoordinator", [17] = "SaslHandshake",
    [18] = "ApiVersions",      [19] = "CreateTopics", [22] = "InitProducerId",  [24] = "AddPartitionsToTxn",
    [25] = "AddOffsetsToTxn",  [26] = "EndTxn",       [28] = "TxnOffsetCommit", [32] = "DescribeConfigs",
    [36] = "SaslAuthenticate",
};

static uint32_t
number(const char *data, size_t size)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (unsigned char)data[i];
    return value;
}

static bool
is_frame(struct stream *stream, const char *data, size_t size, size_t head, size_t *frame)
{
    if (size < 4)
        return false;
    *frame = 4 + (size_t)number(data, 4);
    if (*frame < head || *frame > FRAME_BYTES)
        stream->left = SIZE_MAX; /* not Kafka: everything else too */
    return stream->left == 0 && size >= head;
}

void
kafka_request(struct link *link, const char *data, size_t size)
{
    struct stream *stream = &link->up;
    struct exchange exchange = {0};
    uint64_t counted = 0;
    size_t frame;
    char digits[8];
    if (!is_frame(stream, data, size, REQUEST_HEAD, &frame) || !exchange_room(link))
        return;
    uint32_t key = number(data + 4, 2);
    snprintf(digits, sizeof digits, "%u", key);
    const char *name = key < sizeof names / sizeof *names && names[key] != NULL ? names[key] : digits;
    exchange.correlation = (int32_t)number(data + 8, 4);
    snprintf(exchange.kind, sizeof exchange.kind, "%s", name);
    exchange.verdict = rules_judge(&link->proxy->rules, &(struct request){.protocol = PROTOCOL_KAFKA,
                                                                          .listener = link->listener->number,
                                                                          .kinds = {name, digits},
                                                                          .before = stream->carried,
                                                                          .size = frame,
                                                                          .counted = &counted});
    carry_frame(link, stream, &exchange, frame, true, true);
    if (stream->swallow && stream->keep == NULL)
        return; /* nobody will answer it */
    (void)exchange_push(link, &exchange);
    if (stream->keep != NULL && !stream->swallow) {
        /* the second copy's answer: the client waits for one only */
        exchange.unasked = true;
        exchange.verdict = (struct verdict){0};
        (void)exchange_push(link, &exchange);
    }
}

void
kafka_response(struct link *link, const char *data, size_t size)
{
    struct exchange exchange;
    size_t frame;
    if (!is_frame(&link->down, data, size, RESPONSE_HEAD, &frame))
        return;
    if (!exchange_pull(link, (int32_t)number(data + 4, 4), &exchange))
        exchange = (struct exchange){.kind = "unknown"};
    carry_frame(link, &link->down, &exchange, frame, true, true);
}
