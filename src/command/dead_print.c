/* dead_print.c: see dead_print.h. Called by dead.c. Bytes of events are anybody's: nothing of them reaches a terminal that could
 * steer it or forge a line. */
#include "command/dead_print.h"

#include "base/fields.h"
#include "command/print.h"
#include "command/replay_print.h"
#include "command/tail_print.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* Columns of a key in the list. */
#define KEY_COLUMNS 24

/* ---- for people ---- */

/* Of `bytes` what fits into `most` columns, or all of it (most < 0); "..." stands for the rest. Returns the columns used. */
static int
put_bytes(FILE *to, const char *bytes, size_t size, int most, bool quoted)
{
    int used = 0;
    while (size > 0) {
        char shown[PRINT_PIECE];
        size_t shown_size;
        int columns;
        size_t taken = print_piece(bytes, size, shown, &shown_size, &columns);
        if (quoted && *bytes == '"') {
            columns = snprintf(shown, sizeof shown, "\\x22");
            shown_size = (size_t)columns;
        }
        if (most >= 0 && used + columns > most - (size > taken ? 3 : 0))
            return used + fprintf(to, "...");
        fwrite(shown, 1, shown_size, to);
        used += columns;
        bytes += taken;
        size -= taken;
    }
    return used;
}

/* As `outboxd tail` shows it: one word, or quoted, so that it can look neither like the next column nor like none. */
static int
put_key(FILE *to, const char *key, size_t size, int most)
{
    if (key == NULL)
        return fprintf(to, "-");
    bool bare = size > 0 && memchr(key, ' ', size) == NULL && memchr(key, '"', size) == NULL &&
                (size != 1 || key[0] != '-');
    if (bare)
        return put_bytes(to, key, size, most, false);
    fputc('"', to);
    int used = put_bytes(to, key, size, most < 0 ? most : most - 2, true);
    fputc('"', to);
    return used + 2;
}

static void
put_ago(FILE *to, int64_t us, int width)
{
    char age[PRINT_SIZE];
    fprintf(to, "%*s ago", width, print_age(us, age));
}

/* ": PAUSED: somebody has paused it"; nothing when it waits for no topic, which is the dead letter's. */
static void
put_wait(FILE *to, const struct request_wait *wait)
{
    if (wait->topic == NULL)
        return;
    fputs(": ", to);
    print_text(to, wait->error);
    fputs(": ", to);
    print_text(to, wait->message);
}

static void
put_entry(FILE *to, const struct dead_entry *entry, int topic_width, int error_width)
{
    fprintf(to, "%-12" PRId64 "  %-*s  ", entry->id, topic_width, entry->topic);
    int used = put_key(to, entry->key, entry->key_size, KEY_COLUMNS);
    fprintf(to, "%*s  ", used < KEY_COLUMNS ? KEY_COLUMNS - used : 0, "");
    print_text(to, entry->error);
    fprintf(to, "%*s  %5" PRId64 "  ", error_width - (int)strlen(entry->error), "", entry->attempts);
    put_ago(to, entry->first_us, 7);
    fputs("  ", to);
    put_ago(to, entry->last_us, 7);
    fprintf(to, "  %6" PRId64, entry->held);
    if (entry->request > 0)
        fprintf(to, "  %s %" PRId64 " %s", entry->request_kind, entry->request,
                entry->wait.topic != NULL ? "waits" : "is under way");
    put_wait(to, &entry->wait);
    fputc('\n', to);
}

static void
put_totals(FILE *to, const struct dead_list *dead)
{
    char age[PRINT_SIZE];
    if (dead->letters == 0) {
        fputs("no dead letters\n", to);
        return;
    }
    fprintf(to,
            "%" PRId64 " dead letter%s, the oldest refused %s ago; %s%" PRId64 " event%s held behind %s\n",
            dead->letters, dead->letters == 1 ? "" : "s", print_age(dead->oldest_us, age),
            dead->held_exact ? "" : "at least ", dead->held, dead->held == 1 ? "" : "s",
            dead->letters == 1 ? "it" : "them");
    if ((int64_t)dead->count >= dead->letters)
        return;
    if (dead->count == 1)
        fputs("only the first is shown; --limit N shows more\n", to);
    else
        fprintf(to, "the first %zu are shown; --limit N shows more\n", dead->count);
}

