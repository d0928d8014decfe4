/* query_aside.c: the statements that read what was put aside, as src/postgres/statements.h has them: what a new leader asks, what people
 * want, and pages of requests. Called by query.c. */
#include "simulator/statement.h"

#include "event/event.h"
#include "postgres/waiting.h"
#include "simulator/tables.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_MOST 64
#define REPLAYS_MOST 16
#define PIECE_MOST 4

static void
answer_hex(struct answer *answer, int key)
{
    char hex[64];
    size_t size = model_key_size(key);
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)model_key_name(key)[i]);
    answer_text(answer, key != MODEL_KEYS ? hex : NULL);
}

static void
answer_digest(struct answer *answer, int key)
{
    unsigned char digest[KEY_DIGEST_SIZE] = {0};
    char text[2 + 2 * KEY_DIGEST_SIZE + 1] = "\\x";
    if (key != MODEL_KEYS)
        CHECK(EVP_Digest(model_key_name(key), model_key_size(key), digest, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 + 2 * i, 3, "%02x", digest[i]);
    answer_text(answer, key != MODEL_KEYS ? text : NULL);
}

/* A piece has fewer rows than it might: each edge comes up. */
static int64_t
piece(int64_t most)
{
    return world_between(1, most < PIECE_MOST ? most : PIECE_MOST);
}

/* Of those above `after` the lowest number of a hold; 0: there is none. */
static int64_t
next_hold(int64_t after)
{
    int64_t next = 0;
    for (size_t i = 0; i < tables.letters_count; i++) {
        int64_t hold = tables.letters[i]->hold;
        next = hold > after && (next == 0 || hold < next) ? hold : next;
    }
    return next;
}

static const struct letter *
first_of_hold(int64_t hold)
{
    size_t i = 0;
    while (tables.letters[i]->hold != hold)
        i++;
    return tables.letters[i];
}

static int64_t
last_held_tick(int64_t hold)
{
    int64_t tick = 0;
    for (size_t i = 0; i < tables.held_count; i++)
        if (tables.held[i]->hold == hold && tables.held[i]->tick > tick)
            tick = tables.held[i]->tick;
    return tick;
}

static void
holds(struct request *request)
{
    struct answer *answer = &request->answer;
    answer->columns = 6;
    int64_t hold = request_number(request, 2);
    for (int64_t left = piece(request_number(request, 3)); left > 0 && (hold = next_hold(hold)) != 0;
         left--) {
        const struct letter *letter = first_of_hold(hold);
        answer_number(answer, hold);
        answer_number(answer, letter->tick);
        answer_number(answer, letter->row->id);
        answer_text(answer, model_topic_name(letter->row->topic));
        answer_digest(answer, letter->row->key);
        answer_number(answer, last_held_tick(hold));
    }
}

static void
ahead(struct request *request)
{
    struct answer *answer = &request->answer;
    int64_t tick = request_number(request, 2), id = request_number(request, 3),
            left = piece(request_number(request, 4));
    answer->columns = 2;
    for (size_t i = 0; i < tables.letters_count && left > 0; i++) {
        const struct letter *letter = tables.letters[i];
        if (letter->tick < tick || (letter->tick == tick && letter->row->id <= id))
            continue;
        answer_number(answer, letter->tick);
        answer_number(answer, letter->row->id);
        left--;
    }
}

/* ---- what waits ---- */

static json_t *
integer_or_null(int64_t value)
{
    return value != 0 ? json_integer(value) : json_null();
}

static json_t *
topic_object(const struct stopped *stopped)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s}", "topic", model_topic_name(stopped->topic),
                     "number", (json_int_t)stopped->number, "from_seq", (json_int_t)stopped->from_seq,
                     "to_seq", (json_int_t)stopped->to_seq, "after_id", (json_int_t)stopped->after_id,
                     "error", stopped->error, "message", stopped->error);
}

