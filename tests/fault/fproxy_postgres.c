/* fproxy_postgres.c: the messages of Postgres' protocol 3 (its manual, "Message Flow" and "Message Formats"). Called by
 * fproxy_stream.c.
 *
 *   start      length(4) code(4) ..           an answer to a wish for encryption is one byte
 *   message    type(1) length(4) ..
 *   unit       Query | Parse, Bind, Describe, Execute .. Sync          asked and answered as one: its answer ends with ReadyForQuery
 *
 * A statement is known by its text, or by the name under which it was prepared. What is encrypted, and a wish to cancel, pass as
 * they are. */
#include "fault/fproxy_link.h"

#include <ctype.h>
#include <string.h>

/* So much of a message is looked at for its names: more than any name, and the beginning of any text. */
#define HEAD_BYTES (16 * 1024)
#define CODE_CANCEL 80877102
#define CODE_TLS 80877103
#define CODE_GSS 80877104

static uint32_t
number(const char *data)
{
    const unsigned char *bytes = (const unsigned char *)data;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The text of a message's field, cut where the head is; *at moves behind it. */
static void
field(const char *data, size_t size, size_t *at, char *text, size_t capacity)
{
    size_t length = *at < size ? strnlen(data + *at, size - *at) : 0;
    size_t copied = length < capacity - 1 ? length : capacity - 1;
    memcpy(text, data + (*at < size ? *at : size), copied);
    text[copied] = '\0';
    *at += length + 1;
}

/* What the log calls the unit: one word. */
static void
name_unit(struct exchange *unit, const char *name)
{
    size_t i = 0;
    for (; name[i] != '\0' && i < sizeof unit->kind - 1; i++)
        unit->kind[i] = (char)(isalnum((unsigned char)name[i]) ? name[i] : '_');
    unit->kind[i] = '\0';
}

static void
judge(struct link *link, const char *name, const char *text, size_t size)
{
    struct postgres_talk *talk = &link->talk;
    struct verdict verdict =
        rules_judge(&link->proxy->rules, &(struct request){.protocol = PROTOCOL_POSTGRES,
                                                           .listener = link->listener->number,
                                                           .kinds = {name, text},
                                                           .before = link->up.carried,
                                                           .size = size,
                                                           .counted = &talk->counted});
    if (talk->unit->verdict.fault == FAULT_NONE)
        talk->unit->verdict = verdict;
    if (name != NULL && name[0] != '\0')
        name_unit(talk->unit, name);
    else if (text != NULL)
        name_unit(talk->unit, text);
}

static void
begin_unit(struct link *link)
{
    link->talk.counted = 0;
    link->talk.unit = exchange_push(link, &(struct exchange){.kind = "statement"});
}

/* A message of the unit goes on its way; no answer comes to a unit that is dropped. */
static void
carry_message(struct link *link, size_t size, bool first, bool last)
{
    const struct verdict *verdict = &link->talk.unit->verdict;
    carry_frame(link, &link->up, link->talk.unit, size, first, last);
    if (last && verdict->fault == FAULT_DROP && verdict->side == SIDE_REQUEST)
        exchange_forget(link);
}

static void
start(struct link *link, const char *data, size_t size)
{
    struct postgres_talk *talk = &link->talk;
    if (size < 8)
        return;
    uint32_t length = number(data), code = number(data + 4);
    if (length < 8 || length > HEAD_BYTES || code == CODE_CANCEL) {
        talk->phase = TALK_OPAQUE;
        link->up.left = SIZE_MAX;
        return;
    }
    if (code == CODE_TLS || code == CODE_GSS) {
        talk->asked_encryption = true;
        link->up.left = length;
        return;
    }
    talk->phase = TALK_MESSAGES;
    begin_unit(link);
    judge(link, "startup", NULL, length);
    carry_message(link, length, true, true);
}

/* Shows what a message names to the rules. */
static void
look_at(struct link *link, char type, const char *data, size_t size, size_t message)
{
    char name[128], text[HEAD_BYTES];
    size_t at = 5;
    if (type == 'Q') {
        field(data, size, &at, text, sizeof text);
        judge(link, NULL, text, message);
    } else if (type == 'P') {
        field(data, size, &at, name, sizeof name);
        field(data, size, &at, text, sizeof text);
        judge(link, name, text, message);
    } else if (type == 'B') {
        field(data, size, &at, text, sizeof text); /* the portal */
        field(data, size, &at, name, sizeof name);
        if (name[0] != '\0')
            judge(link, name, NULL, message);
    }
}

void
postgres_request(struct link *link, const char *data, size_t size)
{
    struct postgres_talk *talk = &link->talk;
    struct stream *stream = &link->up;
    if (talk->phase == TALK_OPAQUE)
        stream->left = SIZE_MAX;
    else if (talk->phase == TALK_START)
        start(link, data, size);
    if (talk->phase != TALK_MESSAGES || stream->left > 0 || link->reset || size < 5)
        return;
    char type = data[0];
    size_t message = 1 + (size_t)number(data + 1), head = message < HEAD_BYTES ? message : HEAD_BYTES;
    if (strchr("QPBDECHFS", type) == NULL) {
        stream->left = message; /* a password, rows of a COPY, the end */
        return;
    }
    if (size < head || !exchange_room(link))
        return;
    bool first = !talk->in_unit, last = type == 'Q' || type == 'S' || type == 'F';
    if (first)
        begin_unit(link);
    bool decided = talk->unit->verdict.fault != FAULT_NONE;
    look_at(link, type, data, head, message);
    first |= !decided && talk->unit->verdict.fault != FAULT_NONE;
    talk->in_unit = !last;
    carry_message(link, message, first, last);
}

void
postgres_response(struct link *link, const char *data, size_t size)
{
    struct postgres_talk *talk = &link->talk;
    struct stream *stream = &link->down;
    struct exchange exchange = {0};
    if (talk->asked_encryption && talk->phase != TALK_MESSAGES) {
        talk->asked_encryption = false;
        talk->phase = data[0] == 'N' ? TALK_START : TALK_OPAQUE;
        stream->left = 1;
        return;
    }
    if (talk->phase == TALK_OPAQUE)
        stream->left = SIZE_MAX;
    if (stream->left > 0 || size < 5)
        return;
    size_t message = 1 + (size_t)number(data + 1);
    bool last = data[0] == 'Z', first = !talk->answering;
    if (link->exchange_count > 0)
        exchange = link->exchanges[link->first_exchange];
    if (last)
        (void)exchange_pull(link, exchange.correlation, &exchange);
    talk->answering = !last && link->exchange_count > 0;
    carry_frame(link, stream, &exchange, message, first, last);
}