void
dead_print_list(const struct dead_list *dead, FILE *to)
{
    int topic = 5, error = 5;
    for (size_t i = 0; i < dead->count; i++) {
        int lengths[] = {(int)strlen(dead->list[i].topic), (int)strlen(dead->list[i].error)};
        topic = lengths[0] > topic ? lengths[0] : topic;
        error = lengths[1] > error ? lengths[1] : error;
    }
    if (dead->count > 0)
        fprintf(to, "%-12s  %-*s  %-*s  %-*s  %5s  %11s  %11s  %6s\n", "ID", topic, "TOPIC", KEY_COLUMNS,
                "KEY", error, "ERROR", "TRIES", "FIRST", "LAST", "HELD");
    for (size_t i = 0; i < dead->count; i++)
        put_entry(to, &dead->list[i], topic, error);
    put_totals(to, dead);
}

static void
put_label(FILE *to, const char *label)
{
    fprintf(to, "%-12s", label);
}

static void
put_event(FILE *to, const struct event *event, size_t payload_bytes)
{
    char time[TAIL_PRINT_TIME];
    tail_print_time(time, event->created_at_us, false);
    put_label(to, "topic");
    print_text(to, event->topic->name);
    fputc('\n', to);
    put_label(to, "key");
    put_key(to, event->key, event->key_size, -1);
    fputc('\n', to);
    put_label(to, "created");
    fputs(time, to);
    fputc('\n', to);
    put_label(to, "headers");
    if (event->headers != NULL)
        print_octets(to, event->headers, event->headers_size);
    else
        fputc('-', to);
    fputc('\n', to);
    put_label(to, "payload");
    size_t shown = event->payload_size < payload_bytes ? event->payload_size : payload_bytes;
    if (event->payload == NULL)
        fputs("(null)", to);
    else
        print_octets(to, event->payload, shown);
    if (shown < event->payload_size)
        fprintf(to, "... (%" PRIu32 " bytes; --json has them all)", event->payload_size);
    fputc('\n', to);
}

static void
put_held(FILE *to, const struct dead_letter *letter)
{
    put_label(to, "held");
    if (!letter->holds) {
        fputs("nothing: later events of its topic and key do not wait for it\n", to);
        return;
    }
    fprintf(to, "%" PRId64 " event%s behind it", letter->held, letter->held == 1 ? "" : "s");
    if (letter->held > 0)
        fprintf(to, ": %.*s%s", (int)strlen(letter->held_first) - 2, letter->held_first + 1,
                letter->held > DEAD_HELD_SHOWN ? " .." : "");
    fputc('\n', to);
}

static void
put_request(FILE *to, const struct request *request, bool first)
{
    char age[PRINT_SIZE];
    put_label(to, first ? "asked for" : "");
    fprintf(to, "%s %" PRId64 ", by ", request->kind, request->number);
    print_text(to, request->asked_by);
    fprintf(to, ", %s ago: ", print_age(request->asked_us, age));
    print_text(to, request->done_at != NULL      ? request->outcome
                   : request->wait.topic != NULL ? "waits"
                                                 : "under way");
    fprintf(to, ", %s%" PRId64 " event%s published", request->uncounted ? "at least " : "", request->events,
            request->events == 1 ? "" : "s");
    put_wait(to, &request->wait);
    fputc('\n', to);
}

void
dead_print_letter(const struct dead_letter *letter, const struct requests *requests, size_t payload_bytes,
                  FILE *to)
{
    const struct event *event = &letter->page->events[0];
    bool discarded = letter->discarded_by != NULL;
    fprintf(to, "%s %" PRId64 "\n", discarded ? "discarded dead letter" : "dead letter", event->id);
    put_event(to, event, payload_bytes);
    put_label(to, "error");
    print_text(to, letter->error);
    fputs(": ", to);
    print_text(to, letter->message);
    fputc('\n', to);
    put_label(to, "refused");
    fprintf(to, "%" PRId64 " time%s, first ", letter->attempts, letter->attempts == 1 ? "" : "s");
    put_ago(to, letter->first_us, 0);
    if (!discarded) {
        fputs(", last ", to);
        put_ago(to, letter->last_us, 0);
        fputc('\n', to);
        put_held(to, letter);
    } else {
        fputc('\n', to);
        put_label(to, "discarded");
        fprintf(to, "%s, by ", letter->discarded_at);
        print_text(to, letter->discarded_by);
        fputc('\n', to);
        put_label(to, "reason");
        print_text(to, letter->reason);
        fputc('\n', to);
    }
    for (size_t i = 0; i < requests->count; i++)
        put_request(to, &requests->list[i], i == 0);
}