static json_t *
request_object(const struct asked *asked)
{
    const struct letter *letter = asked->row != NULL ? tables_letter(asked->row->id) : NULL;
    json_t *object =
        json_pack("{s:I, s:s, s:I, s:b}", "number", (json_int_t)asked->number, "kind", asked->kind,
                  "progress", (json_int_t)asked->progress, "gone", asked->row != NULL && letter == NULL);
    if (asked->row != NULL)
        json_object_set_new(object, "event_id", json_integer(asked->row->id));
    if (letter != NULL) {
        json_object_set_new(object, "hold", integer_or_null(letter->hold));
        json_object_set_new(object, "letter_tick", json_integer(letter->tick));
        json_object_set_new(object, "letter_topic", json_string(model_topic_name(letter->row->topic)));
        const struct letter *next = tables_of_hold(letter, true);
        if (next != NULL)
            json_object_set_new(object, "next",
                                json_pack("[I, I]", (json_int_t)next->tick, (json_int_t)next->row->id));
    }
    json_object_set_new(object, "first_id", integer_or_null(asked->first_id));
    json_object_set_new(object, "last_id", integer_or_null(asked->last_id));
    json_object_set_new(object, "rate", integer_or_null(asked->rate));
    if (asked->topic != NULL)
        json_object_set_new(object, "topic", json_string(asked->topic));
    if (asked->key != MODEL_KEYS) {
        struct answer hex = {0};
        answer_hex(&hex, asked->key);
        json_object_set_new(object, "key_hex", json_string(hex.cells[0]->data));
    }
    return object;
}

static json_t *
topics_array(bool all)
{
    const struct stopped *sorted[MODEL_TOPICS];
    size_t count = 0;
    json_t *array = json_array();
    for (int i = 0; i < MODEL_TOPICS; i++) {
        if (tables.topics[i] == NULL || (!all && strcmp(tables.topics[i]->error, WAITING_RESUMED) != 0))
            continue;
        size_t at = count++;
        for (; at > 0 && sorted[at - 1]->number > tables.topics[i]->number; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = tables.topics[i];
    }
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, topic_object(sorted[i]));
    return array;
}

/* Nothing is retried in a topic that is paused, nor a dead letter of whose hold there is an earlier one. */
static bool
has_to_wait(const struct asked *asked)
{
    bool letters = strcmp(asked->kind, "retry") == 0 || strcmp(asked->kind, "discard") == 0;
    const struct letter *letter = letters ? tables_letter(asked->row->id) : NULL;
    return letter != NULL &&
           (tables.pauses[letter->row->topic] || tables.topics[letter->row->topic] != NULL ||
            tables_of_hold(letter, false) != NULL);
}

/* The oldest few of each sort. */
static bool
has_room(const json_t *requests, const struct asked *asked)
{
    int most = asked->row != NULL ? LETTERS_MOST : REPLAYS_MOST, count = 0;
    const json_t *other;
    size_t i;
    json_array_foreach(requests, i, other) count +=
        (json_object_get(other, "event_id") != NULL) == (asked->row != NULL) &&
        (strcmp(json_string_value(json_object_get(other, "kind")), "copy") == 0) ==
            (strcmp(asked->kind, "copy") == 0);
    return count < most;
}

/* A retry waits for its topic already. */
static bool
is_left_out(const struct asked *asked, const char *topics)
{
    if (strcmp(asked->kind, "retry") != 0 && strcmp(asked->kind, "discard") != 0)
        return false;
    const char *name = model_topic_name(asked->row->topic);
    size_t size = strlen(name);
    for (const char *at = topics; (at = strstr(at, name)) != NULL; at++)
        if ((at[-1] == '{' || at[-1] == ',') && (at[size] == ',' || at[size] == '}'))
            return true;
    return false;
}

static void
waiting(struct request *request)
{
    json_t *pauses = json_array(), *requests = json_array();
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.pauses[i])
            json_array_append_new(pauses, json_string(model_topic_name(i)));
    for (size_t i = 0; i < tables.requests_count; i++)
        if (!tables.requests[i]->done && !has_to_wait(tables.requests[i]) &&
            !is_left_out(tables.requests[i], request->values[3]) && has_room(requests, tables.requests[i]))
            json_array_append_new(requests, request_object(tables.requests[i]));
    json_t *root = json_pack("{s:b, s:o, s:o, s:o}", "paused", tables.paused, "pauses", pauses, "topics",
                             topics_array(request->values[2][0] == 't'), "requests", requests);
    if (request->values[1][0] == 't')
        json_object_set_new(root, "counts",
                            json_pack("{s:I, s:I}", "dead", (json_int_t)tables.letters_count, "held",
                                      (json_int_t)tables.held_count));
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    request->answer.columns = 1;
    answer_text(&request->answer, text);
    free(text);
}

/* ---- pages ---- */

/* A row of a page, unless it is full. */
struct side_page {
    struct request *request;
    int64_t bytes, before;
    bool any;
};

static bool
add(struct side_page *page, const struct row *row, const char *topic, const char *headers)
{
    size_t size = row->payload_size + model_key_size(row->key) +
                  (headers != NULL ? strlen(headers) : 0) * EVENT_HEADER_COST;
    if (page->any && page->before >= page->bytes)
        return false;
    page->any = true;
    page->before += (int64_t)size + EVENT_OVERHEAD;
    answer_event(&page->request->answer, row, topic, headers, false);
    return true;
}

