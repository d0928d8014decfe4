/* replay_print.c: see replay_print.h. Called by replay.c. */
#include "command/replay_print.h"

#include "base/fields.h"
#include "command/print.h"
#include "command/tail_print.h"

#include <inttypes.h>
#include <string.h>

/* ---- what would be sent ---- */

static struct retained_topic
total_sent(const struct retained *retained, const enum replay_part *parts)
{
    struct retained_topic total = {.first_id = INT64_MAX, .oldest_us = INT64_MAX};
    for (size_t i = 0; i < retained->count; i++) {
        const struct retained_topic *topic = &retained->topics[i];
        if (parts[i] == REPLAY_UNSELECTED)
            continue;
        total.events += topic->events;
        total.bytes += topic->bytes;
        total.first_id = topic->first_id < total.first_id ? topic->first_id : total.first_id;
        total.last_id = topic->last_id > total.last_id ? topic->last_id : total.last_id;
        total.oldest_us = topic->oldest_us < total.oldest_us ? topic->oldest_us : total.oldest_us;
        total.newest_us = topic->newest_us > total.newest_us ? topic->newest_us : total.newest_us;
    }
    return total;
}

static void
print_topics(const struct retained *retained, const enum replay_part *parts, enum replay_part part, FILE *to)
{
    for (size_t i = 0; i < retained->count; i++) {
        const struct retained_topic *topic = &retained->topics[i];
        char bytes[PRINT_SIZE];
        if (parts[i] != part)
            continue;
        fputs("  ", to);
        print_text(to, topic->name);
        fprintf(to, ": %" PRId64 " event%s, %s\n", topic->events, topic->events == 1 ? "" : "s",
                print_bytes(topic->bytes, bytes));
    }
}

/* Under a line of its own, if there is any. */
static void
print_part(const struct retained *retained, const enum replay_part *parts, enum replay_part part,
           const char *what, const char *relay, FILE *to)
{
    size_t i = 0;
    while (i < retained->count && parts[i] != part)
        i++;
    if (i == retained->count)
        return;
    fprintf(to, "%s %s:\n", what, relay);
    print_topics(retained, parts, part, to);
}

int64_t
replay_print_plan(const struct retained *retained, const enum replay_part *parts, const char *relay, FILE *to)
{
    struct retained_topic sent = total_sent(retained, parts);
    char bytes[PRINT_SIZE], oldest[TAIL_PRINT_TIME], newest[TAIL_PRINT_TIME];
    if (sent.events == 0) {
        fputs("nothing is to be sent again\n", to);
    } else {
        tail_print_time(oldest, sent.oldest_us, false);
        tail_print_time(newest, sent.newest_us, false);
        fprintf(to,
                "to be sent again: %" PRId64 " event%s, %s, with ids from %" PRId64 " to %" PRId64
                ", created from %s to %s\n",
                sent.events, sent.events == 1 ? "" : "s", print_bytes(sent.bytes, bytes), sent.first_id,
                sent.last_id, oldest, newest);
        print_topics(retained, parts, REPLAY_SENT, to);
    }
    print_part(retained, parts, REPLAY_PAUSED, "it will wait for topics that are paused for relay", relay,
               to);
    print_part(retained, parts, REPLAY_UNSELECTED, "left out, of topics that are not selected by relay",
               relay, to);
    return sent.events;
}

/* ---- the replays that there are ---- */

static void
print_wish(FILE *to, const struct request *request)
{
    fputs("  events", to);
    if (request->first_id > 0)
        fprintf(to, " from id %" PRId64, request->first_id);
    if (request->last_id > 0)
        fprintf(to, " to id %" PRId64, request->last_id);
    if (request->since != NULL)
        fprintf(to, " since %s", request->since);
    if (request->until != NULL)
        fprintf(to, " until %s", request->until);
    if (request->topic != NULL) {
        fputs(" of topic ", to);
        print_text(to, request->topic);
    }
    if (request->key != NULL) {
        fputs(" with key ", to);
        print_octets(to, request->key, request->key_size);
    }
    if (request->rate > 0)
        fprintf(to, ", %" PRId64 " a second at most", request->rate);
    fputc('\n', to);
}

static void
print_wait(FILE *to, const struct request_wait *wait)
{
    if (wait->topic == NULL)
        return;
    fprintf(to, "  waits, at event %" PRId64 " of topic ", wait->event_id);
    print_text(to, wait->topic);
    fputs(": ", to);
    print_text(to, wait->error);
    fputs(": ", to);
    print_text(to, wait->message);
    fputc('\n', to);
}

/* What the leader writes with the end is no longer how far it came: all of it is done. */
static bool
is_done(const struct request *request)
{
    return request->done_at != NULL && strcmp(request->outcome, "done") == 0;
}

void
replay_print_list(const struct requests *requests, FILE *to)
{
    if (requests->count == 0)
        fputs("no replays\n", to);
    for (size_t i = 0; i < requests->count; i++) {
        const struct request *request = &requests->list[i];
        char age[PRINT_SIZE];
        fprintf(to, "replay %" PRId64 ": ", request->number);
        print_text(to, request->done_at != NULL      ? request->outcome
                       : request->wait.topic != NULL ? "waits"
                                                     : "under way");
        fprintf(to, ", %s%" PRId64 " sent", request->uncounted ? "at least " : "", request->events);
        if (request->refused > 0)
            fprintf(to, ", %" PRId64 " refused", request->refused);
        if (request->progress > 0 && !is_done(request))
            fprintf(to, ", up to id %" PRId64, request->progress);
        fprintf(to, "; asked for %s ago by ", print_age(request->asked_us, age));
        print_text(to, request->asked_by);
        fputc('\n', to);
        print_wish(to, request);
        print_wait(to, &request->wait);
    }
}

struct json_t *
replay_print_wait(const struct request_wait *wait)
{
    if (wait->topic == NULL)
        return json_null();
    json_t *object = json_object();
    fields_set_integer(object, "event_id", wait->event_id);
    fields_set_text(object, "topic", wait->topic);
    fields_set_text(object, "error", wait->error);
    fields_set_text(object, "message", wait->message);
    return object;
}

static json_t *
request_object(const struct request *request)
{
    json_t *object = json_object();
    fields_set_integer(object, "number", request->number);
    fields_set_text(object, "since", request->since);
    fields_set_text(object, "until", request->until);
    fields_set_positive(object, "first_id", request->first_id);
    fields_set_positive(object, "last_id", request->last_id);
    fields_set_text(object, "topic", request->topic);
    tail_print_set_bytes(object, "key", "key_base64", request->key, request->key_size);
    fields_set_positive(object, "rate", request->rate);
    fields_set_text(object, "asked_by", request->asked_by);
    fields_set_text(object, "asked_at", request->asked_at);
    fields_set_positive(object, "progress_id",
                        is_done(request) && request->last_id > 0 ? request->last_id : request->progress);
    fields_set_integer(object, "events", request->events);
    fields_set_flag(object, "uncounted", request->uncounted);
    fields_set_integer(object, "refused", request->refused);
    fields_set_text(object, "done_at", request->done_at);
    fields_set_text(object, "outcome", request->outcome);
    json_object_set_new(object, "waits", replay_print_wait(&request->wait));
    return object;
}

void
replay_print_list_json(const struct requests *requests, FILE *to)
{
    json_t *object = json_object(), *list = json_array();
    for (size_t i = 0; i < requests->count; i++)
        json_array_append_new(list, request_object(&requests->list[i]));
    json_object_set_new(object, "replays", list);
    CHECK(json_dumpf(object, to, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 || ferror(to));
    fputc('\n', to);
    json_decref(object);
}
