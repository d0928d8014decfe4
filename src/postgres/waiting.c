/* waiting.c: see waiting.h. Called by relay/side.c; the SQL is in statements.h. */
#include "postgres/waiting.h"

#include "postgres/cells.h"
#include "postgres/numbers.h"
#include "postgres/row.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void
waiting_ask(struct session *session, const char *relay, const struct waiting_wish *wish, int64_t now_us)
{
    const char *values[] = {relay, wish->counts ? "true" : "false", wish->topics ? "true" : "false",
                            wish->without};
    session_ask_prepared(session, "outboxd_waiting", 4, values, false, now_us);
}

void
waiting_clear(struct waiting *waiting)
{
    json_decref(waiting->root);
    free(waiting->pauses);
    free(waiting->topics);
    free(waiting->requests);
    *waiting = (struct waiting){0};
}

static int64_t
integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *
text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static const char *const kind_names[] = {[REQUEST_KIND_RETRY] = "retry",
                                         [REQUEST_KIND_DISCARD] = "discard",
                                         [REQUEST_KIND_COPY] = "copy",
                                         [REQUEST_KIND_REPLAY] = "replay"};

const char *
waiting_kind_name(enum request_kind kind)
{
    return kind_names[kind];
}

static enum request_kind
kind_of(const char *name)
{
    enum request_kind kind = REQUEST_KIND_RETRY;
    while (kind < REQUEST_KIND_REPLAY && strcmp(name, kind_names[kind]) != 0)
        kind++;
    return kind;
}

static struct waiting_request
read_request(const json_t *row)
{
    const json_t *next = json_object_get(row, "next");
    struct waiting_request request = {.number = integer(row, "number"),
                                      .kind = kind_of(text(row, "kind")),
                                      .progress = integer(row, "progress"),
                                      .event_id = integer(row, "event_id"),
                                      .hold = integer(row, "hold"),
                                      .tick = integer(row, "letter_tick"),
                                      .next_tick = json_integer_value(json_array_get(next, 0)),
                                      .next_id = json_integer_value(json_array_get(next, 1)),
                                      .gone = json_is_true(json_object_get(row, "gone")),
                                      .first_id = integer(row, "first_id"),
                                      .last_id = integer(row, "last_id"),
                                      .since_us = integer(row, "since_us"),
                                      .until_us = integer(row, "until_us"),
                                      .key_hex = text(row, "key_hex"),
                                      .rate = integer(row, "rate")};
    request.topic = text(row, request.kind == REQUEST_KIND_REPLAY ? "topic" : "letter_topic");
    return request;
}

/* A timestamptz in JSON: ISO 8601 with an offset. 0: it is none of them. */
static int64_t
moment(const json_t *object, const char *name)
{
    struct tm given = {0};
    const char *value = text(object, name);
    const char *at = value != NULL ? strptime(value, "%Y-%m-%dT%H:%M:%S", &given) : NULL;
    char *end = NULL;
    double fraction = at != NULL && *at == '.' ? strtod(at, &end) : 0;
    if (at == NULL || strptime(end != NULL ? end : at, "%z", &given) == NULL)
        return 0;
    long offset_s = given.tm_gmtoff; /* timegm() changes it */
    return (int64_t)((double)(timegm(&given) - offset_s) * 1e6 + fraction * 1e6);
}

static struct waiting_topic
read_topic(const json_t *row)
{
    return (struct waiting_topic){.name = text(row, "topic"),
                                  .number = integer(row, "number"),
                                  .from_seq = integer(row, "from_seq"),
                                  .to_seq = integer(row, "to_seq"),
                                  .after_id = integer(row, "after_id"),
                                  .since_us = moment(row, "since"),
                                  .error = text(row, "error"),
                                  .message = text(row, "message")};
}

static void
take(struct waiting *waiting)
{
    const json_t *pauses = json_object_get(waiting->root, "pauses"),
                 *topics = json_object_get(waiting->root, "topics"),
                 *requests = json_object_get(waiting->root, "requests"),
                 *counts = json_object_get(waiting->root, "counts");
    waiting->paused = json_is_true(json_object_get(waiting->root, "paused"));
    waiting->counted = json_is_object(counts);
    waiting->dead = integer(counts, "dead");
    waiting->held = integer(counts, "held");
    waiting->pause_count = json_array_size(pauses);
    waiting->topic_count = json_array_size(topics);
    waiting->request_count = json_array_size(requests);
    waiting->pauses = must_calloc(waiting->pause_count + 1, sizeof *waiting->pauses);
    waiting->topics = must_calloc(waiting->topic_count + 1, sizeof *waiting->topics);
    waiting->requests = must_calloc(waiting->request_count + 1, sizeof *waiting->requests);
    for (size_t i = 0; i < waiting->pause_count; i++)
        waiting->pauses[i] = json_string_value(json_array_get(pauses, i));
    for (size_t i = 0; i < waiting->topic_count; i++)
        waiting->topics[i] = read_topic(json_array_get(topics, i));
    for (size_t i = 0; i < waiting->request_count; i++)
        waiting->requests[i] = read_request(json_array_get(requests, i));
}