/* ---- JSON ---- */

static void
dump(json_t *object, FILE *to)
{
    CHECK(json_dumpf(object, to, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 || ferror(to));
    fputc('\n', to);
    json_decref(object);
}

static json_t *
entry_object(const struct dead_entry *entry)
{
    json_t *object = json_object();
    fields_set_integer(object, "id", entry->id);
    fields_set_text(object, "topic", entry->topic);
    tail_print_set_bytes(object, "key", "key_base64", entry->key, entry->key_size);
    fields_set_text(object, "error", entry->error);
    fields_set_integer(object, "attempts", entry->attempts);
    fields_set_text(object, "first_at", entry->first_at);
    fields_set_text(object, "last_at", entry->last_at);
    fields_set_integer(object, "held_events", entry->held);
    fields_set_positive(object, "request", entry->request);
    fields_set_text(object, "request_kind", entry->request > 0 ? entry->request_kind : NULL);
    json_object_set_new(object, "waits", replay_print_wait(&entry->wait));
    return object;
}

void
dead_print_list_json(const struct dead_list *dead, FILE *to)
{
    json_t *object = json_object(), *letters = json_array();
    for (size_t i = 0; i < dead->count; i++)
        json_array_append_new(letters, entry_object(&dead->list[i]));
    fields_set_integer(object, "dead_letters", dead->letters);
    fields_set_integer(object, "held_events", dead->held);
    fields_set_flag(object, "held_exact", dead->held_exact);
    fields_set_seconds(object, "oldest_seconds", dead->letters > 0 ? dead->oldest_us : -1);
    json_object_set_new(object, "list", letters);
    dump(object, to);
}

static json_t *
request_object(const struct request *request)
{
    json_t *object = json_object();
    fields_set_integer(object, "number", request->number);
    fields_set_text(object, "kind", request->kind);
    fields_set_text(object, "asked_by", request->asked_by);
    fields_set_text(object, "asked_at", request->asked_at);
    fields_set_integer(object, "events", request->events);
    fields_set_flag(object, "uncounted", request->uncounted);
    fields_set_text(object, "done_at", request->done_at);
    fields_set_text(object, "outcome", request->outcome);
    json_object_set_new(object, "waits", replay_print_wait(&request->wait));
    return object;
}

void
dead_print_letter_json(const struct dead_letter *letter, const struct requests *requests, FILE *to)
{
    json_t *object = tail_print_object(&letter->page->events[0]), *list = json_array();
    json_t *held = json_loads(letter->held_first, 0, NULL);
    bool discarded = letter->discarded_by != NULL;
    fields_set_text(object, "state", discarded ? "discarded" : "dead");
    fields_set_text(object, "error", letter->error);
    fields_set_text(object, "message", letter->message);
    fields_set_integer(object, "attempts", letter->attempts);
    fields_set_text(object, "first_at", letter->first_at);
    fields_set_text(object, "last_at", letter->last_at);
    fields_set_positive(object, "tick_seq", letter->tick);
    fields_set_flag(object, "holds", letter->holds);
    fields_set_integer(object, "held_events", letter->held);
    json_object_set_new(object, "held_first", held != NULL ? held : json_array());
    fields_set_text(object, "discarded_by", letter->discarded_by);
    fields_set_text(object, "discarded_at", letter->discarded_at);
    fields_set_text(object, "reason", letter->reason);
    for (size_t i = 0; i < requests->count; i++)
        json_array_append_new(list, request_object(&requests->list[i]));
    json_object_set_new(object, "requests", list);
    dump(object, to);
}
