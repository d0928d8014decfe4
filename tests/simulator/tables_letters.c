/* tables_letters.c: dead letters and held events (tables.h). Called by tables.c. */
#include "simulator/tables_inside.h"

#include "simulator/cluster.h"
#include "simulator/judge.h"
#include "simulator/people.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

int64_t
tables_integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

void
tables_set_text(char text[TABLES_TEXT], const json_t *object, const char *name)
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

/* ---- their order ---- */

bool
tables_is_behind(int64_t tick, int64_t id, int64_t other_tick, int64_t other_id)
{
    return tick != other_tick ? tick > other_tick : id > other_id;
}

static bool
stands_behind(const struct letter *letter, const struct letter *other)
{
    return tables_is_behind(letter->tick, letter->row->id, other->tick, other->row->id);
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

/* ---- dead letters ---- */

void
tables_add_letter(struct row *row, int64_t tick, int64_t hold, const json_t *why)
{
    struct letter *letter = world_alloc(sizeof *letter);
    *letter = (struct letter){.row = row, .tick = tick, .hold = hold, .attempts = 1};
    tables_set_text(letter->error, why, "error");
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

void
tables_put_dead(const json_t *dead)
{
    int64_t tick = tables_integer(dead, "tick"), hold = tables_integer(dead, "hold");
    struct row *row = committed_row(tables_integer(dead, "id"));
    struct letter *letter = tables_letter(row->id);
    if (letter != NULL) {
        letter->attempts++;
        letter->tick = tick;
        letter->hold = hold != 0 ? hold : letter->hold;
        tables_set_text(letter->error, dead, "error");
        sort_letters();
    } else {
        tables_add_letter(row, tick, hold, dead);
        if (hold == row->id && world_fault(15)) {
            cluster_tighten(row);
            people_hurry(row);
        }
    }
    if (hold != 0 && hold != row->id)
        place_behind(hold, tick, row->id);
}

void
tables_remove_letter(const struct letter *letter)
{
    size_t at = letter_at(letter->row->id);
    trace("postgres: event %" PRId64 " is no dead letter any more", letter->row->id);
    tables.letters_count--;
    memmove(&tables.letters[at], &tables.letters[at + 1],
            (tables.letters_count - at) * sizeof(struct letter *));
}

/* ---- held events ---- */

void
tables_remove_held_at(size_t at)
{
    tables.held_count--;
    memmove(&tables.held[at], &tables.held[at + 1], (tables.held_count - at) * sizeof(struct held *));
}

void
tables_remove_held(const struct row *row)
{
    for (size_t i = tables.held_count; i-- > 0;)
        if (tables.held[i]->row == row)
            tables_remove_held_at(i);
}

void
tables_put_held(const json_t *triple)
{
    int64_t numbers[3];
    for (size_t i = 0; i < 3; i++)
        numbers[i] = json_integer_value(json_array_get(triple, i));
    struct row *row = committed_row(numbers[0]);
    if (tables_letter(row->id) != NULL)
        return;
    tables_remove_held(row);
    struct held *held = world_alloc(sizeof *held);
    *held = (struct held){row, numbers[1], numbers[2]};
    tables.held = world_grow(tables.held, tables.held_count, &tables.held_capacity);
    size_t at = tables.held_count++;
    for (; at > 0 &&
           tables_is_behind(tables.held[at - 1]->tick, tables.held[at - 1]->row->id, held->tick, row->id);
         at--)
        tables.held[at] = tables.held[at - 1];
    tables.held[at] = held;
    row->aside = ++world.order;
    trace("postgres: event %" PRId64 " of tick %" PRId64 " waits behind %" PRId64, row->id, held->tick,
          held->hold);
}

void
tables_release_held(const struct stopped *stopped, int64_t progress)
{
    for (size_t i = tables.held_count; i-- > 0;) {
        const struct held *held = tables.held[i];
        if (held->row->topic == stopped->topic && held->tick > stopped->from_seq &&
            held->tick < stopped->to_seq && held->row->id <= progress)
            tables_remove_held_at(i);
    }
}
