/* fproxy_stream.c: bytes on their way from one socket to the other, frame by frame. Called by fproxy_link.c; asks the protocol what
 * stands in front, and does what fproxy_carry.c has noted in the stream. Never blocks and never grows. */
#include "fault/fproxy_link.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* A frame's beginning by which it is known fits, and with a latency of two seconds 128 kB/s are under way. */
#define IN_BYTES (256 * 1024)
#define OUT_BYTES (64 * 1024)
/* A throttled stream is looked at so often, and may have saved up as much time. */
#define THROTTLE_US 20000

void
stream_open(struct stream *stream)
{
    *stream = (struct stream){
        .in.capacity = IN_BYTES, .out.capacity = OUT_BYTES, .cut_left = SIZE_MAX, .corrupt_left = SIZE_MAX};
    stream->in.data = must_alloc(IN_BYTES);
    stream->out.data = must_alloc(OUT_BYTES);
}

static void
parked_free(struct parked *parked)
{
    if (parked != NULL)
        free(parked->data);
    free(parked);
}

void
stream_close(struct stream *stream)
{
    free(stream->in.data);
    free(stream->out.data);
    parked_free(stream->keep);
    for (struct parked *next; stream->parked != NULL; stream->parked = next) {
        next = stream->parked->next;
        parked_free(stream->parked);
    }
}

void
buffer_take(struct buffer *buffer, size_t size)
{
    buffer->start += size;
    buffer->size -= size;
    if (buffer->size == 0)
        buffer->start = 0;
}

static void
buffer_put(struct buffer *buffer, const char *data, size_t size)
{
    CHECK(size <= buffer->capacity - buffer->size);
    if (buffer->start + buffer->size + size > buffer->capacity) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->size);
        buffer->start = 0;
    }
    memcpy(buffer->data + buffer->start + buffer->size, data, size);
    buffer->size += size;
}

size_t
stream_room(const struct stream *stream)
{
    return stream->ended || stream->mark_count == LINK_MARKS ? 0 : stream->in.capacity - stream->in.size;
}

void
stream_put(struct stream *stream, const char *data, size_t size, int64_t latency_us, int64_t now_us)
{
    buffer_put(&stream->in, data, size);
    if (latency_us == 0 && stream->mark_count == 0) {
        stream->ripe += size;
        return;
    }
    stream->marks[(stream->first_mark + stream->mark_count++) % LINK_MARKS] =
        (struct mark){.due_us = now_us + latency_us, .size = size};
}

static void
ripen(struct stream *stream, int64_t now_us)
{
    while (stream->mark_count > 0 && stream->marks[stream->first_mark].due_us <= now_us) {
        stream->ripe += stream->marks[stream->first_mark].size;
        stream->first_mark = (stream->first_mark + 1) % LINK_MARKS;
        stream->mark_count--;
    }
}

/* Bytes that the rate lets through now, at most `size`. */
static size_t
within_rate(struct stream *stream, size_t size, int64_t now_us)
{
    if (stream->rate == 0)
        return size;
    double most = (double)stream->rate * THROTTLE_US / 1e6, tokens = stream->tokens;
    if (now_us > stream->rate_us)
        tokens += (double)(now_us - stream->rate_us) * (double)stream->rate / 1e6;
    stream->rate_us = now_us;
    most = most > 1 ? most : 1;
    tokens = tokens < most ? tokens : most;
    size = (double)size > tokens ? (size_t)tokens : size;
    stream->tokens = tokens - (double)size;
    return size;
}

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The frame is over: its copy, if it has one, waits for its time; the destination may be told the end. */
static void
end_frame(struct stream *stream)
{
    if (stream->keep != NULL) {
        struct parked **last = &stream->parked;
        while (*last != NULL)
            last = &(*last)->next;
        *last = stream->keep;
        stream->keep = NULL;
    }
    stream->shut_wanted |= stream->shut_after;
    stream->swallow = false;
}

static void
keep_bytes(struct parked *keep, const char *data, size_t size)
{
    CHECK(keep->size + size <= keep->capacity);
    memcpy(keep->data + keep->size, data, size);
    keep->size += size;
}

/* Changes the byte whose turn has come. */
static void
corrupt(struct stream *stream, size_t size)
{
    if (stream->corrupt_left == SIZE_MAX)
        return;
    if (stream->corrupt_left < size) {
        char *byte = stream->in.data + stream->in.start + stream->corrupt_left;
        *byte = (char)~*byte;
        stream->corrupt_left = SIZE_MAX;
        return;
    }
    stream->corrupt_left -= size;
}

