/* fproxy_carry.c: what a verdict does to the frame in front of a stream, noted in the stream for fproxy_stream.c; and the exchanges,
 * by which an answer meets the verdict of its request. Called by the protocols. */
#include "fault/fproxy_link.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Of a frame that is sent again or later: a batch of librdkafka is one megabyte. */
#define KEEP_BYTES (4 * 1024 * 1024)
/* Of Kafka: length, kind and number, which stay as they are. */
#define FRAME_HEAD 12

static struct exchange *
exchange_at(struct link *link, int i)
{
    return &link->exchanges[(link->first_exchange + i) % LINK_EXCHANGES];
}

bool
exchange_room(const struct link *link)
{
    return link->exchange_count + 2 <= LINK_EXCHANGES;
}

struct exchange *
exchange_push(struct link *link, const struct exchange *exchange)
{
    CHECK(link->exchange_count < LINK_EXCHANGES);
    struct exchange *last = exchange_at(link, link->exchange_count++);
    *last = *exchange;
    return last;
}

void
exchange_forget(struct link *link)
{
    CHECK(link->exchange_count > 0);
    link->exchange_count--;
}

bool
exchange_pull(struct link *link, int32_t correlation, struct exchange *exchange)
{
    int at = 0;
    while (at < link->exchange_count && exchange_at(link, at)->correlation != correlation)
        at++;
    if (at == link->exchange_count)
        return false;
    *exchange = *exchange_at(link, at);
    for (; at > 0; at--)
        *exchange_at(link, at) = *exchange_at(link, at - 1);
    link->first_exchange = (link->first_exchange + 1) % LINK_EXCHANGES;
    link->exchange_count--;
    return true;
}

static int64_t
until_us(int64_t amount_ms)
{
    return amount_ms > 0 ? clock_monotonic_us() + amount_ms * 1000 : CLOCK_NEVER;
}

static void
keep_frame(struct stream *stream, const struct exchange *exchange, size_t size, int64_t due_us, int rule)
{
    struct parked *keep = must_calloc(1, sizeof *keep);
    *keep = (struct parked){.capacity = size, .due_us = due_us, .rule = rule};
    keep->data = must_alloc(size);
    memcpy(keep->kind, exchange->kind, sizeof keep->kind);
    stream->keep = keep;
}

/* Where it is cut: behind the bytes that the rule names (an answer of Postgres has several messages, so that may be further on), at
 * the limit of kb=, or in the middle. */
static size_t
cut_at(const struct verdict *verdict, size_t size)
{
    if (verdict->amount > 0)
        return (size_t)verdict->amount;
    if (verdict->side == SIDE_REQUEST && verdict->boundary > 0)
        return (size_t)verdict->boundary;
    return size / 2;
}

/* One byte of the body, or of its last ones when the rule says how many. */
static const char *
corrupt_frame(struct stream *stream, const struct verdict *verdict, size_t size)
{
    size_t among = size > FRAME_HEAD ? size - FRAME_HEAD : 0;
    if (among == 0)
        return "too-small";
    if (verdict->amount > 0 && (size_t)verdict->amount < among)
        among = (size_t)verdict->amount;
    stream->corrupt_left = size - among + (size_t)(verdict->drawn * (double)among);
    return verdict->action;
}

static void
stand_still(struct stream *stream, const struct exchange *exchange)
{
    const struct verdict *verdict = &exchange->verdict;
    stream->wait_us = until_us(verdict->amount);
    if (verdict->fault == FAULT_DELAY)
        return;
    stream->held_by = verdict->rule;
    memcpy(stream->held_kind, exchange->kind, sizeof stream->held_kind);
}

/* Faults of a whole frame, of Kafka only. */
static const char *
copy_frame(struct stream *stream, const struct exchange *exchange, size_t size)
{
    const struct verdict *verdict = &exchange->verdict;
    if (size > KEEP_BYTES)
        return "too-large";
    bool postpone = verdict->fault == FAULT_POSTPONE;
    keep_frame(stream, exchange, size, postpone ? until_us(verdict->amount) : 0,
               postpone ? verdict->rule : 0);
    stream->swallow = postpone;
    return verdict->action;
}

/* The fault itself; returns what is to be said of it, or NULL when that was said, or is still to come. */
static const char *
inflict(struct link *link, struct stream *stream, const struct exchange *exchange, size_t size, bool first,
        bool last)
{
    const struct verdict *verdict = &exchange->verdict;
    bool asked = verdict->side == SIDE_REQUEST;
    switch (verdict->fault) {
    case FAULT_NONE:
        return NULL;
    case FAULT_THROTTLE:
        return first ? verdict->action : NULL;
    case FAULT_DELAY:
    case FAULT_HOLD:
        if (first)
            stand_still(stream, exchange);
        return first ? verdict->action : NULL;
    case FAULT_DROP:
        stream->swallow = true;
        return first ? verdict->action : NULL;
    case FAULT_CUT:
        if (first)
            stream->cut_left = cut_at(verdict, size);
        return first ? verdict->action : NULL;
    case FAULT_RST:
        /* an answer is awaited to its end: then what was asked for has been done */
        stream->swallow = true;
        link->reset |= asked ? first : last;
        return link->reset ? verdict->action : NULL;
    case FAULT_HALF_CLOSE:
        stream->shut_after = last;
        return last ? verdict->action : NULL;
    case FAULT_DUPLICATE:
    case FAULT_POSTPONE:
        return copy_frame(stream, exchange, size);
    case FAULT_CORRUPT:
        return corrupt_frame(stream, verdict, size);
    }
    return NULL;
}

void
carry_frame(struct link *link, struct stream *stream, const struct exchange *exchange, size_t size,
            bool first, bool last)
{
    const struct verdict *verdict = &exchange->verdict;
    enum side side = stream == &link->up ? SIDE_REQUEST : SIDE_RESPONSE;
    if (stream->rate == 0)
        stream->rate_us = clock_monotonic_us();
    stream->rate = verdict->rate[side];
    stream->left = size;
    stream->swallow = exchange->unasked && side == SIDE_RESPONSE;
    if (verdict->fault == FAULT_NONE || verdict->side != side)
        return;
    const char *action = inflict(link, stream, exchange, size, first, last);
    if (action != NULL)
        link_log(link, exchange->kind, action, verdict->n, verdict->rule);
}