/* No row: the relay has left the registry, which the journal's next answer says too. */
bool
waiting_read(struct session *session, struct waiting *waiting, struct error *error)
{
    waiting_clear(waiting);
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot look for requests");
    if (PQntuples(result) == 1)
        waiting->root = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    PQclear(result);
    take(waiting);
    return true;
}

void
waiting_ask_held(struct session *session, const char *relay, const struct waiting_request *request,
                 int64_t events, int64_t bytes, int64_t now_us)
{
    struct numbers numbers = {0};
    bool first = request->progress == 0 && request->kind == REQUEST_KIND_RETRY;
    const char *values[] = {relay,
                            number_text(&numbers, request->event_id),
                            number_text(&numbers, request->hold),
                            first ? "true" : "false",
                            number_text(&numbers, events),
                            number_text(&numbers, bytes),
                            number_text(&numbers, request->number)};
    session_ask_prepared(session, "outboxd_held", 7, values, true, now_us);
}

void
waiting_ask_copy(struct session *session, const char *relay, const struct waiting_request *request,
                 const char *copy_to, int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {relay, number_text(&numbers, request->event_id), copy_to};
    session_ask_prepared(session, "outboxd_copy", 3, values, true, now_us);
}

void
waiting_ask_first(struct session *session, const struct waiting_request *request, int64_t after, int64_t upto,
                  int64_t now_us)
{
    struct numbers numbers = {0};
    const char *values[] = {number_text(&numbers, after), number_text(&numbers, upto),
                            number_or_null(&numbers, request->since_us)};
    session_ask_prepared(session, "outboxd_first", 3, values, false, now_us);
}

bool
waiting_read_first(struct session *session, int64_t *id, struct error *error)
{
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot look for the events of a replay");
    *id = cell_number(result, 0, 0);
    PQclear(result);
    return true;
}

/* How many bytes of a pattern are a bracket that stands for one character; 0: it is something else, or too odd for us. */
static size_t
bracket_size(const char *pattern)
{
    size_t first = pattern[1] == '!' || pattern[1] == '^' ? 2 : 1;
    size_t members =
        strspn(pattern + first, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return members > 0 && pattern[first + members] == ']' ? first + members + 1 : 0;
}

/* A shell pattern as one of LIKE, which lets pass whatever fnmatch(3) does and, but for brackets, nothing else. The caller frees it. */
static char *
like_of(const char *pattern)
{
    if (pattern == NULL)
        return NULL;
    char *like = must_alloc(2 * strlen(pattern) + 1), *end = like;
    while (*pattern != '\0') {
        size_t bracket = *pattern == '[' ? bracket_size(pattern) : 0;
        bool any = *pattern == '*', one = *pattern == '?' || bracket > 0;
        bool odd = (*pattern == '[' && bracket == 0) || strcmp(pattern, "\\") == 0;
        if (any || odd || one) {
            *end++ = one ? '_' : '%';
            pattern += odd ? strlen(pattern) : bracket > 0 ? bracket : 1;
            continue;
        }
        pattern += *pattern == '\\'; /* the next one stands for itself */
        if (strchr("%_\\", *pattern) != NULL)
            *end++ = '\\';
        *end++ = *pattern++;
    }
    *end = '\0';
    return like;
}

void
waiting_ask_replay(struct session *session, const char *relay, const struct waiting_request *request,
                   int64_t after, int64_t upto, int64_t events, int64_t bytes, int64_t now_us)
{
    struct numbers numbers = {0};
    char *like = like_of(request->topic);
    const char *values[] = {relay,
                            number_text(&numbers, after),
                            number_text(&numbers, upto),
                            number_text(&numbers, request->number),
                            number_text(&numbers, events),
                            number_text(&numbers, bytes),
                            number_or_null(&numbers, request->since_us),
                            number_or_null(&numbers, request->until_us),
                            request->key_hex,
                            like};
    session_ask_prepared(session, "outboxd_replay", 10, values, true, now_us);
    free(like);
}

/* Somebody has named a dead letter on purpose. In a replay anybody's topics may come. */
bool
waiting_read_page(struct session *session, struct topic_table *topics, enum request_kind kind,
                  struct waiting_page *read, struct error *error)
{
    bool replays = kind == REQUEST_KIND_REPLAY;
    struct row_totals totals = {.all_topics = !replays, .again = replays};
    PGresult *result = session_answer(session, error);
    if (result == NULL)
        return error_prefix(error, "cannot read the events of a request");
    struct page *page = page_new(0);
    bool good = true;
    for (int row = 0; good && row < PQntuples(result); row++)
        good = row_from_result(result, row, page, topics, &totals, error);
    PQclear(result);
    *read = (struct waiting_page){page, totals.rows, totals.cost, totals.last_id};
    if (good)
        return true;
    page_free(page);
    return error_prefix(error, "cannot read the events of a request");
}
