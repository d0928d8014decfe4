/* tables.c: see tables.h; word for word what the functions of schema/005_aside.sql do, as far as anybody can tell: requests, what the
 * leader puts aside, what people ask for. Called by effect.c, query_aside.c and people.c. */
#include "simulator/tables_inside.h"

#include "postgres/aside.h"
#include "simulator/judge.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct tables tables;

void
tables_begin(void)
{
    tables = (struct tables){0};
}

/* ---- requests ---- */

static struct asked *
add_request(const char *kind, struct row *row)
{
    struct asked *asked = world_alloc(sizeof *asked);
    *asked = (struct asked){
        .number = ++tables.number, .kind = kind, .row = row, .key = MODEL_KEYS, .order = ++world.order};
    tables.requests = world_grow(tables.requests, tables.requests_count, &tables.requests_capacity);
    tables.requests[tables.requests_count++] = asked;
    return asked;
}

static struct asked *
open_request(int64_t number)
{
    for (size_t i = 0; i < tables.requests_count; i++)
        if (tables.requests[i]->number == number && !tables.requests[i]->done)
            return tables.requests[i];
    return NULL;
}

const struct asked *
tables_asked(const struct row *row, bool copy)
{
    for (size_t i = 0; i < tables.requests_count; i++) {
        const struct asked *asked = tables.requests[i];
        if (asked->row == row && !asked->done && (strcmp(asked->kind, "copy") == 0) == copy)
            return asked;
    }
    return NULL;
}

static bool
is_copied(const struct row *row)
{
    for (size_t i = 0; i < tables.requests_count; i++) {
        const struct asked *asked = tables.requests[i];
        if (asked->row == row && strcmp(asked->kind, "copy") == 0 &&
            (!asked->done || strcmp(asked->outcome, "done") == 0))
            return true;
    }
    return false;
}

static void
end_request(struct asked *asked, const char *outcome)
{
    asked->done = true;
    asked->outcome = world_text(outcome);
    asked->ended = ++world.order;
    trace("postgres: request %" PRId64 ", %s, ends: %s", asked->number, asked->kind, outcome);
}

/* What was published waits no more. */
static void
settle_held(const struct letter *letter, bool whole, int64_t progress)
{
    const struct held *upto = tables_held(progress);
    const struct letter *next = tables_of_hold(letter, true);
    if (upto != NULL && upto->hold != letter->hold)
        upto = NULL;
    for (size_t i = tables.held_count; i-- > 0;) {
        const struct held *held = tables.held[i];
        bool published = whole || (upto != NULL &&
                                   !tables_is_behind(held->tick, held->row->id, upto->tick, upto->row->id));
        bool kept = next != NULL && tables_is_behind(held->tick, held->row->id, next->tick, next->row->id);
        if (held->hold != letter->hold || letter->hold == 0 || !published || kept)
            continue;
        trace("postgres: event %" PRId64 " waits no more", held->row->id);
        tables_remove_held_at(i);
    }
}

/* The next one of its key is dead, and holds the others. */
static void
refuse_held(const json_t *refused)
{
    int64_t refused_id = tables_integer(refused, "id");
    const struct held *next = tables_held(refused_id);
    CHECK(next != NULL || tables_letter(refused_id) != NULL);
    if (next == NULL)
        return;
    struct row *row = next->row;
    if (tables_letter(row->id) == NULL) {
        tables_add_letter(row, next->tick, next->hold, refused);
        if (json_is_true(json_object_get(refused, "copy")))
            (void)add_request("copy", row);
    }
    tables_remove_held(row);
}

static void
settle_letter(const struct asked *asked, struct letter *letter, int64_t progress, const json_t *refused)
{
    bool whole = progress == SIDE_WHOLE;
    int64_t refused_id = refused != NULL ? tables_integer(refused, "id") : 0;
    settle_held(letter, whole, progress);
    if (refused_id == letter->row->id) {
        letter->attempts++;
        tables_set_text(letter->error, refused, "error");
        if (json_is_true(json_object_get(refused, "copy")) && !is_copied(letter->row))
            (void)add_request("copy", letter->row);
        return;
    }
    if (refused_id != 0)
        refuse_held(refused);
    if (!whole && refused_id == 0)
        return;
    letter->row->discarded = letter->row->discarded || strcmp(asked->kind, "discard") == 0;
    tables_remove_letter(letter);
}

void
tables_request_settle(int64_t number, int64_t progress, int64_t events, const char *outcome,
                      const json_t *refused)
{
    struct asked *asked = open_request(number);
    if (asked == NULL)
        return;
    if (progress != SIDE_WHOLE && progress > asked->progress)
        asked->progress = progress;
    asked->events += events;
    asked->refused += asked->row == NULL && refused != NULL ? tables_integer(refused, "count") : 0;
    if (outcome != NULL)
        end_request(asked, outcome);
    if (asked->row == NULL || strcmp(asked->kind, "copy") == 0) {
        judge_request(asked);
        return;
    }
    struct letter *letter = tables_letter(asked->row->id);
    if (letter != NULL)
        settle_letter(asked, letter, progress, refused);
}

void
tables_apply(int64_t number, int64_t progress)
{
    if (tables_topic(number) != NULL)
        (void)tables_topic_settle(number, progress, 0, NULL);
    else
        tables_request_settle(number, progress, 0, progress == SIDE_WHOLE ? "done" : NULL, NULL);
}

void
tables_put_aside(const json_t *aside)
{
    const json_t *each;
    size_t i;
    bool copies = json_is_true(json_object_get(aside, "copy"));
    json_array_foreach(json_object_get(aside, "dead"), i, each)
    {
        struct row *row = database_find(tables_integer(each, "id"));
        tables_put_dead(each);
        if (copies && tables_asked(row, true) == NULL)
            (void)add_request("copy", row);
    }
    json_array_foreach(json_object_get(aside, "held"), i, each) tables_put_held(each);
    json_array_foreach(json_object_get(aside, "topics"), i, each) tables_put_topic(each);
}

/* ---- people ---- */

static struct asked *
ask_for(int64_t event_id, const char *kind)
{
    const struct letter *letter = tables_letter(event_id);
    return letter != NULL && tables_asked(letter->row, false) == NULL ? add_request(kind, letter->row) : NULL;
}

struct asked *
tables_retry(int64_t event_id)
{
    return ask_for(event_id, "retry");
}

struct asked *
tables_discard(int64_t event_id)
{
    return ask_for(event_id, "discard");
}

struct asked *
tables_replay(int64_t first_id, int64_t last_id, int topic, int key, int64_t rate)
{
    struct asked *asked = add_request("replay", NULL);
    asked->first_id = first_id;
    asked->last_id = last_id;
    asked->topic = topic >= 0 ? model_topic_name(topic) : NULL;
    asked->key = key;
    asked->rate = rate;
    return asked;
}

void
tables_cancel(struct asked *asked)
{
    if (!asked->done)
        end_request(asked, "cancelled");
}
