/* people.c: see people.h. What they ask for is one statement each, of the functions of schema/005_aside.sql. */
#include "simulator/people.h"

#include "postgres/waiting.h"
#include "simulator/cluster.h"
#include "simulator/tables.h"

#include <inttypes.h>

/* After everything has healed somebody looks so often. */
#define LOOK_US (300 * MS)

static void
tell(const struct asked *asked)
{
    if (asked != NULL && asked->row != NULL)
        trace("people: request %" PRId64 ", %s of event %" PRId64, asked->number, asked->kind,
              asked->row->id);
    else if (asked != NULL)
        trace("people: request %" PRId64 ", replay of %" PRId64 " to %" PRId64, asked->number,
              asked->first_id, asked->last_id);
}

static int64_t
any_letter(void)
{
    return tables.letters_count > 0
               ? tables.letters[world_between(0, (int64_t)tables.letters_count - 1)]->row->id
               : 0;
}

static void
retry(void)
{
    tell(tables_retry(any_letter()));
}

static void
retry_all(void)
{
    for (size_t i = 0; i < tables.letters_count; i++)
        tell(tables_retry(tables.letters[i]->row->id));
}

static void
discard(void)
{
    tell(tables_discard(any_letter()));
}

static void
pause_or_resume(void)
{
    int topic = (int)world_between(-1, MODEL_TOPICS - 1);
    bool paused = topic < 0 ? tables.paused : tables.pauses[topic];
    trace("people: %s %s", paused ? "resume" : "pause", topic < 0 ? "everything" : model_topic_name(topic));
    tables_pause(topic, !paused);
}

/* What nobody has paused is tried at once. */
static void
resume(void)
{
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.topics[i] != NULL && !tables.pauses[i])
            tables_topic_settle(tables.topics[i]->number, 0, 0, WAITING_RESUMED);
}

static void
replay(void)
{
    int64_t first = world_between(0, database.sequence), last = world_chance(50) ? 0
                                                                : world_chance(20)
                                                                    ? INT64_MAX
                                                                    : world_between(first, database.sequence);
    tell(tables_replay(first, last, (int)world_between(-1, MODEL_TOPICS - 1),
                       world_chance(30) ? (int)world_between(0, model.keys - 1) : MODEL_KEYS,
                       world_chance(20) ? world_between(5, 60) * (model.bulk ? 10 : 1) : 0));
}

static void
cancel(void)
{
    if (tables.requests_count == 0)
        return;
    struct asked *asked = tables.requests[world_between(0, (int64_t)tables.requests_count - 1)];
    if (asked->row == NULL)
        tables_cancel(asked);
}

static void
heal_event(void)
{
    struct letter *letter = tables_letter(any_letter());
    if (letter == NULL || letter->row->refused_until_us == INT64_MAX)
        return;
    trace("people: event %" PRId64 " is taken from now on", letter->row->id);
    letter->row->refused_until_us = 0;
}

static void
act(void *subject)
{
    static void (*const acts[])(void) = {retry,  retry,  retry_all, discard, pause_or_resume, pause_or_resume,
                                         resume, replay, replay,    cancel,  heal_event};
    (void)subject;
    if (world.calm)
        return;
    if (!database.down)
        acts[world_between(0, sizeof acts / sizeof acts[0] - 1)]();
    world_after(world_between(0, 2 * model.people_us), act, NULL);
}

static void
hurry(void *subject)
{
    const struct row *row = subject;
    tell(world_chance(50) ? tables_retry(row->id) : tables_discard(row->id));
}

void
people_hurry(struct row *row)
{
    world_after(world_between(0, 2) * MS, hurry, row);
}

/* What Kafka will never take is tried once more, and given up. */
static void
clear_away(void *subject)
{
    (void)subject;
    world_after(LOOK_US, clear_away, NULL);
    if (!world.calm)
        return;
    tables_pause(-1, false);
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.pauses[i])
            tables_pause(i, false);
    for (size_t i = 0; i < tables.letters_count; i++) {
        const struct letter *letter = tables.letters[i];
        bool hopeless = letter->row->refused_until_us == INT64_MAX && letter->attempts > 1;
        tell(hopeless ? tables_discard(letter->row->id) : tables_retry(letter->row->id));
    }
}

void
people_begin(void)
{
    if (model.people_us > 0)
        world_after(world_between(0, model.people_us), act, NULL);
    world_after(LOOK_US, clear_away, NULL);
}