static bool
stands_before(const struct letter *letter, const struct held *held)
{
    return letter->tick < held->tick || (letter->tick == held->tick && letter->row->id < held->row->id);
}

static void
held(struct request *request)
{
    struct side_page page = {.request = request, .bytes = request_number(request, 6)};
    int64_t hold = request_number(request, 3), left = request_number(request, 5);
    const struct letter *own = tables_letter(request_number(request, 2));
    const struct letter *letter = request->values[3][0] == 't' ? own : NULL;
    const struct letter *next = own != NULL ? tables_of_hold(own, true) : NULL;
    for (size_t i = 0; i < tables.held_count; i++) {
        const struct held *each = tables.held[i];
        bool before = letter != NULL && stands_before(letter, each);
        bool beyond = next != NULL && stands_before(next, each);
        if (each->hold != hold || hold == 0 || beyond || left-- <= 0)
            continue;
        if (before && !add(&page, letter->row, NULL, NULL))
            return;
        letter = before ? NULL : letter;
        if (!add(&page, each->row, NULL, NULL))
            return;
    }
    if (letter != NULL)
        (void)add(&page, letter->row, NULL, NULL);
}

static void
copy(struct request *request)
{
    struct side_page page = {.request = request};
    const struct letter *letter = tables_letter(request_number(request, 2));
    if (letter != NULL)
        (void)add(&page, letter->row, request->values[2], "{\"outbox-dead-error\": \"REFUSED\"}");
}

static bool
is_key(const struct row *row, const char *hex)
{
    struct answer own = {0};
    answer_hex(&own, row->key);
    return hex == NULL || (row->key != MODEL_KEYS && strcmp(own.cells[0]->data, hex) == 0);
}

static void
first(struct request *request)
{
    size_t i = database_above(request_number(request, 1));
    while (i < database.rows_count && !snapshot_sees(&request->snapshot, database.rows[i]->by))
        i++;
    bool found = i < database.rows_count && database.rows[i]->id <= request_number(request, 2);
    request->answer.columns = 1;
    answer_number(&request->answer, found ? database.rows[i]->id : 0);
}

/* Names of topics and patterns have nothing here that LIKE means otherwise. */
static bool
is_topic(const struct row *row, const char *like)
{
    return like == NULL || strcmp(model_topic_name(row->topic), like) == 0;
}

static void
replay(struct request *request)
{
    struct side_page page = {.request = request, .bytes = request_number(request, 6)};
    const struct line *confirmed = database.lines[request->newest->confirmed.seq];
    int64_t left = request_number(request, 5);
    struct pg_snapshot shown;
    char headers[64];
    CHECK(confirmed != NULL);
    snapshot_parse(&shown, confirmed->snapshot);
    snprintf(headers, sizeof headers, "{\"replay\": \"%s\"}", request->values[3]);
    for (size_t i = database_above(request_number(request, 2)); i < database.rows_count && left > 0; i++) {
        const struct row *row = database.rows[i];
        if (row->id > request_number(request, 3))
            return;
        if (row->by->fate != FATE_COMMITTED || !snapshot_shows(&shown, row->by->xid) ||
            !is_key(row, request->values[8]) || !is_topic(row, request->values[9]) ||
            tables_held(row->id) != NULL || tables_letter(row->id) != NULL || row->discarded)
            continue;
        left--;
        if (!add(&page, row, NULL, headers))
            return;
    }
}

static void
round_ends(struct request *request)
{
    int64_t from = request_number(request, 2), to = request_number(request, 3);
    request->answer.columns = 7;
    query_answer_line(request, from);
    if (to != from)
        query_answer_line(request, to);
}

bool
query_aside_run(struct request *request)
{
    static const struct {
        const char *name;
        void (*run)(struct request *request);
        bool page;
    } known[] = {{"outboxd_holds", holds, false},     {"outboxd_ahead", ahead, false},
                 {"outboxd_waiting", waiting, false}, {"outboxd_held", held, true},
                 {"outboxd_copy", copy, true},        {"outboxd_first", first, false},
                 {"outboxd_replay", replay, true},    {"outboxd_round", round_ends, false}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(request->name, known[i].name) != 0)
            continue;
        if (known[i].page) {
            request->binary = true;
            request->answer.columns = 7;
        }
        known[i].run(request);
        return true;
    }
    return false;
}
