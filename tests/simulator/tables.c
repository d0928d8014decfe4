/* tables.c: see tables.h; word for word what the functions of schema/005_aside.sql do, as far as anybody can tell. Called by effect.c,
 * query_aside.c and people.c. */
#include "simulator/tables.h"

#include "postgres/aside.h"
#include "simulator/cluster.h"
#include "simulator/judge.h"
#include "simulator/people.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tables tables;

void
tables_begin(void)
{
    tables = (struct tables){0};
}

static int64_t
integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void
set_text(char text[TABLES_TEXT], const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    CHECK(value != NULL);
    snprintf(text, TABLES_TEXT, "%s", value);
}

/* ---- looking ---- */

static size_t
letter_at(int64_t event_id)
{
    size_t i = 0;
    while (i < tables.letters_count && tables.letters[i]->row->id != event_id)
        i++;
    return i;
}

struct letter *
tables_letter(int64_t event_id)
{
    size_t at = letter_at(event_id);
    return at < tables.letters_count ? tables.letters[at] : NULL;
}

struct held *
tables_held(int64_t event_id)
{
    for (size_t i = 0; i < tables.held_count; i++)
        if (tables.held[i]->row->id == event_id)
            return tables.held[i];
    return NULL;
}

/* ---- dead letters and held events ---- */

static bool
is_behind(int64_t tick, int64_t id, int64_t other_tick, int64_t other_id)
{
    return tick != other_tick ? tick > other_tick : id > other_id;
}

static bool
stands_behind(const struct letter *letter, const struct letter *other)
{
    return is_behind(letter->tick, letter->row->id, other->tick, other->row->id);
}

/* By insertion: there are few. */
static void
sort_letters(void)
{
    for (size_t i = 1; i < tables.letters_count; i++) {
        struct letter *letter = tables.letters[i];
        size_t at = i;
        for (; at > 0 && stands_behind(tables.letters[at - 1], letter); at--)
            tables.letters[at] = tables.letters[at - 1];
        tables.letters[at] = letter;
    }
}

static void
add_letter(struct row *row, int64_t tick, int64_t hold, const json_t *why)
{
    struct letter *letter = world_alloc(sizeof *letter);
    *letter = (struct letter){.row = row, .tick = tick, .hold = hold, .attempts = 1};
    set_text(letter->error, why, "error");
    tables.letters = world_grow(tables.letters, tables.letters_count, &tables.letters_capacity);
    tables.letters[tables.letters_count++] = letter;
    sort_letters();
    row->aside = ++world.order;
    row->skipped = row->skipped || hold == 0;
    trace("postgres: event %" PRId64 " is a dead letter of tick %" PRId64 ", hold %" PRId64 ": %s", row->id,
          tick, hold, letter->error);
    judge_letter(letter);
}

/* What is not there is an error. */
static struct row *
committed_row(int64_t event_id)
{
    struct row *row = database_find(event_id);
    CHECK(row != NULL && row->by->fate == FATE_COMMITTED);
    return row;
}

/* One that joins a hold stands before those of it that have later ids. */
static void
place_behind(int64_t hold, int64_t tick, int64_t id)
{
    for (size_t i = 0; i < tables.letters_count; i++) {
        struct letter *letter = tables.letters[i];
        if (letter->hold == hold && letter->row->id > id && letter->tick < tick)
            letter->tick = tick;
    }
    sort_letters();
}

void
tables_place_letters(const struct stopped *stopped)
{
    for (size_t i = 0; i < tables.letters_count; i++) {
        struct letter *letter = tables.letters[i];
        if (letter->row->topic == stopped->topic && letter->hold != 0 && letter->tick > stopped->from_seq &&
            letter->tick < stopped->to_seq)
            letter->tick = stopped->to_seq;
    }
    sort_letters();
}

static void
put_dead(const json_t *dead)
{
    int64_t tick = integer(dead, "tick"), hold = integer(dead, "hold");
    struct row *row = committed_row(integer(dead, "id"));
    struct letter *letter = tables_letter(row->id);
    if (letter != NULL) {
        letter->attempts++;
        letter->tick = tick;
        letter->hold = hold != 0 ? hold : letter->hold;
        set_text(letter->error, dead, "error");
        sort_letters();
    } else {
        add_letter(row, tick, hold, dead);
        if (hold == row->id && world_fault(15)) {
            cluster_tighten(row);
            people_hurry(row);
        }
    }
    if (hold != 0 && hold != row->id)
        place_behind(hold, tick, row->id);
}

static void
remove_held_at(size_t at)
{
    tables.held_count--;
    memmove(&tables.held[at], &tables.held[at + 1], (tables.held_count - at) * sizeof(struct held *));
}