/* Some bytes of the present frame; false when none can go now. */
static bool
pass(struct stream *stream, int64_t now_us)
{
    bool gone = stream->swallow || stream->dead || stream->shut_wanted;
    size_t size = smaller(stream->left, stream->ripe);
    size = smaller(size, stream->cut_left);
    if (!gone)
        size = within_rate(stream, smaller(size, stream->out.capacity - stream->out.size), now_us);
    if (size == 0)
        return false;
    const char *data = stream->in.data + stream->in.start;
    corrupt(stream, size);
    if (!gone)
        buffer_put(&stream->out, data, size);
    if (stream->keep != NULL)
        keep_bytes(stream->keep, data, size);
    buffer_take(&stream->in, size);
    stream->ripe -= size;
    stream->left -= size;
    stream->carried += size;
    if (stream->cut_left != SIZE_MAX)
        stream->cut_left -= size;
    stream->cut = stream->cut_left == 0;
    if (stream->left == 0)
        end_frame(stream);
    return true;
}

/* Sends what is parked and due; false while it is not all through, so that no other frame begins. */
static bool
send_parked(struct link *link, struct stream *stream, int64_t now_us)
{
    for (struct parked **at = &stream->parked; *at != NULL;) {
        struct parked *parked = *at;
        if (parked->sent == 0 && parked->due_us > now_us) {
            at = &parked->next;
            continue;
        }
        size_t size = smaller(parked->size - parked->sent, stream->out.capacity - stream->out.size);
        if (parked->sent == 0 && size > 0 && parked->rule != 0)
            link_log(link, parked->kind, "released", 0, parked->rule);
        if (!stream->dead)
            buffer_put(&stream->out, parked->data + parked->sent, size);
        parked->sent = stream->dead ? parked->size : parked->sent + size;
        if (parked->sent < parked->size)
            return false;
        *at = parked->next;
        parked_free(parked);
    }
    return true;
}

/* Asks the protocol for the next frame; false: it has not come yet. */
static bool
begin_frame(struct link *link, struct stream *stream)
{
    const char *data = stream->in.data + stream->in.start;
    if (stream->ripe == 0)
        return false;
    bool up = stream == &link->up, kafka = link->listener->protocol == PROTOCOL_KAFKA;
    (kafka ? up ? kafka_request : kafka_response
     : up  ? postgres_request
           : postgres_response)(link, data, stream->ripe);
    /* half a frame of a source that has ended goes on as it is */
    if (stream->left == 0 && stream->ended && stream->mark_count == 0 && exchange_room(link))
        stream->left = stream->ripe;
    return stream->left > 0;
}

void
stream_move(struct link *link, struct stream *stream, int64_t now_us)
{
    ripen(stream, now_us);
    while (!link->reset && !stream->cut && now_us >= stream->wait_us) {
        if (stream->held_by != 0)
            link_log(link, stream->held_kind, "released", 0, stream->held_by);
        stream->held_by = 0;
        if (stream->left == 0 && (!send_parked(link, stream, now_us) || !begin_frame(link, stream)))
            return;
        if (now_us >= stream->wait_us && !link->reset && !pass(stream, now_us))
            return;
    }
}

bool
stream_empty(const struct stream *stream)
{
    return stream->in.size == 0 && stream->out.size == 0 && stream->parked == NULL;
}

int64_t
stream_deadline_us(const struct stream *stream, int64_t now_us)
{
    int64_t next_us = CLOCK_NEVER;
    if (stream->wait_us > now_us)
        next_us = stream->wait_us;
    else if (stream->rate > 0 && stream->left > 0 && stream->ripe > 0)
        next_us = now_us + THROTTLE_US;
    if (stream->mark_count > 0 && stream->marks[stream->first_mark].due_us < next_us)
        next_us = stream->marks[stream->first_mark].due_us;
    for (const struct parked *parked = stream->parked; parked != NULL; parked = parked->next)
        if (parked->due_us > now_us && parked->due_us < next_us)
            next_us = parked->due_us;
    return next_us;
}

int
stream_release(struct stream *stream, int rule)
{
    int released = 0;
    if (stream->held_by != 0 && (rule == 0 || stream->held_by == rule)) {
        stream->wait_us = 0;
        released++;
    }
    for (struct parked *parked = stream->parked; parked != NULL; parked = parked->next)
        if (parked->rule != 0 && parked->due_us > 0 && (rule == 0 || parked->rule == rule)) {
            parked->due_us = 0;
            released++;
        }
    return released;
}
