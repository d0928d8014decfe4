/* writers.c: see writers.h. An insert takes its transaction's number first and draws the id then, as xid, the first column of
 * outbox.event, sees to; anything may happen between the two. */
#include "simulator/writers.h"

#include "simulator/database.h"
#include "simulator/model.h"

#include <inttypes.h>

struct writer {
    struct transaction *transaction;
    int incarnation;
    int left; /* events to be inserted */
    bool aborts;
    int pause_percent; /* of its pauses are long */
    int key;           /* what it mostly writes to */
};

/* More than src/relay/rounds.c reads of a topic at first. */
#define BULK_LEAST 220
#define BULK_MOST 420

static int planned, open_writers;
static bool bulk_done;

static int64_t
pause_us(const struct writer *writer)
{
    if (world_chance(writer->pause_percent))
        return world_between(0, 1500) * MS;
    return world_chance(50) ? 0 : world_between(0, 3000);
}

static bool
is_gone(const struct writer *writer)
{
    if (writer->incarnation == database.incarnation)
        return false;
    open_writers--;
    return true;
}

static void
finish(void *subject)
{
    struct writer *writer = subject;
    if (is_gone(writer))
        return;
    open_writers--;
    trace("writer: xid %" PRId64 " %s", writer->transaction->xid, writer->aborts ? "rolls back" : "commits");
    if (writer->aborts)
        database_abort(writer->transaction);
    else
        database_commit(writer->transaction);
}

/* For ever, for a while, or until somebody mends it. A relay that stops at such an event needs the latter. Some are taken at first: what was
 * published once, or in a transaction that was not committed, may be refused when it is sent again. */
static void
refuse(struct row *row)
{
    bool stops = model.settings.dead_letter_policy == DEAD_LETTER_STOP;
    row->refused_unsent = world_chance(30);
    row->refused_from_us = world_chance(25) ? world.now_us + world_between(0, 400) * MS : 0;
    row->refused_until_us = world_chance(20) && !stops ? INT64_MAX
                            : world_chance(50)         ? INT64_MAX - 1
                                                       : world.now_us + world_between(0, 3000) * MS;
    trace("kafka: event %" PRId64 " is refused%s", row->id,
          row->refused_until_us == INT64_MAX ? " for ever" : "");
}

static void write_event(void *subject);

static void
draw(void *subject)
{
    struct writer *writer = subject;
    if (is_gone(writer))
        return;
    int key = world_chance(70) ? writer->key : (int)world_between(0, model.keys - 1);
    size_t size =
        world_chance(3) ? (size_t)world_between(8000, MODEL_PAYLOAD_MOST) : (size_t)world_between(0, 300);
    if (world_chance(6))
        key = MODEL_KEYS;
    struct row *row =
        database_insert(writer->transaction, (int)world_between(0, MODEL_TOPICS - 1), key, size);
    if (world_fault(model.refused_percent))
        refuse(row);
    trace("writer: xid %" PRId64 " inserts event %" PRId64 " of %s in %s", writer->transaction->xid, row->id,
          key < MODEL_KEYS ? model_key_name(key) : "no key", model_topic_name(row->topic));
    writer->left--;
    world_after(pause_us(writer), writer->left > 0 ? write_event : finish, writer);
}

static void
write_event(void *subject)
{
    struct writer *writer = subject;
    if (is_gone(writer))
        return;
    database_assign(writer->transaction);
    if (writer->left == 0)
        world_after(pause_us(writer), finish, writer);
    else
        world_after(world_chance(70) ? 0 : world_between(0, 2000), draw, writer);
}

static void
begin(void *subject)
{
    (void)subject;
    if (planned <= 0)
        return;
    int64_t gap_us = model.chaos_us * 3 / model.events;
    world_after(world_chance(40) ? world_between(0, 1000) : world_between(0, gap_us), begin, NULL);
    if (database.down)
        return;
    struct writer *writer = world_alloc(sizeof *writer);
    *writer = (struct writer){.transaction = database_transaction(),
                              .incarnation = database.incarnation,
                              .left = (int)(world_chance(8) ? world_between(5, 20) : world_between(0, 3)),
                              .aborts = world_chance(12),
                              .pause_percent = world_chance(25) ? 30 : 2,
                              .key = (int)world_between(0, model.keys - 1)};
    if (model.bulk && !bulk_done && world_chance(20)) {
        bulk_done = true;
        writer->left = (int)world_between(BULK_LEAST, BULK_MOST);
        writer->pause_percent = 0;
    }
    open_writers++;
    planned -= writer->left > 0 ? writer->left : 1;
    world_after(pause_us(writer), write_event, writer);
}

void
writers_begin(void)
{
    planned = model.events;
    bulk_done = false;
    open_writers = 0;
    world_after(0, begin, NULL);
}

bool
writers_are_done(void)
{
    return planned <= 0 && open_writers == 0;
}