static void
remove_held(const struct row *row)
{
    for (size_t i = tables.held_count; i-- > 0;)
        if (tables.held[i]->row == row)
            remove_held_at(i);
}

static void
put_held(const json_t *triple)
{
    int64_t numbers[3];
    for (size_t i = 0; i < 3; i++)
        numbers[i] = json_integer_value(json_array_get(triple, i));
    struct row *row = committed_row(numbers[0]);
    if (tables_letter(row->id) != NULL)
        return;
    remove_held(row);
    struct held *held = world_alloc(sizeof *held);
    *held = (struct held){row, numbers[1], numbers[2]};
    tables.held = world_grow(tables.held, tables.held_count, &tables.held_capacity);
    size_t at = tables.held_count++;
    for (; at > 0 && is_behind(tables.held[at - 1]->tick, tables.held[at - 1]->row->id, held->tick, row->id);
         at--)
        tables.held[at] = tables.held[at - 1];
    tables.held[at] = held;
    row->aside = ++world.order;
    trace("postgres: event %" PRId64 " of tick %" PRId64 " waits behind %" PRId64, row->id, held->tick,
          held->hold);
}

static void
remove_letter(const struct letter *letter)
{
    size_t at = letter_at(letter->row->id);
    trace("postgres: event %" PRId64 " is no dead letter any more", letter->row->id);
    tables.letters_count--;
    memmove(&tables.letters[at], &tables.letters[at + 1],
            (tables.letters_count - at) * sizeof(struct letter *));
}

void
tables_release_held(const struct stopped *stopped, int64_t progress)
{
    for (size_t i = tables.held_count; i-- > 0;) {
        const struct held *held = tables.held[i];
        if (held->row->topic == stopped->topic && held->tick > stopped->from_seq &&
            held->tick < stopped->to_seq && held->row->id <= progress)
            remove_held_at(i);
    }
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

static bool
is_asked(const struct row *row, bool copy)
{
    for (size_t i = 0; i < tables.requests_count; i++) {
        const struct asked *asked = tables.requests[i];
        if (asked->row == row && !asked->done && (strcmp(asked->kind, "copy") == 0) == copy)
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

const struct letter *
tables_of_hold(const struct letter *letter, bool behind)
{
    for (size_t i = 0; i < tables.letters_count; i++) {
        const struct letter *other = tables.letters[i];
        bool is_there = behind ? stands_behind(other, letter) : stands_behind(letter, other);
        if (letter->hold != 0 && other->hold == letter->hold && is_there)
            return other;
    }
    return NULL;
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
        bool published =
            whole || (upto != NULL && !is_behind(held->tick, held->row->id, upto->tick, upto->row->id));
        bool kept = next != NULL && is_behind(held->tick, held->row->id, next->tick, next->row->id);
        if (held->hold != letter->hold || letter->hold == 0 || !published || kept)
            continue;
        trace("postgres: event %" PRId64 " waits no more", held->row->id);
        remove_held_at(i);
    }
}

/* The next one of its key is dead, and holds the others. */
static void
refuse_held(const json_t *refused)
{
    int64_t refused_id = integer(refused, "id");
    const struct held *next = tables_held(refused_id);
    CHECK(next != NULL || tables_letter(refused_id) != NULL);
    if (next == NULL)
        return;
    struct row *row = next->row;
    if (tables_letter(row->id) == NULL) {
        add_letter(row, next->tick, next->hold, refused);
        if (json_is_true(json_object_get(refused, "copy")))
            (void)add_request("copy", row);
    }
    remove_held(row);
}

static void
settle_letter(const struct asked *asked, struct letter *letter, int64_t progress, const json_t *refused)
{
    bool whole = progress == SIDE_WHOLE;
    int64_t refused_id = refused != NULL ? integer(refused, "id") : 0;
    settle_held(letter, whole, progress);
    if (refused_id == letter->row->id) {
        letter->attempts++;
        set_text(letter->error, refused, "error");
        return;
    }
    if (refused_id != 0)
        refuse_held(refused);
    if (!whole && refused_id == 0)
        return;
    letter->row->discarded = letter->row->discarded || strcmp(asked->kind, "discard") == 0;
    remove_letter(letter);
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
    asked->refused += asked->row == NULL && refused != NULL;
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
        struct row *row = database_find(integer(each, "id"));
        put_dead(each);
        if (copies && !is_asked(row, true))
            (void)add_request("copy", row);
    }
    json_array_foreach(json_object_get(aside, "held"), i, each) put_held(each);
    json_array_foreach(json_object_get(aside, "topics"), i, each) tables_put_topic(each);
}

/* ---- people ---- */

static struct asked *
ask_for(int64_t event_id, const char *kind)
{
    const struct letter *letter = tables_letter(event_id);
    return letter != NULL && !is_asked(letter->row, false) ? add_request(kind, letter->row) : NULL;
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
