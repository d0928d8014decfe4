/* tables_topics.c: paused topics, of tables.h: outbox.paused_topic and outbox.pause, and what outbox.topic_settle does. Called by tables.c,
 * effect.c, people.c and the judge. */
#include "simulator/tables_inside.h"

#include "postgres/aside.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

bool
tables_wait_for_topic(const struct row *row)
{
    const struct stopped *stopped = tables.topics[row->topic];
    if (stopped == NULL || row->tick == 0)
        return stopped != NULL;
    return row->tick > stopped->to_seq || (row->tick > stopped->from_seq && row->id > stopped->after_id);
}

bool
tables_name(int64_t seq)
{
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.topics[i] != NULL &&
            (tables.topics[i]->from_seq == seq || tables.topics[i]->to_seq == seq))
            return true;
    return false;
}

void
tables_put_topic(const json_t *row)
{
    int topic = model_topic(json_string_value(json_object_get(row, "topic")));
    CHECK(topic >= 0 && topic < MODEL_TOPICS);
    if (tables.topics[topic] != NULL && tables.topics[topic]->from_seq > tables_integer(row, "from"))
        return;
    struct stopped *stopped = world_alloc(sizeof *stopped);
    *stopped = (struct stopped){.topic = topic,
                                .number = ++tables.number,
                                .from_seq = tables_integer(row, "from"),
                                .to_seq = tables_integer(row, "to"),
                                .after_id = tables_integer(row, "after"),
                                .attempts = 1};
    snprintf(stopped->error, sizeof stopped->error, "%s", json_string_value(json_object_get(row, "error")));
    tables.topics[topic] = stopped;
    trace("postgres: topic %s is paused as number %" PRId64 " from %" PRId64 " to %" PRId64 " after %" PRId64
          ": %s",
          model_topic_name(topic), stopped->number, stopped->from_seq, stopped->to_seq, stopped->after_id,
          stopped->error);
}

struct stopped *
tables_topic(int64_t number)
{
    for (int i = 0; i < MODEL_TOPICS; i++)
        if (tables.topics[i] != NULL && tables.topics[i]->number == number)
            return tables.topics[i];
    return NULL;
}

int64_t
tables_topic_settle(int64_t number, int64_t progress, int64_t new_to, const char *error)
{
    struct stopped *stopped = tables_topic(number);
    if (stopped == NULL)
        return 0;
    if (progress == SIDE_WHOLE) {
        tables.topics[stopped->topic] = NULL;
        trace("postgres: topic %s is not paused any more", model_topic_name(stopped->topic));
        return number;
    }
    tables_release_held(stopped, progress);
    if (progress == SIDE_ROUND) {
        tables_place_letters(stopped);
        stopped->from_seq = stopped->to_seq;
        stopped->to_seq = new_to != 0 ? new_to : stopped->to_seq;
        stopped->after_id = 0;
        stopped->number = ++tables.number;
    } else {
        stopped->after_id = progress > stopped->after_id ? progress : stopped->after_id;
        stopped->attempts += error != NULL;
        if (error != NULL)
            snprintf(stopped->error, sizeof stopped->error, "%s", error);
    }
    trace("postgres: topic %s goes on as number %" PRId64 " from %" PRId64 " to %" PRId64 " after %" PRId64,
          model_topic_name(stopped->topic), stopped->number, stopped->from_seq, stopped->to_seq,
          stopped->after_id);
    return stopped->number;
}

void
tables_pause(int topic, bool paused)
{
    if (topic < 0)
        tables.paused = paused;
    else
        tables.pauses[topic] = paused;
}
